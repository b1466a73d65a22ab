"""A dry run: the same reading, mapping, comparing and judging, and nothing written anywhere.

The destination is asked one thing, for a sample: whether new rows would make duplicates.
"""

import orjson
import polars as pl
from pydantic import BaseModel, Field

from caspio_sync.delivery.requests import count_requests
from caspio_sync.engine import comparing, sending
from caspio_sync.engine.duplicates import Duplicates, NewRows, count_duplicates
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.schedules import DailyCalls, calls_a_run, most_runs_a_day, over_budget, runs_a_month
from caspio_sync.engine.shared_dates import SharedDates
from caspio_sync.engine.writes import Write
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.compare import ONLY_OPT_OUT, send
from caspio_sync.observe.announced import announced
from caspio_sync.observe.report import RunReport
from caspio_sync.schemas import Verdict

_RUNS_COUNTED = 2_000  # a plan is to be quick


class ItemsPlan(BaseModel):
    """What a run would do to a catalog.

    Args:
        schema_changes: what comes first: the catalog made, fields added or deleted.
        write: items that would be put or edited.
        delete: items that would be deleted; None where this read cannot tell.
        examples: ids of some of those.
        unchanged: items that stay as they are.
        requests: to write and delete them.
        seconds: that these take at the destination's limit.
    """

    schema_changes: list[str] = Field(default_factory=list)
    write: int = 0
    delete: int | None = None
    examples: list[str] = Field(default_factory=list)
    unchanged: int = 0
    requests: int = 0
    seconds: float = 0.0


class EventsPlan(BaseModel):
    """What a run would do with events.

    Args:
        objects: that would be sent; a row may become several.
        since: time of the oldest of them; None where there is none.
        until: time of the newest.
        unknown: events whose answer was lost, and which are not sent again by themselves.
    """

    objects: int = 0
    since: str | None = None
    until: str | None = None
    unknown: int = 0

    def add(self, times: pl.Series, objects: int) -> None:
        """Count events that would be sent: their times as text in UTC, and how many objects they are."""
        self.objects += objects
        told = [each for each in (self.since, self.until, times.min(), times.max()) if each is not None]
        self.since = min((str(each) for each in told), default=None)
        self.until = max((str(each) for each in told), default=None)


class Plan(BaseModel):
    """What a run would do.

    Args:
        report: the counts of a run, as far as they can be known; `verdicts` are those the gate would give.
        to_send: rows that would be sent; nothing of a batch that the gate would block.
        blocked: why the gate would block a batch, or the run erase nobody; None where it would not.
        samples: JSON objects that would be sent, `--show` of them.
        calls_a_month: Caspio calls at the schedule; None without one.
        schedule: the sync's schedule.
        duplicates: new rows whose address another profile has; None where that was not asked, or could not be.
        steps: how `calls_a_month` comes about, for people.
        calls_a_run: Caspio calls of a run that finds little changed.
        calls_today: Caspio calls counted since midnight UTC, of all syncs on this ledger.
        calls_per_day: the account's daily budget; None without one.
        warnings: what will not work out, with the arithmetic.
        refused: why the sync must not be deployed with its schedule, with the arithmetic; None where it may.
        items: of a catalog; None for other kinds.
        hint_calls_a_month: Caspio calls for announced rows, as it has gone in the last 7 days; None where none were.
        events: of a sync of events or purchases; None for other kinds.
        mapping_changes: what the sync file maps otherwise than the last run did, and what becomes of it.
        first: what is made at the destination before anything is sent.
        enrolled: how many people would enter an automation, by its name.
        calls: calls to the destination, where they are more than the requests; None where they are not.
        seconds: that these take at its limit.
    """

    report: RunReport
    to_send: int = 0
    blocked: str | None = None
    samples: list[dict[str, object]] = Field(default_factory=list)
    calls_a_month: int | None = None
    schedule: str | None = None
    steps: str = ""
    duplicates: Duplicates | None = None
    calls_a_run: int = 0
    calls_today: int = 0
    calls_per_day: int | None = None
    warnings: list[str] = Field(default_factory=list)
    refused: str | None = None
    items: ItemsPlan | None = None
    hint_calls_a_month: int | None = None
    events: EventsPlan | None = None
    mapping_changes: list[str] = Field(default_factory=list)
    first: list[str] = Field(default_factory=list)
    enrolled: dict[str, int] = Field(default_factory=dict)
    calls: int | None = None
    seconds: float = 0.0


class Planning:
    """A plan while it is made.

    Args:
        run: opened by `open_plan`.
        show: how many sample objects to keep.
    """

    def __init__(self, run: SyncRun, show: int) -> None:
        schedule = run.definition.schedule
        self.plan = Plan(report=run.report, schedule=None if schedule is None else str(schedule))
        self.show = show
        self.new = NewRows()
        self.dates = SharedDates(run.mapping.checked)
        self.writes: int | None = None  # calls to Caspio that write; None where the kind makes none
        self.warnings: list[str] = []  # after all others

    def block(self, why: str | None) -> None:
        """Note why a run would send no more; the first reason is told."""
        self.plan.blocked = self.plan.blocked or why

    async def concluded(self, run: SyncRun) -> Plan:
        """The plan and what it costs, once all batches were gone through."""
        plan = self.plan
        run.report.state = "done"
        run.report.caspio_calls = run.caspio.calls
        _price_calls(run, plan, self.writes)
        await _count_duplicates(run, plan, self.new)
        past = await run.ledger.do(run.ledger.ledger.runs, run.name, limit=_RUNS_COUNTED)
        plan.hint_calls_a_month = announced(past).calls_a_month or None
        plan.calls_today = await run.quota.used_today()
        plan.calls_per_day = run.quota.calls_per_day
        _hold_against_budget(run, plan)
        plan.warnings += [*self.dates.warnings(lambda name: run.definition.where("fields", name)), *self.warnings]
        return plan


