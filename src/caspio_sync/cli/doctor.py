"""`caspio-sync doctor`: what keeps schedules from doing their work, and the remedy for each."""

import asyncio
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from caspio_sync.caspio.client import Source
from caspio_sync.caspio.query import identifier
from caspio_sync.caspio.read_clock import ReadClock
from caspio_sync.cli.deploy import Pool
from caspio_sync.cli.diagnosis import (
    clock_finding,
    full_inbox_findings,
    inbox_findings,
    ledger_findings,
    place_findings,
    posts_findings,
    server_findings,
)
from caspio_sync.cli.findings import private_findings, show_findings
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.server import named_server
from caspio_sync.cli.show import OUT, show_json
from caspio_sync.deployed.deployments import POOL
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.finding import Finding, findings_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.quota import count_calls
from caspio_sync.env_file import settings_file
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import ExitCode
from caspio_sync.settings import Settings, every_setting

_MOUNTS = Path("/proc/mounts")


def doctor(
    pool: Pool = POOL,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set runs to Crashed that Prefect takes for running and that are dead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what keeps schedules from doing their work: failing runs, dead ones, leases, clocks, pauses, the server.

    Every finding comes with its remedy. Exit code 2 where something has to be done, 0 otherwise. Caspio is asked once,
    for its clock; Prefect's server is asked where PREFECT_API_URL names one.

    Example: `caspio-sync doctor`
    """
    settings = every_setting()
    connect = CONNECT.get()
    findings = list(place_findings(settings.ledger_url, _MOUNTS.read_text() if _MOUNTS.is_file() else ""))
    findings += private_findings(settings_file(), settings.home)
    findings += asyncio.run(_clock(settings))
    if not settings.has_ledger:
        findings.append(Finding("ok", "no ledger yet: nothing has run here"))
    try:
        kept = connect.ledger(settings, connect.clock) if settings.has_ledger else Ledger.open("sqlite://")
    except CaspioSyncError as error:
        findings += findings_of(error)
    else:
        with closing(kept) as ledger:
            findings += ledger_findings(ledger, settings.sync_files.names, ledger.now())
            findings += _inbox(settings, ledger)
            findings += _posts(settings, ledger)
            findings += _server(settings, ledger, pool, repair=repair)
    if as_json:
        show_json({"findings": [asdict(each) for each in findings]})
    else:
        _show(findings)
    if any(each.level == "error" for each in findings):
        raise typer.Exit(ExitCode.CONFIGURATION)


def _server(settings: Settings, ledger: Ledger, pool: str, *, repair: bool) -> list[Finding]:
    url = named_server(settings.home)
    if url is None:
        return [Finding("ok", "no Prefect server is named: runs are by hand or by cron")]
    from tasks.orchestration import use_prefect

    use_prefect(settings.home, server=url)
    from tasks.server import look_at_server, mark_killed

    try:
        state = asyncio.run(look_at_server(pool))
    except CaspioSyncError as error:
        text = str(error)
        what, _, remedy = text.partition(". ")
        return [Finding("error", what, remedy)]
    found = server_findings(state, ledger, settings.ledger_url, ledger.now())
    if repair and found.dead:
        asyncio.run(mark_killed(found.dead))
        return _server(settings, ledger, pool, repair=False)
    return found.findings


def _inbox(settings: Settings, ledger: Ledger) -> list[Finding]:
    """Whether what Braze posted is folded, by each engagement return."""
    connect = CONNECT.get()
    if not settings.has_inbox:
        return []
    returns = []
    for name in settings.sync_files.names:
        with suppress(CaspioSyncError):  # a file that cannot be read is told of by `check`
            if kind_of(load_sync(settings.sync_file(name))).returns:
                returns.append(name)
    try:
        with closing(connect.inbox(settings, connect.clock)) as inbox:
            waiting = {name: inbox.waiting(ledger.folded_to(name)) for name in returns} or {"": inbox.waiting(0)}
            found = list(full_inbox_findings(inbox.size(), settings.inbox_max_gb))
    except CaspioSyncError as error:
        return findings_of(error)
    now = connect.clock.now()
    return found + [finding for name, posts in waiting.items() for finding in inbox_findings(name, posts, now)]


def _posts(settings: Settings, ledger: Ledger) -> list[Finding]:
    """Whether what any system posted is read."""
    connect = CONNECT.get()
    if not settings.has_inbox:
        return []
    reached: dict[str, int] = {}
    readers: dict[str, str] = {}
    for name in settings.sync_files.names:
        with suppress(CaspioSyncError):  # a file that cannot be read is told of by `check`
            if (path := load_sync(settings.sync_file(name)).source.posts) is not None:
                own = ledger.reached(name, ledger.now()) or -1
                if path not in reached or own < reached[path]:
                    reached[path], readers[path] = own, name
    try:
        with closing(connect.posts(settings, connect.clock)) as posts:
            return list(posts_findings(posts.waiting(reached), readers, posts.now()))
    except CaspioSyncError as error:
        return findings_of(error)


async def _clock(settings: Settings) -> list[Finding]:
    """This machine's clock against Caspio's, by one count of the first sync's table."""
    connect = CONNECT.get()
    try:
        sources = (load_sync(settings.sync_file(name)).source for name in settings.sync_files.names)
        source = next((each for each in sources if each.posts is None), None)
        if source is None:
            return []
        key = identifier(source.page_by or "PK_ID")
        async with connect.caspio(settings, connect.clock) as caspio:
            asked_at = connect.clock.now()
            try:
                answer = await caspio.aggregate(
                    Source(source.name, is_view=source.view is not None), select=f"COUNT({key}) AS n"
                )
                answered_at = connect.clock.now()
            finally:
                if settings.has_ledger:
                    with connect.ledger(settings, connect.clock) as ledger:
                        count_calls(ledger, settings.caspio_integration_url, caspio.calls)
    except CaspioSyncError as error:
        return findings_of(error)
    return [clock_finding(ReadClock(asked_at, answered_at, answer.server_time).skew)]


def _show(findings: list[Finding]) -> None:
    show_findings(findings)
    errors = sum(each.level == "error" for each in findings)
    warnings = sum(each.level == "warning" for each in findings)
    OUT.print(f"\n{errors} to correct, {warnings} to think about" if errors or warnings else "\nnothing is wrong")
