# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
import json
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from tests.definitions import profiles

TODAY = date(2026, 1, 1)
TYPES = {
    "Id": "STRING", "Text": "STRING", "Long": "TEXT", "Mail": "STRING", "Phone": "STRING", "Country": "STRING",
    "Whole": "INTEGER", "Number": "NUMBER", "Price": "CURRENCY", "Flag": "YES/NO", "When": "DATE/TIME",
    "Stamp": "TIMESTAMP", "Words": "LIST-STRING", "Secret": "PASSWORD",
}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]
GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"


def a_mapping(fields: str, *, more: str = "", identity: str = "external_id: Id", zone: str = "UTC") -> ProfileMapping:
    text = (
        f"kind: profiles\nsource: {{table: People, time_zone: {zone}}}\nidentity: {{{identity}}}\n"
        f"fields: {{{fields}}}\n{more}"
    )
    return ProfileMapping(profiles(text), FIELDS, ATTRIBUTE_VALUES)


def rows(*given: dict[str, Any]) -> pl.DataFrame:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items() if type_ in SOURCE_DTYPES}
    return pl.DataFrame([{"source_pk": n + 1, "Id": str(n + 1)} | row for n, row in enumerate(given)], schema=schema)


def mapped(mapping: ProfileMapping, *given: dict[str, Any]) -> list[dict[str, Any]]:
    frame = mapping.apply(rows(*given), today=TODAY)
    assert mapping.keys(rows(*given)).equals(frame.select("source_pk", "key"))
    return frame.to_dicts()


def one(field: str, **cells: Any) -> tuple[Any, bool]:
    """Value and verdict of attribute `a` mapped as `field`, for one row."""
    name = field.partition(":")[0]
    row = mapped(a_mapping(field), cells)[0]
    return row[name], row.get(f"{name}__ok", True)


def test_columns_follow_the_order_of_the_file_and_consent_comes_last() -> None:
    mapping = a_mapping("b: Text, a: Whole", more="consent: {email_subscribe: Flag}\n")
    frame = mapping.apply(rows({}))
    assert frame.columns[:5] == ["source_pk", "key", "b", "a", "email_subscribe"]
    assert frame.columns[-1] == "problems"
    assert [column.name for column in mapping.columns] == ["b", "a", "email_subscribe"]
    assert [column.dtype for column in mapping.columns] == [pl.String, pl.Int64, pl.String]


def test_every_ok_column_is_checked_and_every_check_has_its_column() -> None:
    mapping = a_mapping("email: Mail, a: Whole, b: {from: Text, transform: {truncate: 9}}, c: {constant: 1}")
    frame = mapping.apply(rows({}))
    assert {f"{check.column}__ok" for check in mapping.checked} == {c for c in frame.columns if c.endswith("__ok")}
    assert {check.column for check in mapping.checked} == {"key", "email", "a"}
    assert "email_format" in {check.code for check in mapping.checked}


def test_source_fields_are_those_needed_sorted() -> None:
    mapping = a_mapping("phone: {from: Phone, transform: {phone: {from: Country}}}, o: {object: {x: Whole}}")
    assert mapping.source_fields == ("Country", "Id", "Phone", "Whole")


