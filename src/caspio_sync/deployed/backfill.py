"""A backfill: rows of a window of time, or of a range of keys, cut into shards that are runs of their own."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, Field, computed_field

from caspio_sync.caspio.cutting import equal_in_rows
from caspio_sync.caspio.records import RecordReader
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.opening import open_plan
from caspio_sync.engine.quota import count_calls
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.selection import check_options
from caspio_sync.engine.situation import backfill_digest
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.run_record import KILLED_CODE
from caspio_sync.ledger.shards import Shard
from caspio_sync.observe.report import ExitCode, RunOptions, RunReport, end_name
from caspio_sync.settings import Settings

MOST_SHARDS = 64
# A backfill that is asked for again within this time goes on; later it begins anew.
_GONE_ON_WITHIN = timedelta(hours=24)

# From good to bad: a backfill ends as the worst of its shards.
_WORSE = (
    ExitCode.DONE,
    ExitCode.NOT_ALL_SENT,
    ExitCode.BLOCKED,
    KILLED_CODE,
    ExitCode.FAILED,
    ExitCode.CONFIGURATION,
    1,
)

Progress = Callable[[int, int], None]
PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)  # is told rows done, and rows in all


@dataclass(frozen=True, slots=True)
class Backfill:
    """What a backfill has to do.

    Args:
        sync: name of the sync.
        kind: what it moves.
        shards: ranges of keys, in order; none where no row is meant.
        notes: for its report.
    """

    sync: str
    kind: str
    shards: Sequence[Shard]
    notes: tuple[str, ...] = ()


class ShardReport(BaseModel):
    """How one shard ended, or where it stands.

    Args:
        low_pk: first key of its range.
        high_pk: the last one.
        rows: about how many rows are meant in it.
        state: as in Prefect: Completed, CompletedWithRejects, Blocked, Failed; Scheduled where nobody waited.
        exit_code: as its run ended; None where nobody waited.
        flow_run: Prefect's run; None where it ran in this process.
        error: why it did not end well.
        report: its counts; None where its run could not be opened.
    """

    low_pk: int
    high_pk: int
    rows: int
    state: str
    exit_code: int | None = None
    flow_run: str | None = None
    error: str | None = None
    report: RunReport | None = None


class BackfillReport(BaseModel):
    """What a backfill did, shard by shard."""

    sync: str
    since: datetime | None = None
    until: datetime | None = None
    pk_range: tuple[int, int] | None = None
    shards: list[ShardReport] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> int:
        """The worst of its shards; a killed one has failed."""
        worst = max((int(each.exit_code or 0) for each in self.shards), key=_severity, default=0)
        return int(ExitCode.FAILED) if worst == KILLED_CODE else worst

    @property
    def not_sent(self) -> int:
        """Rows that were to be sent and were not, of all shards."""
        return sum(each.report.not_sent for each in self.shards if each.report is not None)


class ShardError(CaspioSyncError):
    """A shard that did not end well on a worker.

    Args:
        message: as its run, or Prefect, says.
        exit_code: of its run.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BackfillError(CaspioSyncError):
    """A shard did not end well.

    Args:
        report: what became of each.
    """

    def __init__(self, report: BackfillReport) -> None:
        bad = [each for each in report.shards if each.error is not None]
        told = "; ".join(f"PK_ID {each.low_pk} to {each.high_pk}: {each.error}" for each in bad[:3])
        super().__init__(
            f"{report.sync}: {len(bad)} of {len(report.shards)} shards of the backfill did not end well: {told} "
            "Give the same command again once that is mended: it goes on where they stopped."
        )
        self.report = report
        self.exit_code = report.exit_code


