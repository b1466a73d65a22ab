"""`caspio-sync ledger`: the ledger backed up, and moved to another database."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.markup import escape

from caspio_sync import hints, inbox, posts
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import OUT, number, show_json, show_table
from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import ConfigurationError
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.copying import (
    Copied,
    MovingLedger,
    back_up,
    close_inbox,
    copy_table,
    one_state,
    refuse_used,
    reopen_inbox,
)
from caspio_sync.ledger.engine import database_file, database_url
from caspio_sync.posts import Posts
from caspio_sync.settings import LocalSettings, local_settings

ledger = typer.Typer(
    help="Back the ledger up, or move it to another database.", no_args_is_help=True, rich_markup_mode="markdown"
)
_INBOX: tuple[tuple[type[Inbox] | type[Hints] | type[Posts], sa.MetaData], ...] = (
    (Inbox, inbox.metadata),
    (Hints, hints.metadata),
    (Posts, posts.metadata),
)


@ledger.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write the whole ledger, as it is at this moment, into one SQLite file. Runs may be under way meanwhile.

    What was posted and is not folded yet goes into a file of the same name that ends in `.inbox`. Both name people:
    keep them as you keep the ledger. To go back to them, stop everything, put the first in the place of `ledger.db`
    and the second in that of `inbox.db`, and remove the files beside them that end in `-wal` and `-shm`; what was sent
    after the backup is unknown to it, so that `caspio-sync run SYNC --baseline` comes first where that must not be sent
    again.

    Example: `caspio-sync ledger backup /backups/ledger-2026-11-30.db`
    """
    settings = local_settings()
    if not settings.has_ledger:
        raise ConfigurationError(f"there is no ledger yet in {settings.home}; the first run makes it")
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"{file.absolute().parent} is no folder; make it, or name another file")
    made = {str(file): back_up(settings.ledger_url, file)}
    # The ledger first: what is posted meanwhile is folded once more from its older state, never passed over.
    if settings.inbox_url != settings.ledger_url and settings.has_inbox:
        beside = file.with_name(f"{file.name}.inbox")
        made[str(beside)] = back_up(settings.inbox_url, beside)
    if as_json:
        show_json({"files": made})
        return
    for name, size in made.items():
        OUT.print(f"{escape(name)}: {size / 1e6:,.1f} MB", soft_wrap=True)


@ledger.command("copy")
def copy(
    to: Annotated[
        str, typer.Option("--to", help="URL of an empty database: postgresql://user:password@host/db or sqlite:///file")
    ],
    as_json: AsJson = False,
) -> None:
    """Move the ledger to another database, each row verified by count and digest. An interrupted copy is gone on with.

    Nothing may run meanwhile. From the first moment on the old one takes no more writes, so that nothing is sent that
    the new one does not know; a receiver that still runs answers 503, and what was posted comes again. Afterwards name
    the new one in CASPIO_SYNC_LEDGER_URL. `caspio-sync ledger reopen` takes the old one back instead.

    Example: `caspio-sync ledger copy --to postgresql://sync:secret@db/caspio_sync`
    """
    settings = local_settings()
    goal = settings.model_copy(update={"ledger": to})
    if not settings.has_ledger:
        raise ConfigurationError(f"there is no ledger yet in {settings.home}; name the new one and begin with it")
    if _same(to, settings.ledger_url):
        raise ConfigurationError("that is the ledger itself; name another database")
    copied: list[Copied] = []
    with ExitStack() as stack:
        clock = CONNECT.get().clock
        target = stack.enter_context(MovingLedger.open(goal.ledger_url, clock=clock))
        source = stack.enter_context(MovingLedger.open(settings.ledger_url, clock=clock))
        target.await_copy(source.salt)
        source.close_to_writers()
        if goal.inbox_url != settings.inbox_url and settings.has_inbox:
            copied += _copy_inbox(stack, settings, goal)
        target.take_copy(stack.enter_context(one_state(settings.ledger_url)), told=copied.append)
        where = target.location
    rows = [(each.table, number(each.rows), each.digest[:12]) for each in copied if each.rows]
    if as_json:
        tables = [{"table": each.table, "rows": each.rows, "digest": each.digest} for each in copied]
        show_json({"ledger": where, "tables": tables})
        return
    show_table("copied, and alike on both sides", ("table", "rows", "digest"), rows, right=("rows",))
    OUT.print(
        f"The ledger is in {escape(where)}. Name it in CASPIO_SYNC_LEDGER_URL, password included, wherever caspio-sync "
        "runs; the old one is closed, and can be deleted when a run has ended well.",
        soft_wrap=True,
    )


