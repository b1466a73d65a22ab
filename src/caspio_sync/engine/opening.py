"""Opening a run: what there is is looked at once, then it is decided what to read, then the run is made whole.

=======  ==============================================================  ==============================================
state    what is there                                                   what is left where a run ends in it
=======  ==============================================================  ==============================================
looked   the sync held against its table; the ledger, where there is     nothing but the count of its calls
leased   the lease; whoever died before is written down as `killed`      a lease that ends by itself
chosen   what its kind keeps, what it reads, the run itself              numbers of new versions; what a catalog lost
begun    its record, as `running`; the sweep before it is forgotten      `interrupted`, or `killed` by the next run
moving   a sweep or a shard, and batches: `open`, then `recorded`        the same, and the next run goes on from there
ended    its record: `done`, `blocked`, `failed` or `interrupted`        (see ending.py)
=======  ==============================================================  ==============================================
"""

import contextlib
import ctypes
import functools
import gc
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from caspio_sync import signals
from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.accounts import caspio_account
from caspio_sync.engine.clients import Clients
from caspio_sync.engine.connect import CONNECT, Connect
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.ending import conclude, finish
from caspio_sync.engine.gates import MakeGates, no_gates
from caspio_sync.engine.hinted import hinted, refuse_hints
from caspio_sync.engine.incidents import told
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.lease import HINTS, RUN, HeldLease, hold_lease, new_run_id
from caspio_sync.engine.pausing import heeding_pauses, refuse_everything
from caspio_sync.engine.posted import kept_rows
from caspio_sync.engine.prepared import Prepared, calls_a_page, prepare
from caspio_sync.engine.quota import CaspioQuota, count_calls
from caspio_sync.engine.reading import Reading
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.engine.selection import check_options, choose
from caspio_sync.engine.sharing import refuse_met
from caspio_sync.engine.sieve import RowSieve
from caspio_sync.engine.situation import freed, look
from caspio_sync.engine.turns import Turns
from caspio_sync.engine.workspace import known_accounts, remember_accounts
from caspio_sync.errors import CaspioSyncError, GateBlockedError
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.ledger.run_record import Run
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.observe.freshness import change_times
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.registry import found
from caspio_sync.sealed import Sealer
from caspio_sync.settings import Settings

_M_ARENA_MAX = -8  # of mallopt(3)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was looked at before anything is begun.

    Args:
        name: name of the sync.
        options: what to read, and what to send of it.
        settings: accounts, limits, places.
        connect: how the accounts are reached.
        caspio: the Caspio client.
        ledger: the ledger, in its thread.
        known: the source's fields as the last run found them; None before the first.
        prepared: the sync held against its table.
    """

    name: str
    options: RunOptions
    settings: Settings
    connect: Connect
    caspio: CaspioClient
    ledger: LedgerThread
    known: KnownSource | None
    prepared: Prepared


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
        PausedError: somebody paused the sync.
    """
    check_options(name, options)
    connect = CONNECT.get()
    async with contextlib.AsyncExitStack() as stack:
        watch = await stack.enter_async_context(told(name, settings, connect))
        _share_free_memory()
        stack.enter_context(_collecting_by_batch())
        looked = await _look(name, options, settings, stack)
        ledger, wait_seconds = looked.ledger, math.inf if options.wait else 0.0
        lease = await stack.enter_async_context(
            hold_lease(
                name,
                ledger,
                connect.clock,
                of=HINTS if options.hints else RUN,
                wait_seconds=wait_seconds,
                # What a person did stays in its order, in whichever ranges it is.
                pk_range=options.pk_range if looked.prepared.definition.one_row_a_key else None,
            )
        )
        killed = await ledger.do(_bury, ledger.ledger, name, settings, lease)
        # At once: whatever goes wrong from here on, nobody else will learn of them.
        if on_killed is not None and (dead := [each.flow_run_id for each in killed if each.flow_run_id]):
            await on_killed(dead)
        run = await _make(looked, gates, stack, run=lease.run)
        run.report.notes[:0] = _notes_of_the_dead(killed, lease)
        watch.run = run
        lease.serve(run.clients)
        try:  # from here on its end is written down, though it is told to end while it begins
            await ledger.do(
                ledger.ledger.start_run,
                run=run.id,
                sync=name,
                kind=run.definition.kind,
                mode=run.selection.mode,
                flow_run_id=flow_run,
                pk_range=options.pk_range,
            )
            interrupt = functools.partial(ledger.ledger.interrupt_run, run.id)
            stack.enter_context(signals.noting(lambda: interrupt(exit_code=signals.exit_code())))
            if run.selection.goes_on_from is None:
                await ledger.do(ledger.ledger.forget_sweep, name)
            await ledger.do(ledger.ledger.try_recording, name, run.id)
            async with heeding_pauses(run):
                yield run
                await conclude(run, looked.known)
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
    async with contextlib.AsyncExitStack() as stack:
        looked = await _look(name, options, settings, stack, planned=True, make_ledger=make_ledger)
        ledger = looked.ledger
        if make_ledger and await ledger.do(ledger.ledger.workspace, name) is None:
            await ledger.do(remember_accounts, name, settings, ledger.ledger)
        run = await _make(looked, gates, stack)
        yield run
        run.reading.note_missing()