def count_rows(planning: Planning, run: SyncRun, accepted: pl.DataFrame, held: pl.DataFrame, *, sent: bool) -> None:
    """Count what becomes of the rows that the gate judged; `sent`: whether it lets the batch pass."""
    # A row with nothing but an opt-out is done with that, whatever else is required.
    done = accepted.filter(pl.col(ONLY_OPT_OUT))
    leaving, without = sending.without_required_consent(run, accepted.filter(~pl.col(ONLY_OPT_OUT)))
    for rows, verdict in ((held, Verdict.QUARANTINED), (without, Verdict.BLOCKED)):
        run.report.count_outcomes(rows.with_columns(verdict=pl.lit(verdict.value)), name=run.example_column)
        comparing.count_full(run, rows, -1)
    if sent:
        planning.new.add(leaving)
        planning.plan.to_send += done.height
        _count_objects(run, planning.plan, leaving, planning.show)


async def mapping_changes(run: SyncRun) -> list[str]:
    """Columns that come or go with a mapping that no run had yet; a renamed one is told as both."""
    ledger = run.ledger
    former = await ledger.do(ledger.ledger.mapping_fields, run.name)
    if not former or await ledger.do(ledger.ledger.known_mapping_version, run.name, run.mapping.digest) is not None:
        return []
    before, now = former[max(former)], [column.name for column in run.mapping.columns]
    where = run.definition.where("fields")
    stays = (
        f"{run.destination.title} keeps the value it has, and it is billed no more; to remove it, map it to an empty "
        "field with `on_null: clear` for one run"
        if kind_of(run.definition).words.billed
        else "what was written stays where it is"
    )
    return [
        *(f"{where}: {name} is new: it goes out for every row that has a value" for name in now if name not in before),
        *(f"{where}: {name} is not mapped any more: {stays}" for name in before if name not in now),
    ]


async def _count_duplicates(run: SyncRun, plan: Plan, new: NewRows) -> None:
    """Where the sync makes profiles by id and maps an address; a plan is none the worse without it."""
    identity = run.mapping.identity
    by_address = "identify_by_email" in run.sink.values.on_new  # else nobody is known there by an address alone
    if not new.count or not by_address or identity.kind != "external_id" or identity.on_new == "update_only":
        return
    try:
        plan.duplicates = await count_duplicates(run, new)
    except CaspioSyncError as error:
        run.report.notes.append(f"duplicates were not counted: {error}")


def count_opt_outs(planning: Planning, run: SyncRun, rows: pl.DataFrame) -> None:
    """Count what would be sent ahead of everything else."""
    leaving = sending.leaving_ahead(rows)
    if not leaving.is_empty():
        run.report.opt_outs += leaving.height
        for write in run.sink.opt_outs(leaving, run.mapping):
            _count_calls(run, planning.plan, write, write.encode(write.rows))


def _count_objects(run: SyncRun, plan: Plan, rows: pl.DataFrame, show: int) -> None:
    if rows.is_empty():
        return
    for write in sending.planned_writes(run, rows):
        objects = write.encode(write.rows)
        plan.to_send += objects.len()
        _count_calls(run, plan, write, objects)
        missing = max(0, show - len(plan.samples))
        plan.samples += [orjson.loads(text) for text in objects.head(missing)]
    run.report.data_points += int(rows.select(run.sink.price(rows, run.mapping.columns, send).sum()).item())


def _count_calls(run: SyncRun, plan: Plan, write: Write, objects: pl.Series) -> None:
    """Count the requests that these objects fill, and the calls that they take."""
    requests = count_requests(objects, envelope=write.envelope)
    run.report.requests += requests
    if (priced := run.sink.calls(run.account, write.envelope, requests)) is not None:
        plan.calls = (plan.calls or 0) + priced[0]
        plan.seconds += priced[1]


def _price_calls(run: SyncRun, plan: Plan, writes: int | None) -> None:
    """Caspio calls: a quiet run asks for token, fields and count, and reads a page where something changed."""
    sweeps = not run.definition.reads_changes
    plan.calls_a_run = calls_a_run(run.report.expected if sweeps else None, run.reading.calls_a_page)
    schedule = run.definition.schedule
    if schedule is None:
        return
    runs = runs_a_month(schedule.cron)
    plan.calls_a_month = runs * plan.calls_a_run
    plan.steps = (
        f"{runs:,} runs a month x {plan.calls_a_run:,} calls "
        f"({'token, fields, count, all rows' if sweeps else 'token, fields, count, changed rows'})"
    )
    if writes is not None and plan.calls_a_run:
        plan.calls_a_month += runs * writes
        plan.steps += f" + {runs:,} x {writes:,} writes, if every run finds as many changes as this one"


def _hold_against_budget(run: SyncRun, plan: Plan) -> None:
    """Refuse a schedule that the account's daily budget does not allow, and warn where this run is over it."""
    budget = plan.calls_per_day
    if budget is None:
        return
    if (schedule := run.definition.schedule) is not None:
        asked = DailyCalls(run.name, schedule.cron, most_runs_a_day(schedule.cron), plan.calls_a_run)
        plan.refused = over_budget([asked], budget)
    needed = calls_a_run(run.report.expected, run.reading.calls_a_page)
    if needed > budget - plan.calls_today:
        plan.warnings.append(
            f"this run needs about {needed:,} calls, and {max(0, budget - plan.calls_today):,} of today's {budget:,} "
            "are left: it would be stretched over the rest of the UTC day and go on tomorrow"
        )