@ledger.command("reopen")
def reopen(
    copied: Annotated[
        str | None, typer.Option("--copy", help="URL of the copy, which is closed, if nothing was written into it")
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="The copy is gone, and you know that no run ever used it.")
    ] = False,
) -> None:
    """Take the ledger that the settings name back, after `copy` closed it. Its copy is closed first.

    What was sent by a copy is unknown to the old ledger, and would be sent again: so a copy that a run, a command or a
    receiver wrote into is refused.

    Example: `caspio-sync ledger reopen --copy postgresql://sync:secret@db/caspio_sync`
    """
    settings = local_settings()
    if not settings.has_ledger:
        raise ConfigurationError(f"there is no ledger yet in {settings.home}")
    clock = CONNECT.get().clock
    with MovingLedger.open(settings.ledger_url, clock=clock) as closed:
        was_closed = closed.is_closed
        if was_closed and copied is None and not unused:
            raise ConfigurationError(
                "the ledger was copied, or its copy begun. Name that one (`--copy URL`): it is looked through for what "
                "runs wrote into it, and closed. Where it is gone, and no run ever used it, say so by `--unused`"
            )
        if was_closed and copied is not None:
            _retire(settings, settings.model_copy(update={"ledger": copied}), closed)
        closed.reopen()
    if settings.has_inbox:
        for kind, tables in _INBOX:
            with kind.open(settings.inbox_url, clock=clock) as box:
                reopen_inbox(box, tables)
    OUT.print("The ledger takes writes again." if was_closed else "The ledger was not closed.")


def _retire(settings: LocalSettings, copy: LocalSettings, closed: MovingLedger) -> None:
    """Close the copy of a closed ledger, and of its inbox, as long as nothing was written into them."""
    file = database_file(database_url(copy.ledger_url))
    if file is not None and not file.is_file():
        raise ConfigurationError(f"{file} is not there; name the copy, or say `--unused`")
    clock = CONNECT.get().clock
    with ExitStack() as stack, ExitStack() as undo:  # which is done should the copy have been used
        if settings.inbox_url != copy.inbox_url and settings.has_inbox and copy.has_inbox:
            for kind, tables in _INBOX:
                here: LedgerConnection = stack.enter_context(kind.open(settings.inbox_url, clock=clock))
                there: LedgerConnection = stack.enter_context(kind.open(copy.inbox_url, clock=clock))
                close_inbox(there, tables)
                undo.callback(reopen_inbox, there, tables)
                refuse_used(here.engine, there.engine, tables.sorted_tables)
        stack.enter_context(MovingLedger.open(copy.ledger_url, clock=clock)).retire(closed)
        undo.pop_all()


def _same(one: str, other: str) -> bool:
    urls = database_url(one), database_url(other)
    files = [database_file(url) for url in urls]
    return urls[0] == urls[1] or (None not in files and len({each.resolve() for each in files if each}) == 1)


def _copy_inbox(stack: ExitStack, settings: LocalSettings, goal: LocalSettings) -> list[Copied]:
    clock = CONNECT.get().clock
    copied: list[Copied] = []
    for kind, tables in _INBOX:
        source: LedgerConnection = stack.enter_context(kind.open(settings.inbox_url, clock=clock))
        target: LedgerConnection = stack.enter_context(kind.open(goal.inbox_url, clock=clock))
        close_inbox(source, tables)
        with one_state(settings.inbox_url) as there:
            copied += [copy_table(there, target.engine, table) for table in tables.sorted_tables]
    return copied
