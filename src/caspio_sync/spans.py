"""Spans of time, as a sync file writes them (5m) and as people read them (12 min)."""

import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"^([1-9]\d{0,5})([smhd])$")
DAYS_A_MONTH = 30
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def span(text: str) -> str:
    """A span of time as it stands in a sync file; a ValueError where it is none."""
    if not _SPAN.match(text):
        raise ValueError(f"'{text}' is no span of time; write a whole number and s, m, h or d, such as 5m")
    return text


def seconds_of(span: str | None) -> float | None:
    """A span as it stands in a sync file, in seconds."""
    found = _SPAN.match(span or "")
    return int(found[1]) * _SECONDS[found[2]] if found else None


def duration(span: timedelta | float | None) -> str:
    """A span (or seconds) in its largest unit: 45 s, 12 min, 3 h, 9 days."""
    seconds = max(0.0, span.total_seconds() if isinstance(span, timedelta) else span or 0.0)
    for size, unit, limit in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def utc_day(now: datetime) -> datetime:
    """Midnight UTC, when the day of `now` began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
