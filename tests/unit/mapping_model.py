"""The mapping once more, one value at a time, in plain Python: what a field of the sync file makes of a cell.

Written from docs and reference, not from the polars expressions. A value is what travels; `Bad` is a cell the gate
holds; None is nothing to send.
"""

import contextlib
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from caspio_sync.characters import trimmed

KINDS = {
    "AUTONUMBER": "integer", "INTEGER": "integer", "NUMBER": "number", "CURRENCY": "number", "YES/NO": "boolean",
    "DATE/TIME": "moment", "TIMESTAMP": "moment", "STRING": "text", "TEXT": "text", "GUID": "text",
    "RANDOM ID": "text", "PREFIXED AUTONUMBER": "text", "FILE": "text", "ATTACHMENT": "text",
    "LIST-STRING": "list", "LIST-NUMBER": "list", "LIST-DATE/TIME": "list",
}  # fmt: skip
TYPES = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean", "moment": "datetime", "list": "array"}  # fmt: skip
EXACT = 2**53


class Bad(Exception):  # noqa: N818 - a verdict
    """The gate holds the row."""


class Skip(Exception):  # noqa: N818 - not an error
    """Python and Rust know different versions of Unicode here."""


NOTHING: Final = None


def without_controls(text: str) -> str:
    return "".join(char for char in text if char in "\t\n\r" or unicodedata.category(char) != "Cc")


def titled(text: str) -> str:
    """A capital after everything that is no letter; not behind digits, nor before the end of a word's `'s`."""
    if "Σ" in text or any(
        unicodedata.category(char) not in {"Lu", "Ll", "Nd", "Zs", "Pc", "Pd", "Po", "Ps", "Pe", "Sm", "Sc"}
        or len(char.upper()) > 1
        for char in text
    ):
        raise Skip
    made, before, behind_digit = "", " ", False
    for place, char in enumerate(text):
        behind_digit = char.isdigit() or (behind_digit and char.isalpha())
        word = re.match(r"\w*", text[place:])
        ending = (
            before in "'\u2019\u02bc"
            and word is not None
            and (len(word[0]) == 1 or word[0].lower() in {"re", "ve", "ll"})
        )
        if behind_digit:
            made += char
        elif ending or before.isalpha():
            made += char.lower()
        else:
            made += char.upper()
        before = char
    return made


def plain_number(value: float) -> str | None:
    """A number as text: whole ones without a point, none with an exponent."""
    if not math.isfinite(value):
        return None
    digits = f"{Decimal(repr(value)):f}".removesuffix(".0")
    return "0" if digits == "-0" else digits


