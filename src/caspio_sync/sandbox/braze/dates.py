"""The date and time formats `/users/track` reads (reference, section 3.5)."""

import re
from datetime import UTC, datetime

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.:,](\d{1,9}))?)?\s?(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?"
)
_SLASHES = re.compile(r"\d{2}/\d{2}/\d{4}")
_WORDS = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\d{2}) (\d{2}) (\d{2}:\d{2}:\d{2})[. ](Z|UTC|[+-]\d{2}:?\d{2}) (\d{4})"
)


def parse_instant(text: str) -> datetime | None:
    """The instant a text stands for, aware in UTC; None where no format fits or the year is outside 0 to 3000.

    A time without a zone is UTC and a bare date is its midnight (Braze, POST /users/track).
    """
    instant = _parse(text)
    return None if instant is None or instant.year > 3000 else instant


def _parse(text: str) -> datetime | None:
    try:
        if match := _ISO.fullmatch(text):
            return _from_iso(match)
        if _SLASHES.fullmatch(text):
            return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC)
        if match := _WORDS.fullmatch(text):
            _, month, day, time, zone, year = match.groups()
            zone = "+00:00" if zone in {"Z", "UTC"} else zone
            return datetime.strptime(f"{year}-{month}-{day} {time} {zone}", "%Y-%m-%d %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None


def _from_iso(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    naive = datetime(  # noqa: DTZ001 - the zone is read below
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros
    )
    if zone is None or zone == "Z":
        return naive.replace(tzinfo=UTC)
    digits = zone.replace(":", "").ljust(5, "0")
    return naive.replace(tzinfo=datetime.strptime(digits, "%z").tzinfo).astimezone(UTC)


def looks_like_instant(text: str) -> bool:
    """Whether a string value would be stored as a date; the first characters decide cheaply for ordinary words."""
    if not 10 <= len(text) <= 40:
        return False
    if text[0].isdigit() or text[3:4] == " ":
        return parse_instant(text) is not None
    return False


def iso(instant: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as exports write it (Braze, POST /users/export/ids)."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"