async def _look(
    name: str,
    options: RunOptions,
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    *,
    planned: bool = False,
    make_ledger: bool = True,
) -> _Looked:
    """Hold the sync against its table and its ledger, which is opened here, once.

    A ledger that is not there yet is made when the sync was not refused; for a plan that makes none, one in memory.

    Raises:
        ConfigurationError, TransientError: as `known_accounts`, when nothing was asked of the accounts; as `prepare`.
    """
    connect = CONNECT.get()
    caspio = await stack.enter_async_context(connect.caspio(settings, connect.clock))
    ledger = known = None
    if settings.has_ledger:
        ledger = _in_its_thread(connect.ledger(settings, connect.clock), stack)
        same = options.same_workspace and not planned
        if not planned:
            await ledger.do(refuse_everything, name, ledger.ledger)
        await known_accounts(name, settings, ledger.ledger, connect, same=same)
        known = await ledger.do(ledger.ledger.known_source, name)
    try:
        prepared = await prepare(settings, name, caspio, known, accept=options.accept_schema)
    except CaspioSyncError:
        if ledger is not None and not planned:  # what was asked in vain is billed as well
            await ledger.do(count_calls, ledger.ledger, settings.caspio_integration_url, caspio.calls)
        raise
    if ledger is None:
        made = connect.ledger(settings, connect.clock) if make_ledger else Ledger.open("sqlite://")
        ledger = _in_its_thread(made, stack)
    return _Looked(name, options, settings, connect, caspio, ledger, known, prepared)


def _in_its_thread(ledger: Ledger, stack: contextlib.AsyncExitStack) -> LedgerThread:
    thread = LedgerThread(ledger)
    stack.callback(thread.close)
    return thread


def _bury(ledger: Ledger, name: str, settings: Settings, lease: HeldLease) -> list[Run]:
    """With the lease at hand: the accounts are the sync's, and runs that were found dead are over; which these are."""
    held = lease.lease
    remember_accounts(name, settings, ledger)
    return ledger.end_killed_runs(name, but=lease.run, low_pk=held.low_pk, high_pk=held.high_pk)


