"""Opening a run: sync file, table, ledger and cursor are looked at before the first row is read."""

import contextlib
import functools
import gc
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime

from caspio_sync import signals
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clients.caspio_query import and_, identifier
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.runs import Run
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.mapping.row_mapping import RULES_VERSION
from caspio_sync.run.again import Again, held_again
from caspio_sync.run.catalogs.work import CatalogWork, SchemaChange
from caspio_sync.run.connect import CONNECT, Connect, Observer
from caspio_sync.run.context import SyncRun
from caspio_sync.run.destination import destination_of
from caspio_sync.run.ending import conclude, finish
from caspio_sync.run.freshness import ChangeTimes, change_times
from caspio_sync.run.gates import MakeGates, no_gates
from caspio_sync.run.incidents import told
from caspio_sync.run.lease import HeldLease, hold_lease, new_run_id
from caspio_sync.run.prepared import Prepared, prepare, suite_digest
from caspio_sync.run.quota import CaspioQuota, caspio_account, count_calls
from caspio_sync.run.report import RunOptions, RunReport
from caspio_sync.run.resuming import find_rest
from caspio_sync.run.selection import check_options, conditions_of, is_ahead, lower_bound, note_missing
from caspio_sync.run.shards import find_shard
from caspio_sync.run.sharing import refuse_met
from caspio_sync.run.workspace import known_accounts, remember_accounts
from caspio_sync.settings import Settings


@contextlib.asynccontextmanager
async def open_run(
    name: str,
    options: RunOptions,
    *,
    settings: Settings,
    gates: MakeGates = no_gates,
    flow_run: str | None = None,
    on_killed: Callable[[list[str]], Awaitable[None]] | None = None,
) -> AsyncIterator[SyncRun]:
    """Open a run, and close it: its record, its cursor and its lease, whatever happens inside.

    Args:
        name: name of the sync.
        options: what to read, and what to send of it.
        settings: accounts, limits, places.
        gates: make the gates that its line comes to.
        flow_run: id of the orchestrator's run.
        on_killed: is told the orchestrator's ids of former runs that were found dead.

    Raises:
        LeaseHeldError: another run of this sync is under way.
        ConfigurationError, TransientError: as `prepare`, or the ledger, says.
        GateBlockedError: the gate blocked a batch.
    """
    check_options(name, options)
    connect = CONNECT.get()
    clock = connect.clock
    async with contextlib.AsyncExitStack() as stack:
        watch = await stack.enter_async_context(told(name, settings, connect))
        stack.enter_context(_collecting_by_batch())
        caspio = await stack.enter_async_context(connect.caspio(settings, clock))
        known = await _known_source(connect, settings, name, same_workspace=options.same_workspace)
        try:
            prepared = await prepare(settings, name, caspio, known, accept=options.accept_schema)
        except CaspioSyncError:
            if settings.has_ledger:  # what was asked in vain is billed as well
                with connect.ledger(settings, clock) as counting:
                    count_calls(counting, settings.caspio_integration_url, caspio.calls)
            raise
        ledger = LedgerThread(connect.ledger(settings, clock))
        stack.callback(ledger.close)
        lease = await stack.enter_async_context(
            hold_lease(
                name,
                ledger,
                clock,
                wait_seconds=math.inf if options.wait else 0.0,
                pk_range=options.pk_range,
            )
        )
        held = lease.lease
        await ledger.do(remember_accounts, name, settings, ledger.ledger)
        killed = await ledger.do(
            ledger.ledger.end_killed_runs, name, but=lease.run, low_pk=held.low_pk, high_pk=held.high_pk
        )
        notes = _notes_of_the_dead(killed, lease)
        # At once: whatever goes wrong from here on, nobody else will learn of them.
        if on_killed is not None and (dead := [each.flow_run_id for each in killed if each.flow_run_id]):
            await on_killed(dead)
        run = await _open(name, options, settings, prepared, caspio, ledger, connect, gates, run=lease.run)
        run.report.notes[:0] = notes
        watch.run = run
        stack.push_async_callback(run.quota.close)
        stack.push_async_callback(run.close)
        lease.serve(run)
        try:  # from here on its end is written down, though it is told to end while it begins
            await ledger.do(
                ledger.ledger.start_run,
                run=run.id,
                sync=name,
                kind=prepared.definition.kind,
                mode=run.report.mode,
                flow_run_id=flow_run,
                pk_range=options.pk_range,
            )
            interrupt = functools.partial(ledger.ledger.interrupt_run, run.id)
            stack.enter_context(signals.noting(lambda: interrupt(exit_code=signals.exit_code())))
            if run.resumed is None:
                await ledger.do(ledger.ledger.forget_sweep, name)
            await ledger.do(ledger.ledger.try_recording, name, run.id)
            yield run
            await conclude(run, known)
        except BaseException as error:
            await finish(run, error, interrupted=not isinstance(error, Exception) and not lease.lost)
            raise
        await finish(run, None)


