"""From when on an incremental read looks: instants into the wall clock of a TIMESTAMP field."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo

from caspio_sync.caspio.windows_zones import zone

OVERLAP_SECONDS = 120.0
OVERLAP = timedelta(seconds=OVERLAP_SECONDS)
_STEP_SECONDS = 6 * 3600  # no zone changes its offset twice within it
# A field without a zone can be stamped in any: none is further behind.
_FURTHEST_BEHIND = timezone(timedelta(hours=-12))
_FURTHEST_AHEAD = timezone(timedelta(hours=14))


def lower_bound(
    watermark: datetime, now: datetime, time_zone: str | None, overlap_seconds: float = OVERLAP_SECONDS
) -> str:
    """The smallest wall-clock reading in the field's zone between the watermark, less the overlap, and now.

    A row stamped at any moment since then reads at least this much. In autumn the clock falls back behind the reading
    it had at the watermark, and rows stamped after that would be lost by a bound that only converts the watermark.

    Args:
        watermark: start of the previous successful read by Caspio's clock, aware.
        now: the present instant, aware.
        time_zone: Windows id or IANA name of the field's zone; None or "" where none is declared, which looks back
            by the zone furthest behind UTC.
        overlap_seconds: how far before the watermark to begin.

    Returns:
        ISO text to the second, without an offset, to compare with `>=`.

    Raises:
        ConfigurationError: the zone is unknown.
    """
    place = zone(time_zone) if time_zone and time_zone.strip() else _FURTHEST_BEHIND
    start = int((watermark.astimezone(UTC) - timedelta(seconds=overlap_seconds)).timestamp() // 1)
    end = max(start, int(now.timestamp()))
    instants = [start, *_offset_changes(start, end, place)]
    return min(_reading(instant, place) for instant in instants).isoformat(timespec="seconds")


def upper_bound(since: datetime, until: datetime, time_zone: str | None) -> str:
    """The largest wall-clock reading in the field's zone between two instants, both aware: of a row stamped up to then.

    Args:
        since: where the window begins.
        until: where it ends.
        time_zone: as for `lower_bound`; where none is declared, the zone furthest ahead of UTC.

    Returns:
        ISO text to the second, without an offset, to compare with `<=`.

    Raises:
        ConfigurationError: the zone is unknown.
    """
    place = zone(time_zone) if time_zone and time_zone.strip() else _FURTHEST_AHEAD
    start, end = int(since.timestamp()), int(until.timestamp())
    instants = [end, *(change - 1 for change in _offset_changes(start, end, place))]
    return max(_reading(instant, place) for instant in instants).isoformat(timespec="seconds")


def _reading(instant: int, place: tzinfo) -> datetime:
    return datetime.fromtimestamp(instant, place).replace(tzinfo=None, fold=0)


def _offset(instant: int, place: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(instant, place).utcoffset()


def _offset_changes(start: int, end: int, place: tzinfo) -> list[int]:
    """The first seconds, after `start` and up to `end`, on which the zone has another offset than a second before."""
    changes = []
    left = start
    while left < end:
        right = min(left + _STEP_SECONDS, end)
        if _offset(left, place) != _offset(right, place):
            changes.append(_first_changed(left, right, place))
        left = right
    return changes


def _first_changed(left: int, right: int, place: tzinfo) -> int:
    before = _offset(left, place)
    while right - left > 1:
        middle = (left + right) // 2
        if _offset(middle, place) == before:
            left = middle
        else:
            right = middle
    return right
