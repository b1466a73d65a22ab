"""When a read began, by the clocks of both sides: from there on the next run looks for what changed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from caspio_sync.caspio.window import OVERLAP

_WHOLE_SECONDS = timedelta(seconds=1)  # a Date header tells no parts of one
_NO_CASPIO_YET = datetime(2000, 1, 1, tzinfo=UTC)  # a Date before it is none


@dataclass(frozen=True, slots=True)
class ReadClock:
    """The times around the call that opens a read; all aware, in UTC.

    Args:
        asked_at: this machine's, before the call.
        answered_at: this machine's, after it.
        header: what the answer's Date header says; None without a readable one.
    """

    asked_at: datetime
    answered_at: datetime
    header: datetime | None

    @property
    def server_time(self) -> datetime | None:
        """Caspio's time; None where it told none that can be one."""
        return self.header if self.header is not None and self.header > _NO_CASPIO_YET else None

    @property
    def began_at(self) -> datetime:
        """The earlier of both sides' times: the header's clock need not be that of the database which stamps the rows.

        A time that is too early has rows read twice; one that is too late hides them for good.
        """
        return min(self.asked_at, self.server_time or self.asked_at)

    @property
    def skew(self) -> timedelta | None:
        """How far Caspio's clock is ahead of this machine's, less what the call took; negative where it is behind."""
        if self.server_time is None:
            return None
        ahead, behind = self.server_time - self.answered_at, self.asked_at - self.server_time - _WHOLE_SECONDS
        return max(ahead, timedelta(0)) - max(behind, timedelta(0))

    @property
    def note(self) -> str | None:
        """What is to be said of Caspio's clock; None where both sides agree as far as the overlap of two reads."""
        if self.skew is None:
            return (
                "Caspio's answers tell no time (no readable Date header): the next run reads on from this machine's "
                "clock; keep that set by NTP, and see `caspio-sync doctor`"
            )
        if abs(self.skew) <= OVERLAP:
            return None
        where = "ahead of" if self.skew > OVERLAP else "behind"
        return (
            f"Caspio's clock (its Date header) is {abs(self.skew).total_seconds():,.0f} s {where} this machine's: the "
            "next run reads on from the earlier of the two; `caspio-sync doctor` says more"
        )
