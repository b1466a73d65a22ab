"""A moment as an option gives it: on the command line, in Prefect's form, in a deployment's parameters."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BeforeValidator

from caspio_sync.characters import trimmed

_DATE_DIGITS = re.compile(r"[0-9]{8}")
_NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")
_YEARS = range(1900, 3000)


def read_moment(value: object) -> datetime | None:
    """A moment, aware; what names no zone is UTC, a date alone its first second there. None stays None.

    A bare number is never taken for seconds since 1970: `2026` or `1767225600` meant as a year, or typed by mistake,
    would begin in 1970 and, with `resend`, bill all of history. Eight digits are a date.

    Raises:
        ValueError: it is no date or time in ISO 8601, or of no year from 1900 to 2999.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        moment = _of_text(trimmed(str(value)))
    if moment.year not in _YEARS:
        raise ValueError(f"{value} is in no year from {_YEARS.start} to {_YEARS.stop - 1}; correct it")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(read_moment)]


def _of_text(text: str) -> datetime:
    if _DATE_DIGITS.fullmatch(text) or not _NUMBER.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            pass
    raise ValueError(
        f"{text!r} is no date or time: give 2026-01-31 (or 20260131), or 2026-01-31T10:00, with Z or an offset such as "
        "+02:00; without one it is UTC"
    )
