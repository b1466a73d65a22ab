"""The commands by name. What one needs is loaded when it is called: a list of commands needs their names alone."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says of it: the first paragraph of its own help."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "demo": Entry("demo", "demo", "Show everything on this machine: no account, no key, no server to install."),
        "init": Entry(
            "init",
            "init",
            "Write a first sync file: reads the fields of a Caspio table and proposes what each becomes in Braze.",
        ),
        "check": Entry(
            "check",
            "check",
            "Look at settings, accounts, table, fields, cursor, gate and ledger, and say of each what to do.",
        ),
        "plan": Entry(
            "plan",
            "plan",
            "Say what a run would do: rows, requests, data points, Caspio calls. A dry run: nothing is "
            "written anywhere.",
        ),
        "run": Entry("run", "run", "Send what is new or changed to Braze, and record what became of each row."),
        "backfill": Entry(
            "backfill",
            "backfill",
            "Read chosen rows again and send what Braze lacks of them. Never moves the sync's cursor.",
        ),
        "verify": Entry(
            "verify",
            "verify",
            "Read profiles or catalog items back from Braze and compare them with what was sent, field by field.",
        ),
        "status": Entry(
            "look",
            "status",
            "Say how each sync stands: its last run, how far it has read, its rows by verdict, its newest "
            "delivered row.",
        ),
        "why": Entry(
            "look",
            "why",
            "Tell a row's story: its values now, mapped and judged, and when each version was sent and what "
            "Braze answered.",
        ),
        "schema": Entry(
            "look", "schema", "Print the JSON Schema of the sync file, by which editors complete and check it."
        ),
        "housekeeping": Entry(
            "housekeeping",
            "housekeeping",
            "Remove history, ended runs, and Prefect's runs, logs and artifacts that are older than the "
            "configured days.",
        ),
        "erase": Entry(
            "erase", "erase", "Delete people's profiles in Braze for good, and never make them again (GDPR, CCPA)."
        ),
        "receive": Entry(
            "receive",
            "receive",
            "Take what Braze Currents posts, until Ctrl-C: `POST /currents`, besides `/healthz` and `/metrics`.",
        ),
        "deploy": Entry(
            "deploy",
            "deploy",
            "Make each enabled sync a deployment: its schedules, its tags, and the form for a custom run in "
            "Prefect's UI.",
        ),
        "serve": Entry(
            "serve",
            "serve",
            "Run everything on this machine until Ctrl-C: Prefect's server and UI, every sync's deployment, "
            "one worker.",
        ),
        "worker": Entry(
            "worker",
            "worker",
            "Take the runs of the deployments on Prefect's server until Ctrl-C.",
        ),
        "doctor": Entry(
            "doctor",
            "doctor",
            "Find what keeps schedules from doing their work: failing runs, dead ones, leases, clocks, "
            "pauses, the server.",
        ),
        "audit": Entry(
            "audit", "audit", "The audit trail: every step of every erasure, each entry hashed with the one before it."
        ),
        "quarantine": Entry("quarantine", "quarantine", "Rows that were set aside instead of being sent."),
        "sandbox": Entry("sandbox", "sandbox", "Local emulators of Caspio and Braze, loaded with real data."),
    }
)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help, rich_markup_mode=self.rich_markup_mode))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the arguments name, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else _loaded(str(command.name)), rest


def _loaded(name: str) -> Any:
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"caspio_sync.cli.{entry.module}"), entry.attribute)
    parent = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    return typer.main.get_group(parent).commands[name]