def test_an_empty_frame_keeps_its_schema() -> None:
    mapping = a_mapping("email: Mail, phone: Phone, w: Words, o: {object: {x: Whole}}, t: When, country: Country")
    empty, full = mapping.apply(rows()), mapping.apply(rows({"Mail": "a@b.co"}))
    assert empty.schema == full.schema
    assert empty.height == 0


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("first_name: Text", "  Ann ", "Ann"),
        ("a: Text", "  Ann ", "  Ann "),
        ("a: Text", "", None),
        ("a: Text", " \t ", None),
        ("a: Text", "one\x00two\x7f\x85\n", "onetwo\n"),
        ("a: {from: Text, transform: trim}", " Ann ", "Ann"),
        ("a: {from: Text, transform: [trim, lower]}", " ANN ", "ann"),
        ("a: {from: Text, transform: upper}", "straße", "STRASSE"),
        ("a: {from: Text, transform: title}", "white heart", "White Heart"),
        ("a: {from: Text, transform: collapse_spaces}", " a \t b  c d ", "a b c d"),
        ("a: {from: Text, transform: digits}", "No. 12-3", "123"),
        ("a: {from: Text, transform: digits}", "none", None),
        ("a: {from: Text, transform: {truncate: 3}}", "äöüß", "äöü"),
        ("a: {from: Text, map: {Gold: 1st, tin: null}}", " GOLD ", "1st"),
        ("a: {from: Text, map: {Gold: 1st, tin: null}}", "Tin", None),
        ("a: {from: Text, map: {Gold: 1st}}", "Zinc", "Zinc"),
        ("a: {from: Text, type: integer}", " 12 ", 12),
        ("a: {from: Text, type: number}", "1.5", 1.5),
        ("a: {from: Text, type: boolean}", "Yes", True),
        ("a: {from: Text, type: boolean, map: {ja: true}}", "Ja", True),
        ("a: {from: Text, type: date}", "2025-02-28T10:00:00", "2025-02-28"),
        ("a: {from: Text, type: datetime}", "2025-02-28T10:00:00+02:00", "2025-02-28T08:00:00Z"),
        ("a: {from: Text, type: datetime}", "2025-02-28T10:00:00Z", "2025-02-28T10:00:00Z"),
        ("a: {from: Text, type: datetime}", "2025-02-28", "2025-02-28T00:00:00Z"),
        ("email: Text", " Ann.O'Neil+x@Example.COM ", "ann.o'neil+x@example.com"),
        ("email: Text", "jörg@example.com", "jörg@example.com"),
        ("email: Text", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("country: Text", "united kingdom", "GB"),
        ("country: Text", "USA", "US"),
        ("country: Text", "na", "NA"),
        ("country: {from: Text, map: {EIRE: IE}}", "Eire", "IE"),
        ("country: {from: Text, map: {Unspecified: null}}", "Unspecified", None),
        ("language: Text", "EN ", "en"),
        ("language: Text", "English", "en"),
        ("language: Text", "de-AT", "de"),
        ("gender: Text", "female", "F"),
        ("gender: {from: Text, map: {x: O}}", "X", "O"),
        ("time_zone: Text", "europe/london", "Europe/London"),
        ("dob: Text", "1990-02-28", "1990-02-28"),
        ("phone: Text", "+447400900123", "+447400900123"),
        ("phone: {from: Text, transform: {phone: GB}}", "020 7183 8750", "+442071838750"),
        ("phone: Text", "tel:+44-20-7183-8750", "+442071838750"),
        ("billing: {from: Text, transform: country}", "Germany", "DE"),
    ],
)
def test_text_becomes(field: str, cell: str, value: Any) -> None:
    assert one(field, Text=cell) == (value, True)


@pytest.mark.parametrize(
    ("field", "cell", "kept"),
    [
        ("a: Text", "x" * 256, "x" * 256),
        ("first_name: Text", "x" * 256, "x" * 256),
        ("a: {from: Text, type: integer}", "1.5", None),
        ("a: {from: Text, type: integer}", str(2**53 + 1), None),
        ("a: {from: Text, type: number}", "NaN", None),
        ("a: {from: Text, type: number}", "inf", None),
        ("a: {from: Text, type: boolean}", "perhaps", None),
        ("a: {from: Text, type: date}", "31/12/2025", "31/12/2025"),
        ("a: {from: Text, type: datetime}", "soon", "soon"),
        ("a: {from: Text, type: date}", "3001-01-01", "3001-01-01"),
        ("email: Text", "no-at.example.com", "no-at.example.com"),
        ("email: Text", "two words@example.com", "two words@example.com"),
        ("email: Text", "ann@bücher.example", "ann@bücher.example"),
        ("email: Text", f"{'a' * 65}@example.com", f"{'a' * 65}@example.com"),
        ("country: Text", "EIRE", "EIRE"),
        ("language: Text", "Klingonese", "Klingonese"),
        ("gender: Text", "q", "q"),
        ("time_zone: Text", "Mars/Olympus", "Mars/Olympus"),
        ("dob: Text", "2026-01-02", "2026-01-02"),
        ("dob: Text", "1899-12-31", "1899-12-31"),
        ("dob: Text", "1990-02-30", "1990-02-30"),
        ("phone: Text", "020 7183 8750", "020 7183 8750"),
        ("phone: Text", "+999123456789", "+999123456789"),
        ("phone: Text", "call me", "call me"),
        ("image_url: Text", "h" * 1025, "h" * 1025),
    ],
)
def test_ill_formed_text_is_not_ok_and_stays_where_it_can(field: str, cell: str, kept: Any) -> None:
    assert one(field, Text=cell) == (kept, False)


