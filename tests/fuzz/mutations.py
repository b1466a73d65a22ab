"""Changes to an input: of its bytes, of its lines, and of the JSON that stands in it."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

BYTES = (
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\x8b", b"\xf0\x9f\x98\x80", b"\r\n", b"\t", b"\x1b[2J"),
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b",", b"-", b"%", b"$", b"&a ", b"*a", b"!!", b"\xed\xa0\xbd"),
)
NUMBERS = (
    b"0",
    b"-1",
    b"1e400",
    b"1e18",
    b"9007199254740993",
    b"18446744073709551616",
    b"0.1",
    b"1" * 40,
    b"NaN",
    b"-0",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**53 + 1, 2**63, 2**64, 10**40, 1e308, float("nan")),
    *("", " ", "\x00", "\u200b", "\ufeff", "\ud83d", "1", "-1.0", "true", "null", "x" * 300, "ü", "a\nb", "[1], [2]"),
    *("2024-02-30", "9999-12-31T23:59:59", "0001-01-01T00:00:00Z", "Fri, 31 Dec 9999 23:59:59 -2359", "31.01.2026"),
    *([], {}, [[]], [None], {"a": 1}, {"": None}, {"1": "red"}, [1, "1", None]),
)  # fmt: skip
_JSON_START = re.compile(rb"^[\[{]", re.MULTILINE)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_DEEP = 400

Mutation = Callable[[random.Random, bytes], bytes]


def mutate(dice: random.Random, data: bytes, others: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One to four changes; `others` are inputs to take parts of, `words` what inputs are made of."""
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        kind = dice.random()
        if kind < 0.4:
            data = _in_json(dice, data)
        elif kind < 0.5 and words:
            place = dice.randrange(len(data) + 1)
            data = data[:place] + dice.choice(words) + data[place + dice.choice((0, 0, 1, 8)) :]
        elif kind < 0.6 and others:
            data = _spliced(dice, data, dice.choice(others))
        else:
            data = dice.choice(_MUTATIONS)(dice, data)
    return data


def _stretch(dice: random.Random, data: bytes) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + dice.choice((1, 1, 2, 4, 8, 16, 64)))


def _without(dice: random.Random, data: bytes) -> bytes:
    start, end = _stretch(dice, data)
    return data[:start] + data[end:]


def _twice(dice: random.Random, data: bytes) -> bytes:
    start, end = _stretch(dice, data)
    return data[:end] + data[start:end] * dice.choice((1, 1, 3, 50)) + data[end:]


def _cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _other_byte(dice: random.Random, data: bytes) -> bytes:
    start, _ = _stretch(dice, data)
    return data[:start] + bytes([dice.randrange(256)]) + data[start + 1 :]


def _odd_bytes(dice: random.Random, data: bytes) -> bytes:
    start, end = _stretch(dice, data)
    return data[:start] + dice.choice(BYTES) + data[dice.choice((start, end)) :]


def _other_number(dice: random.Random, data: bytes) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    one = dice.choice(found)
    return data[: one.start()] + dice.choice(NUMBERS) + data[one.end() :]


def _other_lines(dice: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    place, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    change = dice.random()
    if change < 0.35:
        del lines[place]
    elif change < 0.6:
        lines.insert(other, lines[place])
    elif change < 0.8:
        lines[place], lines[other] = lines[other], lines[place]
    else:
        lines[place] = b" " * dice.choice((1, 2, 4)) + lines[place]
    return b"\n".join(lines)


def _spliced(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of the other, at the ends of lines where there are some."""
    starts = [place + 1 for place, each in enumerate(data) if each == 10] or [dice.randrange(len(data) + 1)]
    ends = [place + 1 for place, each in enumerate(other) if each == 10] or [dice.randrange(len(other) + 1)]
    return data[: dice.choice(starts)] + other[dice.choice(ends) :]


_MUTATIONS: tuple[Mutation, ...] = (_without, _twice, _cut, _other_byte, _odd_bytes, _other_number, _other_lines)


def _in_json(dice: random.Random, data: bytes) -> bytes:
    """One of the JSON documents that begin a line, changed at one of its nodes; the input itself where there is none."""
    starts = [found.start() for found in _JSON_START.finditer(data)]
    if not starts:
        return data
    start = dice.choice(starts)
    try:
        document, length = json.JSONDecoder().raw_decode(data[start:].decode())
    except (ValueError, RecursionError):
        return data
    end = start + len(data[start:].decode()[:length].encode())
    holder = [document]
    _change(dice, holder)
    try:
        return data[:start] + json.dumps(holder[0]).encode() + data[end:]
    except RecursionError:
        return data


def _change(dice: random.Random, holder: list[Any]) -> None:
    """Change one node below `holder`."""
    node: Any = holder
    key: Any = 0
    while isinstance(node[key], dict | list) and node[key] and dice.random() < 0.8:
        node = node[key]
        key = dice.choice(list(node)) if isinstance(node, dict) else dice.randrange(len(node))
    change = dice.random()
    if change < 0.5:
        node[key] = dice.choice(VALUES)
    elif change < 0.6 and node is not holder:
        del node[key]
    elif change < 0.7 and isinstance(node, dict):
        node[dice.choice((str(key).upper(), "", f"{key}s", "\u200b"))] = node.pop(key)
    elif change < 0.8 and isinstance(node, list):
        node.extend([node[key]] * dice.choice((1, 1, 100)))
    elif change < 0.83:
        for _ in range(_DEEP):
            node[key] = [node[key]]
    elif change < 0.9:
        node[key] = str(node[key])
    else:
        node[key] = dice.choice(([node[key]], {"a": node[key]}, [node[key], node[key]]))
