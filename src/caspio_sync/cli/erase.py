"""`caspio-sync erase`: delete people from Braze by hand, and keep them out."""

import asyncio
import shlex
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync.cli.options import AsJson
from caspio_sync.cli.run import AllowErasures
from caspio_sync.cli.show import ERR, OUT, show_json, show_table
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.engine import erasing
from caspio_sync.engine.erasing import Subject
from caspio_sync.engine.erasure_requests import too_many
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.lease import hold_lease
from caspio_sync.engine.opening import open_plan
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError, GateBlockedError
from caspio_sync.ledger.erasure import PROVEN
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.observe.report import ExitCode, RunOptions
from caspio_sync.settings import current_settings

BY_HAND = "by hand"


def erase(
    sync: SyncName,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Values of the identity field.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is known of them; write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Lift the block instead of erasing.")] = False,
    allow_erasures: AllowErasures = False,
    as_json: AsJson = False,
) -> None:
    """Delete people's profiles in Braze for good, and never make them again (GDPR, CCPA).

    Each key is blocked first, then deleted, then looked for until Braze no longer has it; its rows and history leave
    the ledger. Every step stands in the audit trail: `caspio-sync audit export`. `--release` lifts the block: a row
    with that key is then new to the next run that reads it, such as `caspio-sync run SYNC --key KEY`.

    Exit code 4 where a deletion is not proven yet: Braze still has a profile after a minute, or something was sent to
    it within the last five. The next run, or this command again, goes on. Exit code 3 where the keys are more than 20
    and more than 5 % of the rows, without `--allow-erasures`.

    Example: `caspio-sync erase customers 17850 12583 --dry-run`
    """
    if release and dry_run:
        raise ConfigurationError("--release and --dry-run do not go together; leave one of them out")
    if release:
        asyncio.run(_release(sync, keys, as_json=as_json))
        return
    options = RunOptions(allow_erasures=allow_erasures)
    if asyncio.run(_erase(sync, keys, dry_run, yes, options, as_json=as_json)):
        raise typer.Exit(ExitCode.FAILED)


async def _erase(sync: str, texts: list[str], dry_run: bool, yes: bool, options: RunOptions, *, as_json: bool) -> int:
    """How many deletions are not proven yet."""
    settings = current_settings(sync)
    async with open_plan(sync, options, settings=settings, make_ledger=not dry_run) as run:
        _of_people(run)
        keys, title = erasing.keys_by_hand(run, texts), run.destination.title
        subjects = await erasing.look_up(run, keys)
        if dry_run:
            _show(sync, subjects, title, as_json=as_json, dry_run=True)
            return 0
        fresh = sum(each.state in {None, PROVEN} for each in subjects)
        if (stopped := await too_many(run, fresh, f"{sync}: {BY_HAND}")) is not None:
            raise GateBlockedError(stopped)
        if not yes:
            _confirm(sync, subjects, title)
        await erasing.request(run, keys, by=BY_HAND, again=True)
        await _perform(run)
        subjects = await erasing.look_up(run, keys)
        _show(sync, subjects, title, as_json=as_json, dry_run=False)
        proves = run.sink.eraser(run.account).proves
    left = sum(each.state != PROVEN for each in subjects)
    if left and not as_json and not proves:
        OUT.print(escape(erasing.not_proven(left, title, proves=False)))
    elif left and not as_json:
        OUT.print(
            f"{left} of {len(subjects)} deletions are not proven yet: {title} may take 5 minutes, also for what was "
            "sent just before. The keys are blocked; the next run, or this command again, deletes what is left and "
            "proves it"
        )
    return left


async def _perform(run: SyncRun) -> None:
    try:
        async with hold_lease(run.name, run.ledger, run.clock):
            await erasing.erase_pending(run)
    except LeaseHeldError as error:
        raise ConfigurationError(
            f"{error} The keys are blocked from now on, and the next run of {run.name} deletes them; or give this "
            "command again when that run has ended."
        ) from error


def _of_people(run: SyncRun) -> None:
    """Raise ConfigurationError where the keys of a sync name no people."""
    if run.definition.people is None:
        row = kind_of(run.definition).words.row
        raise ConfigurationError(
            f"{run.name}: the keys of this sync name no people (a row is one {row}); erase people by a sync of profiles"
        )


async def _release(sync: str, texts: list[str], *, as_json: bool) -> None:
    async with (
        open_plan(sync, RunOptions(), settings=current_settings(sync), make_ledger=True) as run,
        hold_lease(run.name, run.ledger, run.clock),
    ):
        _of_people(run)
        keys = erasing.keys_by_hand(run, texts)
        released = await erasing.release(run, keys, texts)
        names = run.prepared.requests is not None
    if as_json:
        show_json({"sync": sync, "released": released, "not_blocked": [key for key in keys if key not in released]})
        return
    for key in keys:
        OUT.print(f"{escape(key)}: {'released' if key in released else 'was not blocked'}")
    if released:
        named = " ".join(f"--key {shlex.quote(key)}" for key in released)
        OUT.print(f"the next run that reads such a row sends it: `caspio-sync run {sync} {escape(named)}`")
    if released and names:
        OUT.print("note: whom erasure: in the sync file still names is erased again; take the request out first")


def _confirm(sync: str, subjects: list[erasing.Subject], title: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"{sync}: erasing cannot be undone, and there is no terminal to ask; look with --dry-run, then give --yes"
        )
    profiles = sum(each.is_there for each in subjects)
    question = f"Delete {profiles} profiles in {title} for good and block {len(subjects)} keys? This cannot be undone."
    if not typer.confirm(question, err=True):
        ERR.print("nothing was done")
        raise typer.Exit(0)


def _show(sync: str, subjects: list[erasing.Subject], title: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        show_json({"sync": sync, "dry_run": dry_run, "subjects": [_told(each) for each in subjects]})
        return
    show_table(
        "a dry run: nothing was written" if dry_run else "",
        ("key", f"in {title}", "ledger rows", "erasure", "in the audit trail as"),
        [
            (each.key, "yes" if each.is_there else "no", each.ledger_rows, each.state or "none", each.digest)
            for each in subjects
        ],
        right=("ledger rows",),
    )


def _told(subject: Subject) -> dict[str, object]:
    """As programs know it, who read the key of the first destination."""
    return {"in_braze" if name == "is_there" else name: value for name, value in asdict(subject).items()}
