"""A list of JSON values out of a text that is not quite JSON: what can be read, and the rest as it stands.

A post that is refused as a whole is sent again event by event, and an event that is refused again is lost for good
(Braze, 11.1); so half an emoji must not cost an unsubscribe.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_INTEGER_DIGITS = 18  # of more, JSON's own readers make a float; Python would count on
# Where the next value of a list may begin, after one that cannot be read.
_NEXT = re.compile(r",\s*(?=\{\")")
# An escape of half a surrogate pair, among whole pairs and other escapes, so that `\\ud83d` is not taken for one.
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_BLANKS = " \t\r\n"
_READINGS = 4  # of the text, at the most, while a place is sought from which it can be read on


class Piece(NamedTuple):
    """A part of the list.

    Args:
        value: of a value that could be read.
        text: as it was written; None where nobody asked for it.
        readable: False for a stretch in which no value could be read.
    """

    value: Any
    text: str | None
    readable: bool


def read_lists(body: bytes, name: str, *, mark: str) -> list[Piece] | None:
    """The values of every list called `name`, wherever it stands.

    Bytes that are no UTF-8 and halves of surrogate pairs become U+FFFD; raw control characters in texts stay as they
    are; NaN and infinities become null; a byte-order mark, and whatever follows the list, is passed over.

    Args:
        body: the text, usually of an object.
        name: key of the list; where it stands twice, both lists are read.
        mark: a key of every object in it: by this it is known where to read on after one that cannot be read.

    Returns:
        None where there is no such list.
    """
    text = _ESCAPES.sub(_whole, body.decode("utf-8", "replace"))
    lists = re.compile(rf'"{re.escape(name)}"\s*:\s*\[')
    found = lists.search(text)
    if found is None:
        return None
    pieces: list[Piece] = []
    while found is not None:
        end = found.end()
        for end, piece in _values(text, found.end(), mark):  # noqa: B007 - where the list ends is where the next is sought
            if piece is not None:
                pieces.append(piece)
        found = lists.search(text, end)
    return pieces


def _values(text: str, start: int, mark: str) -> Iterator[tuple[int, Piece | None]]:
    """Where reading stands, and what was read; None at the end of the list."""
    left = _READINGS * len(text)
    while True:
        start = _after(text, start, _BLANKS + ",")
        if start >= len(text) or text[start] == "]":
            yield start + 1, None
            return
        try:
            value, end = DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end, left = _resumed(text, start, left, mark)
            yield end, Piece(None, text[start:end].rstrip(_BLANKS + ","), readable=False)
        else:
            yield end, Piece(value, text[start:end], readable=True)
        start = end


def _resumed(text: str, start: int, left: int, mark: str) -> tuple[int, int]:
    """Where an object can be read again, the end of the text where none can; and how many characters may be tried."""
    for found in _NEXT.finditer(text, start):
        if left <= 0:
            break
        try:
            value, end = DECODER.raw_decode(text, found.end())
        except json.JSONDecodeError as error:
            left -= error.pos - found.end() + 1
        except (ValueError, RecursionError):
            left -= len(text)
        else:
            left -= end - found.end()
            if isinstance(value, dict) and mark in value:
                return found.end(), left
    return len(text), left


def _after(text: str, start: int, passed: str) -> int:
    while start < len(text) and text[start] in passed:
        start += 1
    return start


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["half"] else escape[0]


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else float(digits)


DECODER = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_finite, parse_constant=lambda _: None)