@contextlib.asynccontextmanager
async def open_plan(
    name: str, options: RunOptions, *, settings: Settings, gates: MakeGates = no_gates, make_ledger: bool = False
) -> AsyncIterator[SyncRun]:
    """Open a run that only looks: no lease, no record, and no ledger where there is none yet.

    Args:
        name: name of the sync.
        options: what to read.
        settings: accounts, limits, places.
        gates: make the gates that its line comes to.
        make_ledger: make a ledger where there is none: for what is written by hand.

    Raises:
        ConfigurationError, TransientError: as `prepare`, or the ledger, says.
    """
    connect = CONNECT.get()
    async with contextlib.AsyncExitStack() as stack:
        caspio = await stack.enter_async_context(connect.caspio(settings, connect.clock))
        known = await _known_source(connect, settings, name)
        prepared = await prepare(settings, name, caspio, known, accept=options.accept_schema)
        kept = make_ledger or settings.has_ledger
        ledger = LedgerThread(connect.ledger(settings, connect.clock) if kept else Ledger.open("sqlite://"))
        stack.callback(ledger.close)
        if make_ledger and ledger.ledger.workspace(name) is None:
            await ledger.do(remember_accounts, name, settings, ledger.ledger)
        run = await _open(name, options, settings, prepared, caspio, ledger, connect, gates)
        stack.push_async_callback(run.quota.close)
        stack.push_async_callback(run.close)
        yield run
        note_missing(run)


async def _known_source(
    connect: Connect, settings: Settings, name: str, *, same_workspace: bool = False
) -> KnownSource | None:
    """The source's fields as the last run found them. No ledger is made for a sync that may be refused.

    Raises:
        ConfigurationError, TransientError: as `known_accounts`; nothing was asked of the accounts.
    """
    if not settings.has_ledger:
        return None
    with contextlib.closing(connect.ledger(settings, connect.clock)) as ledger:
        await known_accounts(name, settings, ledger, connect, same=same_workspace)
        return ledger.known_source(name)


async def _open(  # noqa: PLR0917 - the parts of a run, each once
    name: str,
    options: RunOptions,
    settings: Settings,
    prepared: Prepared,
    caspio: CaspioClient,
    ledger: LedgerThread,
    connect: Connect,
    gates: MakeGates,
    *,
    run: str | None = None,
) -> SyncRun:
    """The parts put together; without the id of a run (and its lease) for looking alone."""
    identity = prepared.mapping.identity
    await ledger.do(
        ledger.ledger.hash_former_keys, name, identity_salt(ledger.ledger.salt, identity.kind, identity.label)
    )
    await ledger.do(refuse_met, ledger.ledger, prepared.shares)
    prepared = prepared.keeping(await ledger.do(ledger.ledger.mapping_fields, name))
    catalog = await _catalog(name, prepared, ledger, connect, planned=run is None)
    versions = await ledger.do(_versions, ledger.ledger, name, prepared, planned=run is None)
    stored, now = await ledger.do(ledger.ledger.cursor, name), connect.clock.now()
    ahead = stored is not None and is_ahead(stored.watermark, now)
    bound, mode = lower_bound(name, options, prepared, stored, now)
    again = await held_again(name, options, prepared, ledger, versions, caspio, bound)
    if again is None:  # more than a sweep reads at less cost
        bound, mode, again = None, "sweep", Again()
    conditions = [*([] if options.release else conditions_of(options, prepared, bound)), *again.conditions]
    rest = None
    if run is not None and mode == "sweep":  # a plan shows the whole
        rest = await find_rest(name, options, prepared, ledger, versions, caspio, connect.clock)
    if rest is not None:
        conditions, again = rest.conditions, rest.again
    shard = await find_shard(name, options, prepared, ledger) if run is not None else None
    if shard is not None and shard.after_pk is not None:
        conditions = [and_(each, f"{identifier(prepared.key.name)}>{shard.after_pk}") for each in conditions]
    readers = [prepared.reader(caspio, where, connect.clock, limit=options.limit) for where in conditions]
    report = RunReport(run=run or new_run_id(now), sync=name, kind=prepared.definition.kind, mode=mode, started_at=now)
    report.whole = mode == "sweep" and rest is None
    report.drift = list(prepared.drift.lines)
    report.in_doubt = await ledger.do(_ended_in_doubt, ledger.ledger, name)
    report.notes += [*prepared.shares.notes, *(rest.notes if rest else []), *(shard.notes if shard else [])]
    if stored is not None and ahead and not options.partial:
        report.notes.append(
            f"its cursor stood in the future ({stored.watermark:%Y-%m-%d %H:%M} UTC): all rows are read"
        )
    quota = CaspioQuota(
        account=caspio_account(settings.caspio_integration_url),
        calls_per_day=settings.caspio_calls_per_day,
        calls_per_window=settings.caspio_calls_per_window,
        ledger=ledger,
        clock=connect.clock,
        on_stretch=lambda why: _stretched(report, why, connect.observer),
    )
    # A plan writes nothing, apart from the count that keeps its own calls within a budget.
    if run is not None or (settings.caspio_calls_per_day and settings.has_ledger):
        await quota.made(caspio.calls)
        caspio.hold_to(quota)
    account = connect.account(destination_of(prepared.definition), connect.clock)
    opened = SyncRun(
        name=name,
        prepared=prepared,
        options=options,
        ledger=ledger,
        caspio=caspio,
        readers=readers,
        versions=versions,
        report=report,
        clock=connect.clock,
        sender=lambda: connect.sender(settings, connect.clock, opened.sink, account, report.expected),
        account=account,
        quota=quota,
        gates=gates(name, prepared.definition, prepared.mapping),
        observer=connect.observer,
    )
    opened.times = _times(prepared, None if stored is None or ahead else stored.watermark)
    opened.asked = again.source_pks
    opened.resumed = rest.after if rest else None
    opened.shard = shard
    opened.catalog = catalog
    opened.planned = run is None
    return opened


