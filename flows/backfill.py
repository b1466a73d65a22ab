"""Backfill: chosen rows of any kind of sync, cut into shards; each is a run of the sync's own flow."""

import asyncio
import contextlib
from dataclasses import dataclass
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from pydantic import BaseModel, Field

from caspio_sync.deployed.backfill import (
    MOST_SHARDS,
    Backfill,
    BackfillReport,
    ShardError,
    ShardReport,
    plan_backfill,
    report_of,
    run_here,
    shard_ended,
    shard_options,
    show_progress,
)
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.kind import kind_named
from caspio_sync.errors import TransientError
from caspio_sync.ledger.run_record import KILLED, RUNNING
from caspio_sync.ledger.shards import Shard
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.moment import Moment
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.settings import SyncName, current_settings
from flows.kinds import run_flow
from tasks.ending import run_name, with_named_end
from tasks.server import mark_killed
from tasks.shards import flow_runs_of, give_up, labelled_exit_code, trigger

_LOOK_SECONDS = 2.0
_MOST_TRIES = 3  # of a shard whose workers die
_SILENT_SECONDS = 120.0  # without a word of a shard that a worker took, until the worker counts as dead


class BackfillParameters(BaseModel, frozen=True, extra="forbid"):
    """Which rows, and how; the accounts come from the environment of the worker."""

    sync: SyncName = Field(description="Name of a sync, or its file in syncs/.")
    since: Moment | None = Field(
        default=None, description="Rows changed since this time (ISO 8601; without a zone it is UTC)."
    )
    until: Moment | None = Field(default=None, description="With since: no rows changed later than this.")
    pk_range: tuple[int, int] | None = Field(
        default=None, description="Rows whose PK_ID lies between these two, both included."
    )
    shards: int = Field(
        default=1, ge=1, le=MOST_SHARDS, description="Cut the rows into so many runs, about equal in rows."
    )
    on_workers: bool = Field(
        default=False, description="Each shard as a run of the sync's deployment, on any worker; else one by one here."
    )
    follow: bool = Field(default=True, description="On workers: follow the shards to their end.")
    resend: bool = Field(default=False, description="Send every field of every row read. Braze bills it all.")
    strict: bool = Field(default=False, description="Exit code 5 when a row was quarantined, rejected or blocked.")
    wait: bool = Field(default=False, description="Where a run of this sync is under way, wait for its end.")

    @property
    def options(self) -> RunOptions:
        """What the shards have in common."""
        return RunOptions(**self.model_dump(include={"since", "until", "pk_range", "resend", "strict", "wait"}))


@flow(
    flow_run_name=run_name,
    name="backfill",
    description="Rows of a window of time or a range of keys, in shards; moves no cursor.",
)
@with_named_end
async def backfill(parameters: BackfillParameters) -> BackfillReport:
    """Cut ─▶ run each shard, here or on workers ─▶ the worst of their ends.

    Raises:
        BackfillError: a shard did not end well.
        ConfigurationError, TransientError: as `plan_backfill`.
    """
    sync, options = parameters.sync, parameters.options
    planned = await plan_backfill(sync, options, parameters.shards, settings=current_settings(sync))
    if parameters.on_workers:
        shards = await _on_workers(planned, options, follow=parameters.follow)
    else:
        shards = await run_here(planned, options, lambda chosen: run_flow(planned.kind, planned.sync, chosen))
    return report_of(planned, options, shards)


def run_backfill(parameters: BackfillParameters) -> BackfillReport:
    """Run the flow in this process and wait for it.

    Raises:
        CaspioSyncError: as `backfill`.
    """
    return asyncio.run(backfill(parameters))