@pytest.mark.parametrize(
    ("field", "cells", "value", "ok"),
    [
        ("a: Whole", {"Whole": 2**53 - 1}, 2**53 - 1, True),
        ("a: Whole", {"Whole": -(2**53)}, None, False),
        ("a: Number", {"Number": float("nan")}, None, False),
        ("a: Number", {"Number": float("-inf")}, None, False),
        ("a: {from: Number, transform: {round: 2}}", {"Number": 1.006}, 1.01, True),
        ("a: {from: Number, type: integer}", {"Number": 3.0}, 3, True),
        ("a: {from: Number, type: integer}", {"Number": 3.5}, None, False),
        ("a: {from: Number, type: integer}", {"Number": 1e300}, None, False),
        ("a: {from: Number, type: string}", {"Number": 3.0}, "3", True),
        ("a: {from: Number, type: string}", {"Number": float("nan")}, None, False),
        ("a: {from: Whole, type: string}", {"Whole": 7}, "7", True),
        ("a: {from: Whole, type: boolean}", {"Whole": 1}, True, True),
        ("a: {from: Whole, type: boolean}", {"Whole": 2}, None, False),
        ("a: {from: Whole, map: {1: gold}}", {"Whole": 1}, "gold", True),
        ("a: {from: Flag, map: {yes: trade, no: retail}}", {"Flag": True}, "trade", True),
        ("a: Flag", {"Flag": None}, None, True),
        ("a: When", {"When": datetime(2011, 7, 9, 12, 50)}, "2011-07-09T12:50:00Z", True),
        ("a: {from: When, type: date}", {"When": datetime(2011, 7, 9, 12, 50)}, "2011-07-09", True),
        ("a: When", {"When": datetime(3001, 1, 1)}, "3001-01-01T00:00:00Z", False),
        ("dob: When", {"When": datetime(1899, 12, 31)}, "1899-12-31", False),
        ("dob: When", {"When": datetime(2026, 1, 1)}, "2026-01-01", True),
        ("a: Words", {"Words": [" b", "a", "", None, "b", "a"]}, ["b", "a"], True),
        ("a: Words", {"Words": [""]}, None, True),
        ("a: {from: Words, transform: upper}", {"Words": ["b", "B"]}, ["B"], True),
        ("a: {array: Words}", {"Words": ["b"]}, ["b"], True),
        ("a: {array: [Text, Whole, Long]}", {"Text": "x", "Whole": 1, "Long": "x"}, ["x", "1"], True),
        ("a: {constant: caspio}", {}, "caspio", True),
    ],
)
def test_typed_cells_become(field: str, cells: dict[str, Any], value: Any, ok: bool) -> None:
    assert one(field, **cells) == (value, ok)


def test_more_than_500_items_are_not_ok() -> None:
    assert one("a: Words", Words=[str(n) for n in range(501)])[1] is False
    assert one("a: Words", Words=[str(n) for n in range(500)])[1] is True


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        (datetime(2025, 1, 1, 12), "2025-01-01T12:00:00Z"),
        (datetime(2025, 7, 1, 12), "2025-07-01T11:00:00Z"),
        (datetime(2025, 10, 26, 1, 30), "2025-10-26T00:30:00Z"),  # occurs twice: the first
        (datetime(2025, 3, 30, 1, 30), "2025-03-30T01:30:00Z"),  # never occurred: the offset before the jump
    ],
)
def test_wall_clocks_become_utc_also_when_the_clock_changes(wall: datetime, utc: str) -> None:
    assert mapped(a_mapping("a: When", zone="Europe/London"), {"When": wall})[0]["a"] == utc