def _ended_in_doubt(ledger: Ledger, name: str) -> bool:
    """Whether nobody knows who answered the last request of the run before."""
    reports = (each.report for each in ledger.runs(name) if each.report)  # a killed one has none
    return bool(next(reports, {}).get("in_doubt"))


def _times(prepared: Prepared, since: datetime | None) -> ChangeTimes:
    cursor = prepared.definition.source.cursor
    zone = None if cursor is None else prepared.fields[cursor].time_zone
    return change_times(cursor, zone, since)


async def _catalog(
    name: str, prepared: Prepared, ledger: LedgerThread, connect: Connect, *, planned: bool
) -> CatalogWork | None:
    """The catalog held against the mapping; None for a sync of another kind.

    Where what was sent is lost there, the ledger forgets that it was before anything is decided by it.
    """
    definition, mapping = prepared.definition, prepared.mapping
    if not isinstance(definition, CatalogSync) or not isinstance(mapping, CatalogMapping):
        return None
    destination = destination_of(definition)
    async with connect.account(destination, connect.clock) as account:
        change: SchemaChange = await destination.sink(definition).keeper(account, mapping).look()
    store = ledger.ledger
    former = await ledger.do(store.catalog_name, name)
    known = {field for fields in (await ledger.do(store.mapping_fields, name)).values() for field in fields}
    moved = change.create or former not in {None, definition.catalog.name}
    lost = {each.name for each in change.add} & known
    sends_all = bool(known) and (moved or bool(lost))
    if sends_all and not planned:
        await ledger.do(store.forget_sent, name, items_exist=not moved)
    if not planned:
        await ledger.do(store.doubt_unrecorded, name)
        await ledger.do(store.remember_catalog, name, definition.catalog.name)
    if former not in {None, definition.catalog.name}:
        stays = f"items went to catalog '{former}' before, which stays as it is"
        left = f"{stays}; delete it in {destination.title} if nobody uses it"
        change = replace(change, notes=(*change.notes, left))
    return CatalogWork(
        change,
        sends_all=sends_all,
        patches=bool(set(change.extra) - set(change.delete)) or bool(mapping.stopped),
        rows_last=await ledger.do(store.rows_last_read, name),
    )


def _stretched(report: RunReport, why: str, observer: Observer | None) -> None:
    report.stretched = why
    if observer is not None:
        observer(report)


def _versions(ledger: Ledger, name: str, prepared: Prepared, *, planned: bool) -> Versions:
    """The present versions; a plan takes the numbers that a run would give, and gives none."""
    mapping = prepared.mapping
    columns = tuple(column.name for column in mapping.columns)
    suite = suite_digest(prepared.definition, mapping)
    if planned:
        version = ledger.known_mapping_version(name, mapping.digest)
        stored = ledger.mapping_fields(name)
        number = version or max(stored, default=0) + 1
        suite_number = ledger.known_suite_version(name, suite) or 0
        former = ledger.versions_under_former_rules(name, RULES_VERSION)
        return Versions(number, suite_number, {**stored, number: columns}, ledger.unfinished(name), former)
    number = ledger.mapping_version(name, mapping.digest, columns, rules=RULES_VERSION)
    former = ledger.versions_under_former_rules(name, RULES_VERSION)
    suite_number = ledger.suite_version(name, suite)
    return Versions(number, suite_number, ledger.mapping_fields(name), ledger.unfinished(name), former)


@contextlib.contextmanager
def _collecting_by_batch() -> Iterator[None]:
    """Leave garbage to the end of each batch: the collector's own moments come often, and look at every module."""
    was_enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _notes_of_the_dead(killed: list[Run], held: HeldLease) -> list[str]:
    """That former runs were killed, and that their lease was taken over."""
    notes = [f"run {each.id} was killed; what it had recorded is not sent again" for each in killed]
    if held.lease.instead_of is not None:
        notes.append(f"took the lease over from {held.lease.instead_of}, which is dead or has not renewed it")
    return notes
