"""What of an answer is Caspio's: whatever else comes with a success is no answer, and the call is made again.

A proxy, a gateway or a half-started server answers 200 too. An empty or foreign document must never be read as "no
rows" or as empty cells, for these are acted on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
import polars as pl

from caspio_sync.caspio.cells import flat_text
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from caspio_sync.wire.answers import foreign, parsed
from caspio_sync.wire.http import server_time

_NO_GAPS = re.compile(r"[\s_]")
_TYPES = {_NO_GAPS.sub("", name): name for name in SOURCE_DTYPES}
# Result first, and nothing behind it but flat objects: then the array can be cut out without decoding a single row.
_HEAD = re.compile(rb'\s*\{\s*"Result"\s*:\s*(?=\[)')
_TAIL = re.compile(rb'\](?:\s*,\s*"\w+"\s*:\s*(?:null|\{[^\[\]{}]*\}))*\s*\}\s*')
_SECOND_ARRAY = re.compile(rb'\]\s*,\s*"\w+"\s*:\s*\[')
_ALIAS = re.compile(r" AS (\w+)")


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One answer of GET records.

    Args:
        rows: the JSON array of the rows, undecoded; each has every field that was asked for, unless the caller looks
            itself (`CaspioClient.records`).
        server_time: when Caspio answered, in UTC; None where it did not say.
        text: the rows as text, a column a field, where they were decoded for looking at them (`cells.flat_text`).
    """

    rows: bytes
    server_time: datetime | None
    text: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The one row of an aggregate, with every column that was asked for, and when Caspio answered."""

    row: dict[str, Any]
    server_time: datetime | None


def result(response: httpx.Response, doing: str) -> list[Any]:
    """The list under Result.

    Raises:
        ForeignAnswerError: there is none.
    """
    found = _json(response, doing).get("Result")
    if not isinstance(found, list):
        raise foreign(response, doing, "no list under Result")
    return found


def page_of(response: httpx.Response, doing: str, names: Sequence[str]) -> RecordPage:
    """The rows under Result.

    Args:
        response: of GET records.
        doing: in the words of an error.
        names: the fields that each row must have, as they were asked for; none where the caller looks itself.

    Raises:
        ForeignAnswerError: as `result`, or a row lacks a field: read as empty, it would empty the attribute
            where it goes.
    """
    content = response.content
    head = _HEAD.match(content)
    end = content.rfind(b"]")
    if head and _TAIL.fullmatch(content, end) and not _SECOND_ARRAY.search(content):
        page = content[head.end() : end + 1]
    else:
        try:
            page = orjson.dumps(result(response, doing))
        except TypeError:  # over 254 levels
            raise foreign(response, doing, "a cell nested deeper than any of Caspio's") from None
    text = None
    if names:
        text = flat_text(page, names)
        if text is None and not has_fields(page, names):
            raise foreign(response, doing, "rows that lack fields which were asked for")
    return RecordPage(page, server_time(response.headers), text)


def aggregate_row(response: httpx.Response, doing: str, select: str) -> dict[str, Any]:
    """The one row of an aggregate.

    Raises:
        ForeignAnswerError: as `result`, or there is not one row, or it lacks a column that `select` names by AS.
    """
    rows = result(response, doing)
    if len(rows) != 1 or not isinstance(rows[0], dict):
        raise foreign(response, doing, f"{len(rows)} rows for an aggregate, which has 1")
    row: dict[str, Any] = rows[0]
    if lacking := [name for name in _ALIAS.findall(select) if name not in row]:
        raise foreign(response, doing, f"an aggregate without {', '.join(lacking)}")
    return row


def affected(response: httpx.Response, doing: str) -> int:
    """RecordsAffected, whatever else the answer holds: it can come with an empty Result (Caspio, 3.5).

    Raises:
        ForeignAnswerError: the answer has no such number.
    """
    count = _json(response, doing).get("RecordsAffected")
    if type(count) is not int or count < 0:
        raise foreign(response, doing, "no number under RecordsAffected")
    return count


def fields_of(response: httpx.Response, doing: str) -> list[CaspioField]:
    """The fields as declared: one type is spelled several ways across versions (Caspio, 2.3).

    Raises:
        ForeignAnswerError: as `result`, or there is no field, or one without a name.
    """
    entries = result(response, doing)
    if not entries or not all(isinstance(entry, dict) and isinstance(entry.get("Name"), str) for entry in entries):
        raise foreign(response, doing, "no list of fields")
    return [_field(entry) for entry in entries]


def names_of(response: httpx.Response, doing: str) -> list[str]:
    """Names of tables or views.

    Raises:
        ForeignAnswerError: as `result`, or one is no text.
    """
    names = result(response, doing)
    if not all(isinstance(name, str) for name in names):
        raise foreign(response, doing, "no list of names")
    return names


def created(response: httpx.Response, doing: str) -> None:
    """The answer to a new table has no body (Caspio, 2.2).

    Raises:
        ForeignAnswerError: it has one that is no JSON object.
    """
    if response.content.strip():
        _json(response, doing)


def _field(entry: dict[str, Any]) -> CaspioField:
    spelled = str(entry.get("Type", "")).upper()
    return CaspioField(
        name=entry["Name"],
        type=_TYPES.get(_NO_GAPS.sub("", spelled), spelled),
        unique=_flag(entry.get("Unique")),
        on_insert=_flag(entry.get("OnInsert")),
        on_update=_flag(entry.get("OnUpdate")),
        time_zone=entry.get("TimeZone"),
        editable=entry.get("Editable") is None or _flag(entry.get("Editable")),
        is_formula=_flag(entry.get("IsFormula")),
    )


def _flag(value: Any) -> bool:
    """Whether a property is set; a "false" in quotes is not."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _json(response: httpx.Response, doing: str) -> dict[str, Any]:
    body = parsed(response.content)
    if not isinstance(body, dict):
        raise foreign(response, doing, "a body that is cut or no JSON object")
    return body


def has_fields(page: bytes, names: Sequence[str]) -> bool:
    """Whether each row has every field, by decoding every one of them."""
    rows = parsed(page)
    wanted = set(names)
    return isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= wanted for row in rows)