def test_a_field_may_hang_in_another_zone_than_the_source() -> None:
    mapping = a_mapping("a: {from: When, time_zone: Asia/Tokyo}, b: When")
    row = mapped(mapping, {"When": datetime(2025, 1, 1, 12)})[0]
    assert (row["a"], row["b"]) == ("2025-01-01T03:00:00Z", "2025-01-01T12:00:00Z")


def test_objects_leave_out_nulls_and_mark_times() -> None:
    field = "o: {object: {n: Whole, t: Text, at: When, kind: {constant: x}, in: {object: {m: Mail, f: Flag}}}}"
    mapping = a_mapping(field)
    texts = [row["o"] for row in mapped(
        mapping,
        {"Whole": 1, "Text": 'a","t":null,"', "When": datetime(2025, 1, 1), "Mail": "m", "Flag": True},
        {"Text": "x"},
        {"Flag": False},
        {},
    )]  # fmt: skip
    assert [json.loads(text) if text else None for text in texts] == [
        {
            "n": 1,
            "t": 'a","t":null,"',
            "at": {"$time": "2025-01-01T00:00:00Z"},
            "kind": "x",
            "in": {"m": "m", "f": True},
        },
        {"t": "x", "kind": "x"},
        {"kind": "x", "in": {"f": False}},
        None,
    ]
    assert mapping.columns[0].encoding == "json"


def test_arrays_of_objects_leave_out_objects_without_a_value() -> None:
    field = "o: {array: [{object: {k: {constant: 1}, v: Text}}, {object: {k: {constant: 2}, v: Whole}}]}"
    texts = [row["o"] for row in mapped(a_mapping(field), {"Text": "x", "Whole": 2}, {"Whole": 3}, {})]
    assert [json.loads(text) if text else None for text in texts] == [
        [{"k": 1, "v": "x"}, {"k": 2, "v": 2}],
        [{"k": 2, "v": 3}],
        None,
    ]


def test_an_ill_formed_value_inside_makes_the_object_ill_formed() -> None:
    row = mapped(a_mapping("o: {object: {n: Whole, t: Text}}"), {"Whole": 2**60, "Text": "x"})[0]
    assert row["o__ok"] is False
    assert row["problems"] == "o.n: is no whole number below 2^53 (9999999999999999999)"


def test_an_object_over_100_kb_is_not_ok() -> None:
    members = ", ".join(f"k{n}: Long" for n in range(500))
    row = mapped(a_mapping(f"o: {{object: {{{members}}}}}"), {"Long": "ä" * 250})[0]
    assert row["o__ok"] is False
    assert row["problems"] == "o: is over 100 KB"


def test_half_a_location_is_not_sent() -> None:
    mapping = a_mapping("current_location: {object: {longitude: Number, latitude: Price}}")
    values = mapped(mapping, {"Number": 1.5, "Price": 50.0}, {"Number": 1.5}, {"Number": 181.0, "Price": 1.0})
    assert [row["current_location"] for row in values] == ['{"longitude":1.5,"latitude":50.0}', None, None]
    assert [row["current_location__ok"] for row in values] == [True, True, False]


CONSENT = f"""consent:
  email_subscribe: {{from: Text, map: {{yes: subscribed, no: unsubscribed, Double Opt-In: opted_in, unasked: null}}}}
  push_subscribe: {{from: Flag, map: {{yes: unsubscribed, no: opted_in}}}}
  subscription_groups: [{{id: {GROUP}, channel: email, from: Flag}}]
"""


def test_consent_states_are_mapped_and_typed() -> None:
    mapping = a_mapping("", more=CONSENT)
    group = f"subscription_groups.{GROUP}"
    row = mapped(mapping, {"Text": " DOUBLE opt-in", "Flag": True})[0]
    assert (row["email_subscribe"], row["push_subscribe"], row[group]) == ("opted_in", "unsubscribed", "subscribed")
    assert [(c.role, c.channel) for c in mapping.columns] == [
        ("consent", None), ("consent", None), ("subscription_group", "email"),
    ]  # fmt: skip


@pytest.mark.parametrize(("cell", "ok"), [("", True), (None, True), ("unasked", True), ("maybe", False)])
def test_unknown_consent_is_null_and_a_word_without_an_entry_is_ill_formed(cell: str | None, ok: bool) -> None:
    row = mapped(a_mapping("", more=CONSENT), {"Text": cell})[0]
    assert row["email_subscribe__ok"] is ok
    assert row["email_subscribe"] == (None if ok else "maybe")


