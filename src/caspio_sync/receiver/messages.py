"""What a webhook's post says of rows: which, of which table, since when; nothing of what is in them.

Caspio's default payload and templates as JSON (5.3), and what steps of triggered actions send: a form, or parameters of
the address. It is read leniently: a message that is not quite JSON still tells which row to look at.
"""

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from caspio_sync.hints import BESIDE, Hint, Message

KEY = "PK_ID"
FORM = "application/x-www-form-urlencoded"
_TYPES = {"recordinsert": "insert", "recordupdate": "update", "recorddelete": "delete"}
_LARGEST = 2**63 - 1
_LONGEST_ID = 100  # characters; a UUID has 36


class UnreadableMessageError(ValueError):
    """The body is no message; says why, without a value."""


class Posted(NamedTuple):
    """A message as it was posted, before anything of it is kept.

    Args:
        words: its keys, in lower case; each with every value that stands under it.
        rows: of `data`, as `words`.
    """

    words: Mapping[str, Sequence[Any]]
    rows: Sequence[Mapping[str, Sequence[Any]]]

    @property
    def secrets(self) -> list[str]:
        """What stands where a secret does; struck out of all that is kept."""
        return [each for each in self.words.get("secret", ()) if isinstance(each, str)]

    def text(self, name: str) -> str:
        """The one text under a key; "" where there is none, or another thing."""
        found = self.words.get(name, ())
        return found[0] if len(found) == 1 and isinstance(found[0], str) else ""


def read_posted(body: bytes, content_type: str, query: str) -> Posted:
    """Read what was posted.

    Args:
        body: uncompressed; may be empty where the parameters of the address say it all.
        content_type: media type of the body.
        query: the address's parameters, as they came.

    Raises:
        UnreadableMessageError: it is neither an object in JSON, nor a form, nor are there parameters.
    """
    parameters = _pairs(parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=1_000))
    if content_type.partition(";")[0].strip().lower() == FORM:
        text = body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            fields = _pairs(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=10_000))
            return Posted(parameters | fields, [fields])
        raise UnreadableMessageError("the form has too many fields")
    if not body.strip():
        if parameters:
            return Posted(parameters, [parameters])
        raise UnreadableMessageError("the body is empty")
    words = _object(_parsed(body))
    if words is None:
        raise UnreadableMessageError("the body is no object in JSON")
    words = parameters | words
    if "data" not in words:
        return Posted(words, [words])
    listed = [row for value in words["data"] for row in (value if isinstance(value, list) else [value])]
    rows = [row for each in listed if (row := _object(each)) is not None]
    return Posted(words, rows)


def message_of(
    posted: Posted, sync: str, *, table: str | None, now: datetime, oldest: timedelta, beside: Sequence[str] = ()
) -> Message:
    """What is kept of a message: its id, and of each row its PK_ID, what happened to it, and when.

    Args:
        posted: of it.
        sync: whose feed it came to.
        table: of the sync; a message of another one is none of its. None: not known.
        now: the present instant.
        oldest: a change longer ago than this is left to the sweep: nobody sends so late but who repeats an old message.
        beside: other tables of whose rows is kept that something happened to them.
    """
    changed_at = _instant(posted.text("eventdate"))
    kind = _TYPES.get(posted.text("eventtype").rpartition(".")[2].lower(), "other")
    keys = list(dict.fromkeys(key for row in posted.rows for key in _keys(row)))
    hints: tuple[Hint, ...] = ()
    of = posted.text("objectname").lower()
    if of in {each.lower() for each in beside}:
        kind = BESIDE
    if table and of and of != table.lower() and kind != BESIDE:
        outcome = "other_table"
    elif changed_at is not None and changed_at < now - oldest:
        outcome = "stale"
    elif not posted.rows:
        outcome = "empty"
    elif not keys:
        outcome = "unreadable"
    else:
        outcome, hints = "kept", tuple(Hint(key, kind, changed_at) for key in keys)
    return Message(sync, _id(posted.text("messageid")), hints, outcome)


def _parsed(body: bytes) -> Any:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parsed_leniently(body)
    # Of a key that stands twice orjson gives the last value alone, and would lose rows.
    return _parsed_leniently(body) if body.count(b'"data"') > 1 or _repeats_key(body, found) else found


def _repeats_key(body: bytes, found: Any) -> bool:
    data = found.get("data") if isinstance(found, dict) else None
    return body.count(b'"PK_ID"') > (len(data) if isinstance(data, list) else 1)


def _parsed_leniently(body: bytes) -> Any:
    """Half an emoji, a raw tab, bytes that are no UTF-8, NaN, a key twice; None for what is no JSON at all."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False, object_pairs_hook=_Repeated)
    return None


class _Repeated(dict[str, Sequence[Any]]):
    """An object with every value of each key."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(_pairs(pairs))


def _object(value: Any) -> dict[str, Sequence[Any]] | None:
    if isinstance(value, _Repeated):
        return dict(value)
    return _pairs(list(value.items())) if isinstance(value, dict) else None


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Sequence[Any]]:
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return dict(found)


def _keys(row: Mapping[str, Sequence[Any]]) -> Iterator[int]:
    """PK_IDs of a row: whole numbers, or their digits; a template cannot write a number otherwise than as text."""
    yield from (key for value in row.get(KEY.lower(), ()) if (key := key_of(value)) is not None)


def key_of(value: Any) -> int | None:
    """A cell as a PK_ID; None where it is none."""
    number = None
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (text := value.strip()).isascii() and text.isdecimal() and len(text) < 20:
        number = int(text)
    return number if number is not None and 0 < number <= _LARGEST else None


def _instant(text: str) -> datetime | None:
    """An event's date: UTC, written without an offset (2.4)."""
    with contextlib.suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return None


def _id(text: str) -> str:
    """A message's id; without one it cannot be known again, and is taken for new."""
    if not text:
        return str(uuid.uuid4())
    plain = text.isprintable() and len(text) <= _LONGEST_ID
    return text if plain else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