async def _make(
    looked: _Looked, gates: MakeGates, stack: contextlib.AsyncExitStack, *, run: str | None = None
) -> SyncRun:
    """Decide what to read, and make the run; without the id of a run (and its lease) one that only looks.

    Args:
        looked: what was looked at.
        gates: make its gates.
        stack: closes what is made here.
        run: id of the run.
    """
    name, options, settings, connect = looked.name, looked.options, looked.settings, looked.connect
    caspio, ledger, clock, planned = looked.caspio, looked.ledger, looked.connect.clock, run is None
    prepared = await ledger.do(_kept, ledger.ledger, name, looked.prepared)
    definition, mapping = prepared.definition, prepared.mapping
    if options.hints:
        refuse_hints(prepared)
    destination = destination_of(definition)
    sink, account = destination.sink(definition), connect.account(destination, clock)
    clients = Clients(
        caspio=caspio,
        account=account,
        make_sender=lambda rows: connect.sender(settings, clock, sink, account, rows),
    )
    stack.push_async_callback(clients.close)
    # Before the ledger is looked at: of a catalog that lost what was sent it forgets that it was.
    opening = Opening(name, prepared, ledger, clients, sink, clock, planned)
    work: Work = await found(kind_of(definition).work)(opening, definition, mapping)
    situation = await ledger.do(look, ledger.ledger, name, options, prepared, planned=planned)
    now = clock.now()
    selection = choose(options, prepared, situation, now)
    if selection.by_key and not situation.claimed.is_empty():
        situation = replace(situation, freed=await freed(caspio, prepared, situation.claimed))
        selection = choose(options, prepared, situation, now)
    report = RunReport(
        run=run or new_run_id(now),
        sync=name,
        kind=definition.kind,
        destination=destination_of(definition).title,
        mode=selection.mode,
        started_at=now,
        mapping_version=situation.versions.mapping,
        whole=selection.whole,
        drift=list(prepared.drift.lines),
        in_doubt=situation.in_doubt,
        notes=[*prepared.shares.notes, *selection.notes],
        writeback=work.writeback,
    )
    observe = _nothing if connect.observer is None else functools.partial(connect.observer, report)
    quota = CaspioQuota(
        account=caspio_account(settings.caspio_integration_url),
        calls_per_day=settings.caspio_calls_per_day,
        calls_per_window=settings.caspio_calls_per_window,
        ledger=ledger,
        clock=clock,
        on_stretch=functools.partial(_stretched, report, observe),
    )
    stack.push_async_callback(quota.close)
    # A plan writes nothing, apart from the count that keeps its own calls within a budget.
    if not planned or (settings.caspio_calls_per_day and settings.has_ledger):
        await quota.made(caspio.calls)
        caspio.hold_to(quota)
    sieve = None
    # Where a field cannot be read now, a row is not what it is.
    if work.sifts and selection.whole and not (planned or options.hints or mapping.stopped):
        takes_out = not options.whole and not work.sends_all
        sieve = RowSieve(name, prepared, ledger, situation.versions, clock=clock, takes_out=takes_out)
        await sieve.begin()
    turns, cursor, after = Turns(report, observe), definition.source.cursor, selection.goes_on_from
    zone = None if cursor is None else prepared.fields[cursor].time_zone
    reading = Reading(
        readers=[
            prepared.reader(caspio, where, clock, limit=options.limit, sieve=sieve) for where in selection.conditions
        ],
        options=options,
        key_field=mapping.identity.source_field,
        goes_on_from=None if after is None else after.began_at,
        calls_a_page=calls_a_page(caspio, prepared),
        quota=quota,
        report=report,
        turns=turns,
        sieve=sieve,
        kept=kept_rows(definition.source),
    )
    judges = gates(name, definition, mapping)
    if situation.is_new and not planned:
        judges.expect()
    blocks: list[GateBlockedError] = []
    if options.hints:
        hints = connect.hints(settings, clock)
        stack.callback(hints.close)
        stopped = functools.partial(bool, blocks)
        sealer = Sealer(settings.payload_keys) if settings.payload_keys else None
        reading = hinted(
            *(reading, prepared), hints=hints, ledger=ledger, caspio=caspio, sealer=sealer, clock=clock, stopped=stopped
        )
    stack.push_async_callback(reading.aclose)
    return SyncRun(
        name=name,
        prepared=prepared,
        options=options,
        selection=selection,
        planned=planned,
        ledger=ledger,
        clients=clients,
        sink=sink,
        quota=quota,
        versions=situation.versions,
        gates=judges,
        times=change_times(cursor, zone, situation.read_up_to(now)),
        reading=reading,
        turns=turns,
        work=work,
        report=report,
        clock=clock,
        observe=observe,
        blocks=blocks,
    )


def _kept(ledger: Ledger, name: str, prepared: Prepared) -> Prepared:
    """The sync held against what the ledger keeps of it: the consent columns of former mappings stay.

    Raises:
        ConfigurationError: as `refuse_met`.
    """
    identity = prepared.mapping.identity
    ledger.hash_former_keys(name, identity_salt(ledger.salt, identity.kind, identity.label))
    refuse_met(ledger, prepared.shares)
    return prepared.keeping(ledger.mapping_fields(name))


def _nothing() -> None:
    return None


def _stretched(report: RunReport, observe: Callable[[], None], why: str) -> None:
    report.stretched = why
    observe()


def _share_free_memory() -> None:
    """Have the threads of a run share what the C library holds free; each would keep a part of a batch for itself."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc alone knows the call
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


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
