"""How fresh a destination is: when the rows that were sent, and those that wait, were changed in Caspio.

A change is dated by the source's cursor field, read along with the row. Without one, all that is known is when
the last complete read began: everything before it has its verdict, and what changed since is not known to have. A row
that was set aside or refused has its verdict; it waits for a person, and is no lateness of the sync.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from pydantic import BaseModel

from caspio_sync.caspio.window import OVERLAP_SECONDS
from caspio_sync.caspio.windows_zones import zone
from caspio_sync.errors import ConfigurationError
from caspio_sync.spans import duration, seconds_of

CHANGED_AT = "_changed_at"  # of the mapped frame: the cursor field, a wall clock in its own zone


class Freshness(BaseModel, defer_build=True):
    """How fresh a sync was when a run of it ended.

    Args:
        target_seconds: `freshness:` of the sync file; None without one.
        newest_delivered_at: when the newest row that was taken was changed, in this run or one before; None without a
            cursor field whose zone is known.
        oldest_undelivered_at: when the oldest row that was not taken was changed, or first seen: set aside,
            refused, without an answer, or in a batch that did not come through. A row that lacks a required consent is
            not to be delivered. None where there is none.
        read_up_to: every change before this was read and has its verdict; None before the first complete read.
        age_seconds: from there to the end of the run.
        waited_seconds: the longest that a change since the read before had waited when it was sent. Without a cursor
            field at the most: since that read began. None where nothing was sent.
        missed: whether one of the two is over the target. Before the first complete read, and for a run of chosen
            rows, nothing is judged.
    """

    target_seconds: float | None = None
    newest_delivered_at: datetime | None = None
    oldest_undelivered_at: datetime | None = None
    read_up_to: datetime | None = None
    age_seconds: float | None = None
    waited_seconds: float | None = None
    missed: bool = False

    @property
    def oldest_seconds(self) -> float:
        """The longest that any change waited, or may wait."""
        return max(self.age_seconds or 0.0, self.waited_seconds or 0.0)


class ChangeTimes:
    """When the rows of a run were changed, gathered from a column that is there anyway.

    Args:
        time_zone: of the cursor field; None where there is no such field, or its zone is not known.
        since: the source was known to be read up to here before this run; None where it was not.
    """

    def __init__(self, time_zone: str | None, since: datetime | None) -> None:
        self._zone = None if time_zone is None or not time_zone.strip() else zone(time_zone)
        self.since = since
        self._late: datetime | None = None
        if self._zone is not None and since is not None:
            self._late = (since - timedelta(seconds=OVERLAP_SECONDS)).astimezone(self._zone).replace(tzinfo=None)
        self._newest: datetime | None = None
        self._slowest: datetime | None = None
        self._waiting: dict[int, datetime] = {}  # by batch: the oldest of its changes, until it is recorded
        self._held: datetime | None = None

    @property
    def known(self) -> bool:
        """Whether rows are dated."""
        return self._zone is not None

    def sent(self, changed_at: pl.Series) -> None:
        """These rows were taken."""
        self._newest = _latest(self._newest, _moment(changed_at.max()))
        if self._late is not None:
            self._slowest = _earliest(self._slowest, _moment(changed_at.filter(changed_at >= self._late).min()))

    def held(self, changed_at: pl.Series) -> None:
        """These rows wait for a person, or for an answer."""
        self._held = _earliest(self._held, _moment(changed_at.min()))

    def begin(self, batch: int, changed_at: pl.Series) -> None:
        """These rows are to be sent, and wait until their batch is recorded."""
        if (oldest := _moment(changed_at.min())) is not None:
            self._waiting[batch] = oldest

    def end(self, batch: int) -> None:
        """The batch is recorded."""
        self._waiting.pop(batch, None)

    @property
    def newest_sent(self) -> datetime | None:
        """When the newest of the rows that were taken was changed."""
        return self._instant(self._newest)

    @property
    def slowest_sent(self) -> datetime | None:
        """Of the rows that were sent: the oldest change since the read before."""
        return self._instant(self._slowest)

    @property
    def oldest_waiting(self) -> datetime | None:
        """When the oldest of the rows that were not taken was changed."""
        return self._instant(min([*self._waiting.values(), *([self._held] if self._held else [])], default=None))

    def _instant(self, reading: datetime | None) -> datetime | None:
        # Of the two instants of an hour that the clock shows twice the earlier one: no age is told too low.
        return None if reading is None else reading.replace(tzinfo=self._zone).astimezone(UTC)


def change_times(cursor: str | None, time_zone: str | None, since: datetime | None) -> ChangeTimes:
    """For a sync with this cursor field; a zone nobody knows dates no row."""
    try:
        return ChangeTimes(time_zone if cursor is not None else None, since)
    except ConfigurationError:
        return ChangeTimes(None, since)


def measured(  # noqa: PLR0917 - what is known at the end of a run
    times: ChangeTimes,
    target: str | None,
    now: datetime,
    read_up_to: datetime | None,
    oldest_held: datetime | None,
    before: Freshness | None,
    *,
    sent: int,
    judged: bool,
) -> Freshness:
    """How fresh the sync is at the end of a run.

    Args:
        times: of the run's rows.
        target: `freshness:` of the sync file.
        now: the present instant.
        read_up_to: the watermark as it stands now.
        oldest_held: when the oldest row that waits was first seen, by the ledger.
        before: as the run before this one left it.
        sent: rows that were taken in this run.
        judged: False for a run of chosen rows, which cannot keep a promise about all.
    """
    slowest = times.slowest_sent if times.known else times.since if sent else None
    found = Freshness(
        target_seconds=seconds_of(target),
        newest_delivered_at=_latest(times.newest_sent, before.newest_delivered_at if before else None),
        oldest_undelivered_at=_earliest(times.oldest_waiting, oldest_held),
        read_up_to=read_up_to,
        age_seconds=_seconds(now, read_up_to),
        waited_seconds=_seconds(now, slowest),
    )
    promised = judged and found.target_seconds is not None and times.since is not None
    found.missed = promised and found.oldest_seconds > (found.target_seconds or 0.0)
    return found


def missed_note(freshness: Freshness, *, dated: bool = True) -> str:
    """The miss in a sentence, with what to do."""
    most = "" if dated else "at the most "
    what = (
        f"changes had waited {most}{duration(freshness.waited_seconds)} when they were sent"
        if (freshness.waited_seconds or 0.0) >= (freshness.age_seconds or 0.0)
        else f"changes of the last {duration(freshness.age_seconds)} are not known to have arrived"
    )
    return (
        f"freshness missed: {what}; the target is {duration(freshness.target_seconds)} (freshness: in the sync file). "
        "Look at failed runs before this one, at the schedule, and at `seconds` of the run"
    )


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _seconds(now: datetime, then: datetime | None) -> float | None:
    return None if then is None else max(0.0, (now - then).total_seconds())


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)
