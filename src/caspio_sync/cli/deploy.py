"""`caspio-sync deploy`: every sync a deployment on Prefect's server."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from caspio_sync import startup
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.server import required_server
from caspio_sync.cli.show import OUT, show_json, show_table
from caspio_sync.deployed.deployments import POOL, Deployments, deployments_of, prefect_file, refusal_by_budget
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import Settings, every_setting
from caspio_sync.sync_files import shipped_examples

if TYPE_CHECKING:
    from tasks.deployments import Change

Pool = Annotated[str, typer.Option("--pool", help="Work pool. Two projects on one server use a pool each.")]


def deploy(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove deployments of ours on this pool whose sync file is gone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    pool: Pool = POOL,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the list to this prefect.yaml instead; needs no server.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make each enabled sync a deployment: its schedules, its tags, and the form for a custom run in Prefect's UI.

    The server is the one in PREFECT_API_URL. Profiles with a cursor run every minute, catalogs every 15, and both read
    all rows at night; without a cursor a sync runs every hour. `schedule:` in the sync file replaces the regular one.
    A schedule or deployment that somebody paused stays paused. Schedules that ask for more calls than
    CASPIO_CALLS_PER_DAY are refused (exit code 2).

    Example: `caspio-sync deploy --prune --dry-run`
    """
    settings = every_setting()
    found = deployments_of(settings)
    if not found.made:
        raise ConfigurationError(f"{settings.syncs}: no sync file; write one: `caspio-sync init customers --table T`")
    if write is not None:
        write.write_text(prefect_file(found.made), encoding="utf-8")
        startup.share(write)
        OUT.print(f"{write}: {len(found.made)} deployments")
        show_left(found)
        return
    changes = registered(settings, found, pool=pool, prune=prune, dry_run=dry_run)
    if as_json:
        left = [{"name": name, "action": "left", "note": why} for name, why in found.left.items()]
        show_json([*(asdict(each) for each in changes), *left])
        return
    show_table("", ("deployment", "would be" if dry_run else "was", ""), [(c.name, c.action, c.note) for c in changes])
    show_left(found)
    chosen = "" if pool == POOL else f" --pool {pool}"
    OUT.print(f"\nA worker takes their runs: `caspio-sync worker{chosen}`, or `make serve`")


def show_left(found: Deployments) -> None:
    """The syncs that no schedule runs, and why."""
    for name, why in found.left.items():
        OUT.print(f"left out: {escape(name)}: {escape(why)}; `caspio-sync run {escape(name)}` runs it", soft_wrap=True)


def registered(
    settings: Settings, found: Deployments, *, pool: str, prune: bool, dry_run: bool = False
) -> "list[Change]":
    """What the server made of the list, once the daily budget allows its schedules.

    Raises:
        ConfigurationError: no server is named, the schedules ask for too many calls, or the examples would be run
            against an account that is not the sandbox's.
        TransientError: the server, or Caspio, does not answer.
    """
    server = required_server(settings.home)
    if not settings.sandbox and settings.syncs.resolve() == shipped_examples().resolve():
        raise ConfigurationError(
            f"{settings.syncs} holds the shipped examples, which are for the sandbox alone (one of them writes to "
            "Caspio); copy those you want to syncs/ and set CASPIO_SYNC_SYNCS to it"
        )
    if (refused := asyncio.run(refusal_by_budget(settings))) is not None:
        raise ConfigurationError(refused)
    from tasks.orchestration import use_prefect

    use_prefect(settings.home, server=server)
    from tasks.deployments import deploy as register

    return asyncio.run(register(found.made, pool=pool, prune=prune, dry_run=dry_run))
