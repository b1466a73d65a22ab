"""When a deployed sync runs, and what that takes of Caspio's daily budget."""

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from cronsim import CronSim

from caspio_sync.caspio.client import MAX_PAGE_ROWS
from caspio_sync.engine.kind import kind_of
from caspio_sync.mapping.definition import Sync
from caspio_sync.spans import DAYS_A_MONTH

CALLS_BEFORE_ROWS = 3  # token (billed as well: Caspio, 4.1), fields, count

REGULAR, SWEEP = "regular", "nightly"
_BY_SWEEP = "0 * * * *"  # where every run reads all rows
_SWEEP_HOUR = 2


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of a deployment.

    Args:
        slug: its name within the deployment.
        cron: cron line.
        full: whether these runs read everything.
        time_zone: IANA zone in which the line is meant.
    """

    slug: str
    cron: str
    full: bool = False
    time_zone: str = "UTC"


def schedules_of(definition: Sync) -> tuple[Schedule, ...]:
    """The schedules of a sync: the regular one, and a nightly read of everything where the regular one reads changes.

    `schedule:` in the sync file replaces the regular one. The nights begin at different minutes, each always
    at the same one, so that they do not all ask Caspio at once.
    """
    given = definition.schedule
    zone = "UTC" if given is None else given.time_zone
    if not definition.reads_changes:
        return (Schedule(REGULAR, _BY_SWEEP if given is None else given.cron, time_zone=zone),)
    minute = zlib.crc32(definition.name.encode()) % 60
    return (
        Schedule(REGULAR, kind_of(definition).cron if given is None else given.cron, time_zone=zone),
        Schedule(SWEEP, f"{minute} {_SWEEP_HOUR} * * *", full=True, time_zone=zone),
    )


@dataclass(frozen=True, slots=True)
class DailyCalls:
    """What a schedule asks of Caspio on its busiest day.

    Args:
        sync: name of the sync.
        cron: the schedule.
        runs: on the busiest of thirty days.
        calls_a_run: of a run that finds little changed, or of a whole read.
    """

    sync: str
    cron: str
    runs: int
    calls_a_run: int

    @property
    def calls(self) -> int:
        """In all."""
        return self.runs * self.calls_a_run

    @property
    def steps(self) -> str:
        """How `calls` comes about, for people."""
        return f"{self.runs:,} runs a day x {self.calls_a_run:,} calls = {self.calls:,}"


def calls_a_run(rows: int | None, page: int = 1) -> int:
    """Calls of a run: of a quiet one that reads a page of changes (None), or of one that reads so many rows.

    Args:
        rows: to read.
        page: calls a page takes; 0 where the rows are none of Caspio's.
    """
    if not page:
        return 0
    return CALLS_BEFORE_ROWS + page * (1 if rows is None else math.ceil(rows / MAX_PAGE_ROWS))


def daily_calls(sync: str, definition: Sync, rows: int, page: int = 1) -> list[DailyCalls]:
    """What each schedule of a sync asks for, whose source has so many rows, and whose pages take so many calls."""
    sweeps = not definition.reads_changes
    return [
        DailyCalls(
            sync, each.cron, most_runs_a_day(each.cron), calls_a_run(rows if sweeps or each.full else None, page)
        )
        for each in schedules_of(definition)
    ]


def over_budget(asked: Sequence[DailyCalls], budget: int) -> str | None:
    """Why these schedules do not fit into a daily budget, with the arithmetic and what to do; None where they do."""
    wanted = sum(each.calls for each in asked)
    if wanted <= budget:
        return None
    if len(asked) == 1:
        (only,) = asked
        return (
            f"the schedule '{only.cron}' asks for more calls than CASPIO_CALLS_PER_DAY allows: {only.steps} > "
            f"{budget:,}. Runs would be stretched over the day; run at most {budget // only.calls_a_run:,} times a "
            "day, or raise the budget"
        )
    lines = "".join(f"\n  {each.sync} '{each.cron}': {each.steps}" for each in asked)
    return (
        f"the schedules ask for more calls than CASPIO_CALLS_PER_DAY allows: {wanted:,} > {budget:,} a day.{lines}\n"
        "Runs would be stretched over the day. Write a rarer `schedule:` into the sync files at the top of this sum, "
        "or raise the budget"
    )


def runs_a_month(cron: str) -> int:
    """How often a cron line fires in thirty days."""
    return sum(1 for _ in _fires(cron))


def most_runs_a_day(cron: str) -> int:
    """How often a cron line fires on the busiest of thirty days."""
    days = Counter(moment.date() for moment in _fires(cron))
    return max(days.values(), default=0)


def _fires(cron: str) -> Iterator[datetime]:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return takewhile(
        lambda moment: moment < start + timedelta(days=DAYS_A_MONTH), CronSim(cron, start - timedelta(seconds=1))
    )
