"""The commands by name. What one needs is loaded when it is called: a list of commands needs their names alone."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "Show everything on this machine: no account, no key, no server to install.",
        "init": "Write a first sync file: reads the fields of a Caspio table and proposes what each becomes in Braze.",
        "check": "Look at settings, accounts, table, fields, cursor, gate and ledger, and say of each what to do.",
        "plan": (
            "Say what a run would do: rows, requests, data points, Caspio calls. A dry run: nothing is written "
            "anywhere."
        ),
        "run": "Send what is new or changed to Braze, and record what became of each row.",
        "backfill": "Read chosen rows again and send what Braze lacks of them. Never moves the sync's cursor.",
        "verify": "Read profiles or catalog items back from Braze and compare them with what was sent, field by field.",
        "status": (
            "Say how each sync stands: its last run, how far it has read, its rows by verdict, its newest delivered "
            "row."
        ),
        "runs": "List the runs that the ledger knows, newest first: how each ended, and what it did with its rows.",
        "show": "Tell what one run did: rows by verdict and reason, its gate, its cost, and changes of the mapping.",
        "pause": "Have every run on this ledger send nothing more, whoever starts it: opt-outs and erasures apart.",
        "resume": "End a pause: the next runs send what has waited.",
        "ui": (
            "Show a page on this machine, until Ctrl-C: how syncs stand, what runs did, why rows wait, "
            "one person's story."
        ),
        "report": "Write how every sync stands into one HTML file that needs no other: for a mail, or kept by CI.",
        "why": (
            "Tell a row's story: its values now, mapped and judged, and when each version was sent and what Braze "
            "answered."
        ),
        "schema": "Print the JSON Schema of the sync file, by which editors complete and check it.",
        "housekeeping": (
            "Remove history, ended runs, and Prefect's runs, logs and artifacts that are older than the configured "
            "days."
        ),
        "erase": "Delete people's profiles in Braze for good, and never make them again (GDPR, CCPA).",
        "receive": (
            "Take what is posted, until Ctrl-C: `/currents`, `/caspio/SYNC`, `/activecampaign/…`, `/in/…` of any "
            "system."
        ),
        "webhooks": "The webhook by which Caspio announces what changes in a sync's table.",
        "deploy": (
            "Make each enabled sync a deployment: its schedules, its tags, and the form for a custom run in "
            "Prefect's UI."
        ),
        "serve": (
            "Run everything on this machine until Ctrl-C: Prefect's server and UI, every sync's deployment, one worker."
        ),
        "worker": "Take the runs of the deployments on Prefect's server until Ctrl-C.",
        "doctor": (
            "Find what keeps schedules from doing their work: failing runs, dead ones, leases, clocks, pauses, the "
            "server."
        ),
        "audit": "The audit trail: every step of every erasure, each entry hashed with the one before it.",
        "unknown": (
            "List the events, purchases and deals whose answer was lost, and settle events: send once more, or never "
            "again."
        ),
        "notify": "Say where messages about failing, blocked or late syncs go; with --test send one there.",
        "ledger": "Back the ledger up, or move it to another database.",
        "quarantine": "Rows that were set aside instead of being sent.",
        "sandbox": "Local emulators of Caspio, Braze and ActiveCampaign.",
    }
)
"""By name what the list of commands says: the first paragraph of the command's own help."""

PANELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "First steps": ("demo", "init", "check", "plan", "run"),
        "How it stands": ("status", "ui", "runs", "show", "why", "report"),
        "Rows that did not go": ("quarantine", "unknown", "verify", "backfill"),
        "People": ("erase", "audit"),
        "Always on": ("serve", "deploy", "worker", "receive", "webhooks", "pause", "resume"),
        "Keeping it well": ("doctor", "notify", "housekeeping", "ledger"),
        "Trying and writing files": ("sandbox", "schema"),
    }
)
"""By title, in the order of `--help`: each command once."""

# In another module than the one of its name.
_ELSEWHERE = {"show": "runs", "why": "look", "schema": "look", "report": "ui", "resume": "pause"}


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for panel, names in PANELS.items():
            for name in names:
                self.add_command(
                    TyperCommand(
                        name, help=COMMANDS[name], rich_help_panel=panel, rich_markup_mode=self.rich_markup_mode
                    )
                )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the arguments name, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else _loaded(str(command.name)), rest


def _loaded(name: str) -> Any:
    found = getattr(importlib.import_module(f"caspio_sync.cli.{_ELSEWHERE.get(name, name)}"), name)
    parent = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    return typer.main.get_group(parent).commands[name]