def test_consent_text_without_a_map_takes_brazes_words() -> None:
    mapping = a_mapping("", more="consent: {email_subscribe: Text}\n")
    assert [r["email_subscribe__ok"] for r in mapped(mapping, {"Text": "Opted_In"}, {"Text": "yes"})] == [True, False]


@pytest.mark.parametrize(
    ("identity", "cells", "key", "ok"),
    [
        ("external_id: Id", {"Id": " 17850 "}, "17850", True),
        ("external_id: Id", {"Id": " "}, None, False),
        ("external_id: Id", {"Id": "ä" * 494}, "ä" * 494, False),
        ("external_id: Whole", {"Whole": 17850}, "17850", True),
        ("'user_alias': {name: Id, label: crm}", {"Id": "x" * 236}, "x" * 236, True),
        ("'user_alias': {name: Id, label: crm}", {"Id": "x" * 237}, "x" * 237, False),
        ("email: Mail", {"Mail": " Ann@Example.com"}, "ann@example.com", True),
        ("email: Mail", {"Mail": "ann"}, "ann", False),
        ("phone: Phone, region: GB", {"Phone": "020 7183 8750"}, "+442071838750", True),
        ("phone: Phone, region: {from: Country}", {"Phone": "020 7183 8750", "Country": "UK"}, "+442071838750", True),
        ("phone: Phone", {"Phone": "020 7183 8750"}, "020 7183 8750", False),
    ],
)
def test_the_key_is_trimmed_and_judged(identity: str, cells: dict[str, Any], key: str | None, ok: bool) -> None:
    row = mapped(a_mapping("a: Text", identity=identity), cells)[0]
    assert (row["key"], row["key__ok"]) == (key, ok)
    assert (row["problems"] is None) is ok


def test_the_phone_region_follows_the_country_and_its_map_and_falls_back() -> None:
    mapping = a_mapping(
        "phone: {from: Phone, transform: {phone: {from: Country, region: GB}}}, country: {from: Country, map: {Eire: IE}}"
    )
    values = mapped(
        mapping,
        {"Phone": "01 234 5678", "Country": "EIRE"},
        {"Phone": "020 7183 8750", "Country": "Atlantis"},
        {"Phone": "(202) 456-1111", "Country": "USA"},
    )
    assert [row["phone"] for row in values] == ["+35312345678", "020 7183 8750", "+12024561111"]


def test_problems_name_every_bad_cell_and_mask_its_value() -> None:
    mapping = a_mapping("email: Mail, a: {from: Text, type: integer}")
    row = mapped(mapping, {"Mail": "Ann Smith 1990", "Text": "n/a"}, {})[0]
    assert row["problems"] == (
        "email: is no e-mail address that Braze takes (xxx xxxxx 9999); a: is no whole number below 2^53 (x/x)"
    )


def test_masked_values_are_cut_to_40_characters() -> None:
    row = mapped(a_mapping("a: Text"), {"Text": "secret" * 50})[0]
    assert row["problems"].endswith(f"({'x' * 39}…)")


def test_a_clean_row_has_no_problems() -> None:
    assert mapped(a_mapping("email: Mail"), {"Mail": "a@b.co"}, {})[0]["problems"] is None


def test_uncastable_cells_are_problems_of_their_columns() -> None:
    frame = rows({}, {"Whole": 1}).with_columns(uncastable=pl.Series([["Whole"], None], dtype=pl.List(pl.String)))
    first, second = a_mapping("a: Whole, o: {object: {n: Whole}}").apply(frame).to_dicts()
    assert (first["a__ok"], first["o__ok"], second["a__ok"]) == (False, False, True)
    assert first["problems"] == "a: is no value of Caspio's type INTEGER; o.n: is no value of Caspio's type INTEGER"
    assert second["problems"] is None


def test_an_uncastable_key_is_not_ok() -> None:
    frame = rows({}).with_columns(uncastable=pl.Series([["Whole"]], dtype=pl.List(pl.String)))
    row = a_mapping("a: Text", identity="external_id: Whole").apply(frame).to_dicts()[0]
    assert row["key__ok"] is False