async def plan_backfill(
    name: str, options: RunOptions, shards: int, *, settings: Settings, keep: bool = True
) -> Backfill:
    """Cut what is meant into ranges, about equal in rows; or find what an earlier attempt at the same left to do.

    Args:
        name: name of the sync.
        options: `since` (and `until`), `pk_range`, or both.
        shards: ranges, at most.
        settings: accounts, limits, places.
        keep: write them down in the ledger, so that another attempt goes on.

    Raises:
        ConfigurationError: what is asked for contradicts itself, or does not fit the sync; as `open_plan`.
        TransientError: as `open_plan`.
    """
    check_options(name, options)
    if options.since is None and options.pk_range is None:
        raise ConfigurationError(
            f"{name}: say what to backfill: --from T --to T (rows by their time of change) or --pk A..B (rows by "
            "PK_ID). For everything there is `caspio-sync run --full`"
        )
    async with open_plan(name, options, settings=settings, make_ledger=keep) as run:
        digest = backfill_digest(run.prepared, options)
        asked = "" if options.pk_range is None else "{}..{}".format(*options.pk_range)
        ledger = run.ledger.ledger
        since = run.ledger.ledger.now() - _GONE_ON_WITHIN
        left = await run.ledger.do(ledger.left_shards, name, digest=digest, asked=asked, since=since)
        if left:
            note = f"goes on with the {len(left)} shards that the last attempt left to do"
            return Backfill(name, run.definition.kind, left, (note,))
        cut = await _cut(run, run.reading.readers[0], options.pk_range, shards)
        if len(cut) > 1 and run.work.first is not None:
            raise ConfigurationError(
                f"{name}: {run.work.first}, which shards side by side cannot do: `caspio-sync run {name} --limit 1`, "
                "then the backfill"
            )
        if keep and cut:
            await run.ledger.do(ledger.plan_shards, name, cut, digest=digest, asked=asked, before=since)
            if not settings.caspio_calls_per_day:  # else they were counted as they were made
                await run.ledger.do(count_calls, ledger, settings.caspio_integration_url, run.caspio.calls)
        return Backfill(name, run.definition.kind, cut)


async def run_here(
    planned: Backfill, options: RunOptions, run: Callable[[RunOptions], Awaitable[RunReport]]
) -> list[ShardReport]:
    """One shard after the other in this process, which is as fast as side by side: they would share its processor.

    Args:
        planned: the shards.
        options: what they have in common.
        run: runs one, by its options.
    """
    ended: list[ShardReport] = []
    latest: list[RunReport] = []

    def watch(report: RunReport) -> None:
        latest[:] = [report]
        show_progress(planned, sum(each.rows for each in ended) + report.read)

    token = CONNECT.set(replace(CONNECT.get(), observer=watch))
    try:
        for shard in planned.shards:
            latest.clear()
            error: CaspioSyncError | None = None
            try:
                await run(shard_options(options, shard))
            except CaspioSyncError as raised:
                error = raised
            ended.append(shard_ended(shard, latest[0] if latest else None, error=error, strict=options.strict))
    finally:
        CONNECT.reset(token)
    return ended


def shard_options(options: RunOptions, shard: Shard, **more: bool) -> RunOptions:
    """What a shard's run is asked for."""
    return options.model_copy(update={"pk_range": (shard.low_pk, shard.high_pk), **more})


def show_progress(planned: Backfill, rows: int) -> None:
    """Tell whoever watches how many rows are done."""
    watch = PROGRESS.get()
    if watch is not None:
        watch(rows, sum(each.rows for each in planned.shards))


def report_of(planned: Backfill, options: RunOptions, shards: list[ShardReport]) -> BackfillReport:
    """What the backfill did.

    Raises:
        BackfillError: a shard did not end well.
    """
    report = BackfillReport(
        sync=planned.sync,
        since=options.since,
        until=options.until,
        pk_range=options.pk_range,
        shards=shards,
        notes=list(planned.notes),
    )
    if any(each.error is not None for each in shards):
        raise BackfillError(report)
    return report


async def _cut(run: SyncRun, reader: RecordReader, asked: tuple[int, int] | None, shards: int) -> list[Shard]:
    await reader.open()
    if not reader.total or reader.low is None or reader.high is None:
        return []
    ranges = await equal_in_rows(reader.low, reader.high, shards, total=reader.total, count_up_to=reader.count_up_to)
    run.report.expected = reader.total
    if asked is not None:  # the keys at its ends may be taken by rows to come
        first, last = ranges[0], ranges[-1]
        ranges[0] = (asked[0], *first[1:])
        ranges[-1] = (ranges[-1][0], asked[1], last[2])
    return [Shard(*each) for each in ranges]


def shard_ended(
    shard: Shard,
    report: RunReport | None,
    *,
    error: CaspioSyncError | None = None,
    strict: bool = False,
    state: str | None = None,
    flow_run: UUID | None = None,
) -> ShardReport:
    """How a shard ended, by its counts and the error that ended it; without either it was only started."""
    code = None
    if error is not None:
        code = error.exit_code
    elif report is not None:
        code = int(report.exit_code(strict=strict))
    not_sent = 0 if report is None else report.not_sent
    return ShardReport(
        low_pk=shard.low_pk,
        high_pk=shard.high_pk,
        rows=shard.rows,
        state=state or end_name(ExitCode.DONE if code is None else code, not_sent),
        exit_code=code,
        flow_run=None if flow_run is None else str(flow_run),
        error=None if error is None else str(error),
        report=report,
    )


def _severity(code: int) -> int:
    return _WORSE.index(code) if code in _WORSE else len(_WORSE)
