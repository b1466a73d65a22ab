# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""The mapping against a plain reading of the same rules, row by row, in ordinary Python."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.characters import trimmed
from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from tests.definitions import profiles

TODAY = date(2026, 1, 1)
LONDON = ZoneInfo("Europe/London")
TYPES = {
    "Id": "STRING", "Name": "STRING", "Born": "DATE/TIME", "Seen": "DATE/TIME", "Count": "INTEGER",
    "Share": "NUMBER", "Flag": "YES/NO", "Words": "LIST-STRING", "Consent": "STRING",
}  # fmt: skip
SYNC = """kind: profiles
source: {table: T, time_zone: Europe/London}
identity: {external_id: Id}
fields:
  first_name: Name
  label: {from: Name, transform: [lower, {truncate: 5}]}
  dob: Born
  seen: Seen
  count: Count
  share: {from: Share, transform: {round: 2}}
  flag: Flag
  words: Words
  box: {object: {name: Name, count: Count, seen: Seen}}
consent:
  email_subscribe: {from: Consent, map: {yes: subscribed, no: unsubscribed, unasked: null}}
"""
MAPPING = ProfileMapping(
    profiles(SYNC, Path("t.yaml")), [CaspioField(name, type_) for name, type_ in TYPES.items()], ATTRIBUTE_VALUES
)
CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - set("\t\n\r")

# Characters that Python's own tables know: polars' are newer, and know the lower case of more.
known = st.characters(exclude_categories=("Cs", "Cn"))
texts = (
    st.none()
    | st.text(known, max_size=12)
    | st.sampled_from(["", "  ", " Ann ", "x" * 256, "\x00", "a\x85b", '"}', "\\"])
)
moments = st.none() | st.datetimes(datetime(1890, 1, 1), datetime(2040, 1, 1)).map(lambda t: t.replace(microsecond=0))
source_rows = st.fixed_dictionaries(
    {
        "Id": texts,
        "Name": texts,
        "Born": moments,
        "Seen": moments,
        "Count": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
        "Share": st.none() | st.floats(),
        "Flag": st.none() | st.booleans(),
        "Words": st.none() | st.lists(texts, max_size=4),
        "Consent": texts | st.sampled_from(["YES", " no ", "Unasked", "maybe"]),
    }
)


def text_of(cell: str | None, *, trim: bool) -> str | None:
    if cell is None:
        return None
    kept = "".join(character for character in cell if character not in CONTROLS)
    kept = trimmed(kept) if trim else kept
    return kept if trimmed(kept) else None


def utc_of(cell: datetime | None) -> str | None:
    if cell is None:
        return None
    offset = cell.replace(tzinfo=LONDON, fold=0).utcoffset() or timedelta()
    return (cell - offset).strftime("%Y-%m-%dT%H:%M:%SZ")


def expected(row: dict[str, Any]) -> dict[str, Any]:
    key, name = text_of(row["Id"], trim=True), text_of(row["Name"], trim=True)
    raw = text_of(row["Name"], trim=False)
    label = text_of(raw.lower()[:5], trim=False) if raw else None
    count, share = row["Count"], row["Share"]
    count_ok = count is None or abs(count) < 2**53
    share_ok = share is None or (math.isfinite(share) and abs(share) < 2**53)
    words = list(dict.fromkeys(w for w in (text_of(word, trim=True) for word in row["Words"] or ()) if w))
    word = (text_of(row["Consent"], trim=True) or "").lower()
    states = {"yes": "subscribed", "no": "unsubscribed", "unasked": None, "": None}
    box = {"name": raw, "count": count if count_ok else None, "seen": {"$time": utc_of(row["Seen"])}}
    box = {k: v for k, v in box.items() if v is not None and v != {"$time": None}}
    return {
        "key": key,
        "key__ok": key is not None and len(key.encode()) <= 987,
        "first_name": name,
        "first_name__ok": name is None or len(name) <= 255,
        "label": label,
        "dob": row["Born"] and row["Born"].date().isoformat(),
        "dob__ok": row["Born"] is None or date(1900, 1, 1) <= row["Born"].date() <= TODAY,
        "seen": utc_of(row["Seen"]),
        "count": count if count_ok else None,
        "count__ok": count_ok,
        "share__ok": share_ok,
        "flag": row["Flag"],
        "words": words or None,
        "box": box or None,
        "box__ok": count_ok and (raw is None or len(raw) <= 255),
        "email_subscribe": states.get(word, text_of(row["Consent"], trim=True)),
        "email_subscribe__ok": word in states,
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(source_rows, min_size=1, max_size=12))
def test_the_mapping_is_what_a_plain_reading_of_its_rules_says(given_rows: list[dict[str, Any]]) -> None:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items()}
    frame = pl.DataFrame([{"source_pk": n} | row for n, row in enumerate(given_rows)], schema=schema)
    mapped = MAPPING.apply(frame, today=TODAY).to_dicts()
    assert MAPPING.keys(frame).to_dicts() == [{"source_pk": row["source_pk"], "key": row["key"]} for row in mapped]
    for source, row in zip(given_rows, mapped, strict=True):
        wanted = expected(source)
        got = {name: row[name] for name in wanted}
        got["box"] = json.loads(row["box"]) if row["box"] else None
        assert got == wanted
        faults = [name for name, value in row.items() if name.endswith("__ok") and not value]
        assert (row["problems"] is None) is (not faults)


@settings(max_examples=8, deadline=None)
@given(st.lists(source_rows, min_size=1, max_size=8))
def test_the_mapping_of_a_row_does_not_depend_on_its_neighbours(given_rows: list[dict[str, Any]]) -> None:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items()}
    frame = pl.DataFrame([{"source_pk": n} | row for n, row in enumerate(given_rows)], schema=schema)
    together = MAPPING.apply(frame, today=TODAY)
    alone = pl.concat([MAPPING.apply(frame[n], today=TODAY) for n in range(frame.height)])
    assert together.equals(alone)


def test_a_mapped_time_is_the_instant_of_the_cell() -> None:
    wall = datetime(2025, 8, 1, 9, 30)
    assert utc_of(wall) == wall.replace(tzinfo=LONDON).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