def as_word(value: Any) -> str | None:
    """An entry of `map` as a cell would hold it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def stepped(text: str, spec: Mapping[str, Any], *, trims: bool) -> str | None:
    """Words replaced, then the steps in their order; None where nothing but blanks is left."""
    text = without_controls(text)
    words = {trimmed(str(key)).lower(): value for key, value in (spec.get("map") or {}).items()}
    if trimmed(text).lower() in empty_words(spec):
        return None
    if trimmed(text).lower() in words:
        word = as_word(words[trimmed(text).lower()])
        if word is None:
            return None
        text = word
    if trims:
        text = trimmed(text)
    for step in spec.get("transform", ()):
        name, argument = (step, None) if isinstance(step, str) else next(iter(step.items()))
        if name == "trim":
            text = trimmed(text)
        elif name in {"lower", "upper"}:
            text = getattr(text, name)()
        elif name == "title":
            text = titled(text)
        elif name == "collapse_spaces":
            text = re.sub(r"\s\s+|[^\S ]", " ", trimmed(text))
        elif name == "digits":
            text = "".join(char for char in text if char in "0123456789")
        elif name == "truncate":
            text = text[:argument]
    return text if trimmed(text) else None


def empty_words(spec: Mapping[str, Any]) -> list[str]:
    """What `empty` says, as it is compared."""
    return [trimmed(str(word)).lower() for word in spec.get("empty", ())]


def is_empty(cell: Any, kind: str, spec: Mapping[str, Any], wanted: str) -> bool:
    """Whether a cell is one of the days or numbers that `empty` names."""
    if kind in {"integer", "number"}:
        return float(cell) in {float(word) for word in empty_words(spec)}
    days = []
    for word in empty_words(spec):
        with contextlib.suppress(Bad):
            days.append(day_of(word, {}))
    if kind == "moment":
        return f"{cell.year:04d}-{cell:%m-%d}" in days
    with contextlib.suppress(Bad):
        return kind == "text" and wanted in {"date", "datetime"} and day_of(cell, spec) in days
    return False


def day_of(text: str, spec: Mapping[str, Any]) -> str:
    wall, _ = parsed_moment(trimmed(text), spec)
    return f"{wall.year:04d}-{wall:%m-%d}"


def in_utc(wall: datetime, zone: str) -> str:
    """An hour that occurs twice is the first; one that never was has the offset before the jump."""
    offset = wall.replace(tzinfo=ZoneInfo(zone), fold=0).utcoffset() or timedelta()
    return stamped(wall - offset)


def stamped(wall: datetime) -> str:
    return f"{wall.year:04d}-{wall:%m-%dT%H:%M:%S}Z"


def parsed_moment(text: str, spec: Mapping[str, Any]) -> tuple[datetime, timedelta | None]:
    """A moment whose year leads, or in the one form that a `date` step names; and its offset, where it has one."""
    form = next((step["date"] for step in spec.get("transform", ()) if isinstance(step, dict) and "date" in step), None)
    if form is not None:
        found = re.fullmatch(r"(\d\d?)/(\d\d?)/(\d{4})", text, re.ASCII)
        if found is None:
            raise Bad
        return wall_clock(found[3], found[2], found[1]), None
    written = re.sub(r"^(\d{4})(\d\d)(\d\d)(?=$|[Tt ])", r"\1-\2-\3", text, flags=re.ASCII)
    written = re.sub(r"[Tt](\d\d)(\d\d)(\d\d)", r"T\1:\2:\3", written, count=1, flags=re.ASCII)
    found = re.fullmatch(
        r"(\d{4})[-/](\d\d?)[-/](\d\d?)(?:(?:[Tt]| +)(\d\d):(\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)?"
        r"(?: ?(?:([Zz]|UTC|GMT)|([+-]\d\d):?(\d\d)?))?)?",
        written,
        re.ASCII,
    )
    if found is None:
        raise Bad
    wall = wall_clock(*found.groups()[:6])
    if found[7]:
        return wall, timedelta()
    if not found[8]:
        return wall, None
    hours, minutes = int(found[8]), int(found[9] or 0)
    if abs(hours) > 23 or minutes > 59:
        raise Bad
    return wall, timedelta(hours=hours, minutes=-minutes if found[8][0] == "-" else minutes)


def wall_clock(*parts: str | None) -> datetime:
    try:
        return datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        raise Bad from None


def as_date(cell: Any, spec: Mapping[str, Any]) -> str:
    return dated(day_of(cell, spec) if isinstance(cell, str) else f"{cell.year:04d}-{cell:%m-%d}")


def as_datetime(cell: Any, zone: str, spec: Mapping[str, Any]) -> str:
    if not isinstance(cell, str):
        return dated(in_utc(cell, zone))
    wall, offset = parsed_moment(trimmed(cell), spec)
    return dated(in_utc(wall, zone) if offset is None else stamped(wall - offset))


def dated(text: str) -> str:
    if not "0001" <= text[:4] <= "3000":
        raise Bad
    return text


def as_integer(cell: Any) -> int:
    if isinstance(cell, str):
        if not re.fullmatch(r"[+-]?[0-9]+", trimmed(cell)):
            raise Bad
        cell = int(trimmed(cell))
    elif isinstance(cell, float):
        if not math.isfinite(cell) or cell != int(cell):
            raise Bad
        cell = int(cell)
    if abs(cell) >= EXACT:
        raise Bad
    return int(cell)


def as_number(cell: Any, decimals: int | None) -> float:
    """Halves of the decimal digits go away from zero."""
    cell = trimmed(cell) if isinstance(cell, str) else cell
    if isinstance(cell, str) and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell, re.ASCII):
        raise Bad
    number = float(cell)
    if not math.isfinite(number) or abs(number) >= EXACT:
        raise Bad
    if decimals is None:
        return number
    return float(Decimal(repr(number)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def as_flag(cell: Any) -> bool:
    if isinstance(cell, str):
        word = trimmed(cell).lower()
        if word in {"true", "yes", "y", "1", "t", "on"}:
            return True
        if word in {"false", "no", "n", "0", "f", "off"}:
            return False
        raise Bad
    if isinstance(cell, int) and cell in {0, 1}:
        return bool(cell)
    raise Bad


def as_string(cell: Any, zone: str, *, limit: int = 255) -> str:
    if isinstance(cell, datetime):
        return in_utc(cell, zone)
    text = plain_number(cell) if isinstance(cell, float) else str(cell).lower() if isinstance(cell, bool) else str(cell)
    if text is None or len(text) > limit:
        raise Bad
    return text


def as_array(cell: list[str | None], spec: Mapping[str, Any]) -> list[str] | None:
    items = [stepped(item, spec, trims=True) for item in cell if item is not None]
    kept = list(dict.fromkeys(item for item in items if item is not None))
    if len(kept) > 500 or any(len(item) > 255 for item in kept):
        raise Bad
    return kept or None


def value(cell: Any, type_: str, spec: Mapping[str, Any], zone: str) -> Any:  # noqa: PLR0911 - a kind, a line
    """What a mapping with `from` makes of one cell."""
    if cell is None:
        return NOTHING
    kind = KINDS[type_]
    zone = spec.get("time_zone") or zone
    wanted = spec.get("type") or ("string" if spec.get("map") and kind != "list" else TYPES[kind])
    if kind == "list":
        return as_array(cell, spec)
    steps = [step if isinstance(step, str) else next(iter(step)) for step in spec.get("transform", ())]
    as_words = bool(spec.get("map")) or any(step not in {"round", "date"} for step in steps)
    if not spec.get("type") and not spec.get("map") and "date" in steps:
        wanted = "date"
    if kind == "text" or (as_words and kind in {"integer", "number", "boolean"}):
        if kind == "boolean":
            cell = str(cell).lower()
            words = {"yes": "true", "1": "true", "no": "false", "0": "false"}
            spec = {
                **spec,
                "map": {
                    words.get(trimmed(str(key)).lower(), key): word for key, word in (spec.get("map") or {}).items()
                },
            }
        elif kind != "text":
            cell = plain_number(cell) if isinstance(cell, float) else str(cell)
        cell = None if cell is None else stepped(cell, spec, trims=wanted != "string")
        if cell is None:
            return NOTHING
        kind = "text"
    if spec.get("empty") and is_empty(cell, kind, spec, wanted):
        return NOTHING
    if wanted == "string":
        return as_string(cell, zone)
    if wanted == "integer":
        return as_integer(cell)
    if wanted == "number":
        decimals = next(
            (step["round"] for step in spec.get("transform", ()) if isinstance(step, dict) and "round" in step), None
        )
        return as_number(cell, decimals)
    if wanted == "boolean":
        return as_flag(cell)
    return as_date(cell, spec) if wanted == "date" else as_datetime(cell, zone, spec)


def mapped(row: Mapping[str, Any], types: Mapping[str, str], spec: Mapping[str, Any], zone: str) -> Any:
    """What a whole mapping makes of a row: single values, objects, arrays of texts and of objects."""
    if "constant" in spec:
        return spec["constant"]
    if "object" in spec:
        return an_object(row, types, spec["object"], zone)
    if isinstance(spec.get("array"), list):
        return an_array(row, types, spec["array"], zone)
    if "array" in spec:
        return value(row[spec["array"]], types[spec["array"]], {}, zone)
    return value(row[spec["from"]], types[spec["from"]], spec, zone)


def an_object(row: Mapping[str, Any], types: Mapping[str, str], members: Mapping[str, Any], zone: str) -> Any:
    held: dict[str, Any] = {}
    own = False
    for key, spec in members.items():
        made = mapped(row, types, spec, zone)
        if made is None:
            continue
        own = own or not is_constant(spec)
        timed = "from" in spec and is_timed(spec, types)
        held[key] = {"$time": made} if timed else made
    return held if own or is_constant({"object": members}) else NOTHING


def is_constant(spec: Mapping[str, Any]) -> bool:
    """Whether a mapping makes the same of every row: such a value does not make an object on its own."""
    return "constant" in spec or ("object" in spec and all(map(is_constant, spec["object"].values())))


def is_timed(spec: Mapping[str, Any], types: Mapping[str, str]) -> bool:
    wanted = spec.get("type") or ("string" if spec.get("map") else TYPES[KINDS[types[spec["from"]]]])
    return wanted in {"date", "datetime"}


def an_array(row: Mapping[str, Any], types: Mapping[str, str], items: list[Mapping[str, Any]], zone: str) -> Any:
    if "object" in items[0]:
        objects = [made for item in items if (made := an_object(row, types, item["object"], zone)) is not None]
        return objects or NOTHING
    made = [
        str(item["constant"])
        if "constant" in item
        else value(row[item["from"]], types[item["from"]], {"type": "string", **item}, zone)
        for item in items
    ]
    return list(dict.fromkeys(text for text in made if text is not None)) or NOTHING
