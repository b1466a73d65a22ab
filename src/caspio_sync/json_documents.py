"""JSON as somebody else wrote it: read strictly, its numbers kept sign by sign.

1.10 stays 1.10, and a number of thirty digits all of them. What has two readings (a name twice in an object, NaN) is
none of them: it is refused.
"""

import json
from collections.abc import Iterator
from typing import Any

import orjson

from caspio_sync.characters import without_controls


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class UnreadableJsonError(ValueError):
    """What is wrong with it, without a value."""


def read_json(body: bytes) -> Any:
    """A JSON document; objects and lists as such, numbers as `Number`, texts without control characters.

    Raises:
        UnreadableJsonError: it is none, has a name twice in one object, or is nested over 254 levels deep.
    """
    try:
        text = body.decode("utf-8-sig")  # JSON between systems is UTF-8 (RFC 8259, 8.1)
        found = json.loads(
            text, parse_float=Number, parse_int=Number, parse_constant=_refuse, object_pairs_hook=_object
        )
        found = _mended(found) if b"\\u" in body else found
        json_text(found)
    except UnreadableJsonError:
        raise
    except (ValueError, RecursionError):
        raise UnreadableJsonError("it is no JSON that can be read") from None
    return found


def text_of(value: Any) -> str | None:
    """A value as the text of one cell: an object or a list as its JSON, null as none."""
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json_text(value)


def texts_in(value: Any) -> Iterator[str]:
    """Every text and number within a document, as it stands there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)


def json_text(value: Any) -> str:
    """A value as JSON, its numbers as they were written.

    Raises:
        UnreadableJsonError: it is nested over 254 levels deep.
    """
    try:
        return orjson.dumps(value, default=_number, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
    except TypeError:
        raise UnreadableJsonError("it is nested over 254 levels deep") from None


def _number(value: Any) -> orjson.Fragment:
    """A number as it was written."""
    return orjson.Fragment(str(value).encode())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableJsonError("a name stands twice in one object")
    return found


def _refuse(_: str) -> Any:
    raise UnreadableJsonError("NaN and Infinity are no JSON")


def _mended(value: Any) -> Any:
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return without_controls(value)
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return _object([(without_controls(name), _mended(each)) for name, each in value.items()])
    return value
