"""The mapping once more, one value at a time, in plain Python: what a field of the sync file makes of a cell.

Written from docs and reference, not from the polars expressions. A value is what travels; `Bad` is a cell the gate
holds; None is nothing to send.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

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
    """A capital after everything that is no letter."""
    if "Σ" in text or any(
        unicodedata.category(char) not in {"Lu", "Ll", "Nd", "Zs", "Pc", "Pd", "Po", "Ps", "Pe", "Sm", "Sc"}
        or len(char.upper()) > 1
        for char in text
    ):
        raise Skip
    return "".join(
        char.upper() if not before.isalpha() else char.lower() for before, char in zip(f" {text}", text, strict=False)
    )


def plain_number(value: float) -> str | None:
    """A number as text: whole ones without a point."""
    if not math.isfinite(value):
        return None
    if value == int(value) and abs(value) <= EXACT:
        return str(int(value))
    return repr(value)


def as_word(value: Any) -> str | None:
    """An entry of `map` as a cell would hold it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def stepped(text: str, spec: Mapping[str, Any], *, trims: bool) -> str | None:
    """Words replaced, then the steps in their order; None where nothing but blanks is left."""
    text = without_controls(text)
    words = {str(key).strip().lower(): value for key, value in (spec.get("map") or {}).items()}
    if text.strip().lower() in words:
        word = as_word(words[text.strip().lower()])
        if word is None:
            return None
        text = word
    if trims:
        text = text.strip()
    for step in spec.get("transform", ()):
        name, argument = (step, None) if isinstance(step, str) else next(iter(step.items()))
        if name == "trim":
            text = text.strip()
        elif name in {"lower", "upper"}:
            text = getattr(text, name)()
        elif name == "title":
            text = titled(text)
        elif name == "collapse_spaces":
            text = re.sub(r"\s\s+|[^\S ]", " ", text.strip())
        elif name == "digits":
            text = "".join(char for char in text if char in "0123456789")
        elif name == "truncate":
            text = text[:argument]
    return text if text.strip() else None


def in_utc(wall: datetime, zone: str) -> str:
    """An hour that occurs twice is the first; one that never was has the offset before the jump."""
    offset = wall.replace(tzinfo=ZoneInfo(zone), fold=0).utcoffset() or timedelta()
    return stamped(wall - offset)


def stamped(wall: datetime) -> str:
    return f"{wall.year:04d}-{wall:%m-%dT%H:%M:%S}Z"


def parsed_moment(text: str) -> tuple[datetime, timedelta | None]:
    """A moment written as ISO 8601, with a blank for the T or without a time; and its offset, where it has one."""
    found = re.fullmatch(
        r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?(Z|[+-]\d\d:\d\d)?", text, re.ASCII
    )
    if found is None:
        raise Bad
    try:
        wall = datetime(*(int(part or 0) for part in found.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        raise Bad from None
    if found[8] is None:
        return wall, None
    if found[5] is None or found[7] is not None or found[6] is None or " " in text:
        raise Bad  # an offset belongs to a whole ISO time
    hours, minutes = (0, 0) if found[8] == "Z" else map(int, found[8][1:].split(":"))
    sign = -1 if found[8].startswith("-") else 1
    return wall, sign * timedelta(hours=hours, minutes=minutes)


def as_date(cell: Any) -> str:
    if isinstance(cell, str):
        cell, offset = parsed_moment(cell.strip())
        if offset is not None:
            raise Bad
    return dated(f"{cell.year:04d}-{cell:%m-%d}")


def as_datetime(cell: Any, zone: str) -> str:
    if not isinstance(cell, str):
        return dated(in_utc(cell, zone))
    wall, offset = parsed_moment(cell.strip())
    return dated(in_utc(wall, zone) if offset is None else stamped(wall - offset))


def dated(text: str) -> str:
    if not "0001" <= text[:4] <= "3000":
        raise Bad
    return text


def as_integer(cell: Any) -> int:
    if isinstance(cell, str):
        if not re.fullmatch(r"[+-]?[0-9]+", cell.strip()):
            raise Bad
        cell = int(cell)
    elif isinstance(cell, float):
        if not math.isfinite(cell) or cell != int(cell):
            raise Bad
        cell = int(cell)
    if abs(cell) > EXACT:
        raise Bad
    return int(cell)


def as_number(cell: Any, decimals: int | None) -> float:
    if isinstance(cell, str) and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell.strip(), re.ASCII):
        raise Bad
    number = float(cell)
    if not math.isfinite(number):
        raise Bad
    if decimals is None:
        return number
    scaled = number * 10**decimals
    return round(scaled) / 10**decimals if math.isfinite(scaled) else number


def as_flag(cell: Any) -> bool:
    if isinstance(cell, str):
        word = cell.strip().lower()
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
    as_words = bool(spec.get("map")) or any(step != "round" for step in steps)
    if kind == "text" or (as_words and kind in {"integer", "number", "boolean"}):
        if kind == "boolean":
            cell = str(cell).lower()
            words = {"yes": "true", "1": "true", "no": "false", "0": "false"}
            spec = {
                **spec,
                "map": {
                    words.get(str(key).strip().lower(), key): word for key, word in (spec.get("map") or {}).items()
                },
            }
        elif kind != "text":
            cell = plain_number(cell) if isinstance(cell, float) else str(cell)
        cell = None if cell is None else stepped(cell, spec, trims=wanted != "string")
        if cell is None:
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
    return as_date(cell) if wanted == "date" else as_datetime(cell, zone)


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