@dataclass
class _Followed:
    """A shard on its way: which flow run it is, how many it was before, and since when nothing is heard of it."""

    shard: Shard
    flow_run: UUID
    tries: int = 1
    silent_since: float | None = None  # on the monotonic clock
    read: int = 0
    ended: ShardReport | None = None

    def is_silent(self, now: float, *, heard: bool) -> bool:
        """Whether its worker counts as dead: one that dies before the run has its lease leaves it Pending, or Running.

        Args:
            now: on the monotonic clock.
            heard: whether it is under way, waits for whoever writes these rows, or was not taken yet.
        """
        if heard or self.silent_since is None:
            self.silent_since = None if heard else now
        return self.silent_since is not None and now - self.silent_since >= _SILENT_SECONDS


async def _on_workers(planned: Backfill, options: RunOptions, *, follow: bool) -> list[ShardReport]:
    """Each shard as a run of the sync's deployment, on whichever workers there are."""

    async def start(shard: Shard) -> UUID:
        # What is asked of a worker comes when it comes: a run for changes may be under way then.
        chosen = shard_options(options, shard, wait=True)
        name = f"backfill-{planned.sync}-{shard.low_pk}-{shard.high_pk}"
        return await trigger(f"{kind_named(planned.kind).flow_name}/{planned.sync}", planned.sync, chosen, name=name)

    shards = [_Followed(shard, await start(shard)) for shard in planned.shards]
    if not follow:
        return [shard_ended(each.shard, None, state="Scheduled", flow_run=each.flow_run) for each in shards]
    connect = CONNECT.get()
    ledger = LedgerThread(connect.ledger(current_settings(), connect.clock))
    try:
        while waiting := [each for each in shards if each.ended is None]:
            try:
                found = await flow_runs_of([each.flow_run for each in waiting])
            except TransientError:  # a server that is started again; the shards go on meanwhile
                found = {}
            for each in waiting:
                now = connect.clock.monotonic()
                dead = await _look(ledger, planned, each, found.get(each.flow_run), now, strict=options.strict)
                if dead and each.tries < _MOST_TRIES:
                    each.flow_run, each.tries, each.silent_since = await start(each.shard), each.tries + 1, None
                elif dead:
                    each.ended = shard_ended(
                        each.shard,
                        None,
                        error=TransientError(f"its worker died {_MOST_TRIES} times; look at the workers' logs"),
                        flow_run=each.flow_run,
                    )
            show_progress(planned, sum(each.shard.rows if each.ended else each.read for each in shards))
            if any(each.ended is None for each in shards):
                await connect.clock.sleep(_LOOK_SECONDS)
    finally:
        ledger.close()
    return [each.ended for each in shards if each.ended is not None]


async def _look(
    ledger: LedgerThread, planned: Backfill, followed: _Followed, flow_run: FlowRun | None, now: float, *, strict: bool
) -> bool:
    """Note where a shard stands, and how it ended; whether its process died."""
    kept = await ledger.do(ledger.ledger.leases, planned.sync)
    run = await ledger.do(ledger.ledger.run_of, str(followed.flow_run))
    if run is not None:
        followed.read = await ledger.do(ledger.ledger.rows_recorded, run.id)
    if flow_run is None or (state := flow_run.state) is None:
        return False
    if state.is_final():
        if state.is_crashed():
            return True
        report = None if run is None or run.report is None else RunReport.model_validate(run.report)
        failed = (
            None
            if state.is_completed()
            else _error_of(state, run.exit_code if run and run.exit_code else labelled_exit_code(flow_run))
        )
        followed.ended = shard_ended(
            followed.shard, report, error=failed, strict=strict, state=state.name, flow_run=followed.flow_run
        )
        return False
    held = any(each.low_pk <= followed.shard.high_pk and each.high_pk >= followed.shard.low_pk for each in kept)
    if run is not None and (run.state == KILLED or (run.state == RUNNING and not held)):
        await mark_killed([str(followed.flow_run)])
        return True
    waits = held or not (state.is_pending() or state.is_running())
    if followed.is_silent(now, heard=run is not None or waits):
        with contextlib.suppress(TransientError):  # at the next look
            await give_up(followed.flow_run)
            return True
    return False


def _error_of(state: State, code: int) -> ShardError:
    message = state.message or f"{state.name} in Prefect"
    return ShardError(message.removeprefix(f"exit code {code}: "), code)
