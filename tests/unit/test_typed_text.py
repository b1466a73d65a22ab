# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""What people type, and what it is read as: countries, moments, numbers, names, invisible characters."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.extraction.cells import source_frame
from caspio_sync.mapping import ProfileMapping
from caspio_sync.mapping.numbers import number_text, rounded
from caspio_sync.mapping.objects import encode_objects, identifier_expression
from caspio_sync.mapping.places import country_code, language_code, two_countries
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from tests.definitions import profiles

TYPES = {"Id": "STRING", "Text": "STRING", "Phone": "STRING", "Country": "STRING", "Number": "NUMBER", "When": "DATE/TIME", "Words": "LIST-STRING"}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]
MARK, JOINER = "\u200b", "\u200d"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # with a joiner inside


def a_mapping(fields: str, identity: str = "external_id: Id", more: str = "") -> ProfileMapping:
    text = f"kind: profiles\nsource: {{table: People}}\nidentity: {{{identity}}}\nfields: {{{fields}}}\n{more}"
    return ProfileMapping(profiles(text), FIELDS)


def mapped(mapping: ProfileMapping, **cells: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items()}
    rows = pl.DataFrame([{"source_pk": 1, "Id": "1"} | cells], schema=schema)
    return mapping.apply(rows, today=date(2026, 1, 1)).to_dicts()[0]


def sent(mapping: ProfileMapping, **cells: Any) -> str:
    """The object that Braze would get."""
    rows = pl.DataFrame(
        [mapped(mapping, **cells)], schema_overrides={each.name: each.dtype for each in mapping.columns}
    )
    rows = rows.with_columns(pl.lit(value=True).alias(f"_send.{each.name}") for each in mapping.columns)
    objects = encode_objects(
        rows,
        mapping.columns,
        identifier=identifier_expression("external_id"),
        travels=lambda name: f"_send.{name}",
        update_only=False,
    )
    return str(objects[0])


@pytest.mark.parametrize(
    ("code", "names"),
    {
        "RU": "Russia, Russian Federation",
        "TR": "Turkey, Turkiye, Türkiye",
        "CI": "Ivory Coast, Côte d'Ivoire, Cote d\u2019Ivoire",
        "XK": "Kosovo",
        "NL": "Holland, The Netherlands",
        "IE": "Republic of Ireland, Ireland",
        "GB": "Northern Ireland, UK, U.K., England, Scotland, Wales, Great Britain",
        "US": "U.S.A., USA, U.S., United States of America, the United States",
        "PS": "Palestine",
        "MK": "Macedonia, North Macedonia",
        "AE": "UAE, United Arab Emirates",
        "KR": "South Korea, Republic of Korea",
        "VN": "Vietnam, Viet Nam",
        "CZ": "Czech Republic, Czechia",
        "MM": "Burma, Myanmar",
        "CD": "DRC, Democratic Republic of the Congo",
        "CG": "Republic of the Congo",
        "VI": "U.S. Virgin Islands",
        "BA": "Bosnia & Herzegovina",
        "LC": "St. Lucia, Saint Lucia",
        "NA": "na",
        "GN": "Guinea",
    }.items(),
)
def test_countries_by_the_names_people_type(code: str, names: str) -> None:
    assert {name: country_code(name) for name in names.split(", ")} == dict.fromkeys(names.split(", "), code)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("Congo", "CD CG"),
        ("The Congo", "CD CG"),
        ("Korea", "KP KR"),
        ("Virgin Islands", "VG VI"),
        ("St Martin", "MF SX"),
    ],
)
def test_a_name_of_two_countries_is_held_and_both_are_named(name: str, codes: str) -> None:
    assert country_code(name) is None
    assert all(code in (two_countries(name) or "") for code in codes.split())
    row = mapped(a_mapping("country: Country"), Country=name)
    assert not row["country__ok"]
    assert all(f"{code} (" in row["problems"] for code in codes.split())


@pytest.mark.parametrize(
    ("code", "names"),
    [("el", "Greek"), ("zh", "Mandarin, Chinese, zh-Hans"), ("fa", "Farsi, Persian"), ("nb", "nb-NO"), ("ms", "Malay")],
)
def test_languages_by_the_names_people_type(code: str, names: str) -> None:
    assert {language_code(name) for name in names.split(", ")} == {code}


BY_COUNTRY = "phone: {from: Phone, transform: {phone: {from: Country, region: GB}}}"


@pytest.mark.parametrize(
    ("number", "country", "value"),
    [
        ("344 530 39 44", "Turkey", "+903445303944"),
        ("532 123 45 67", "Türkiye", "+905321234567"),
        ("0344 530 3944", "Atlantis", None),
        ("0344 530 3944", "Congo", None),
        ("+44 344 530 3944", "Atlantis", "+443445303944"),
        ("0344 530 3944", None, "+443445303944"),
        ("0344 530 3944", f" {MARK}", "+443445303944"),
        ("0344 530 3944", f"United Kingdom{MARK}", "+443445303944"),
        (f"\u202a+44 344{MARK} 530 3944\u202c", None, "+443445303944"),
    ],
)
def test_a_number_is_read_by_its_own_country_alone(number: str, country: str | None, value: str | None) -> None:
    row = mapped(a_mapping(BY_COUNTRY), Phone=number, Country=country)
    assert (row["phone"] if row["phone__ok"] else None) == value


@pytest.mark.parametrize(("country", "told"), [("Atlantis", "is no ISO 3166 country"), ("Congo", "CD (")])
def test_of_a_number_with_an_unknown_country_the_country_is_named(country: str, told: str) -> None:
    problems = mapped(a_mapping(BY_COUNTRY), Phone="0344 530 3944", Country=country)["problems"]
    assert problems.startswith("phone: has no country code of its own, and 'Country' ")
    assert told in problems
    assert "0344" not in problems
    assert "9999" not in problems


DAY, TIME = "2024-05-01", "2024-05-01T10:00:00Z"


@pytest.mark.parametrize(
    ("text", "day", "instant"),
    [
        ("2024-05-01T10:00:00.123Z", DAY, TIME),
        ("2024-05-01 10:00:00+00:00", DAY, TIME),
        ("2024-05-01T12:00+0200", DAY, TIME),
        ("2024-05-01 12:00:00 +02", DAY, TIME),
        ("2024-05-01T10:00:00,5z", DAY, TIME),
        ("2024-05-01 10:00 UTC", DAY, TIME),
        ("20240501T100000Z", DAY, TIME),
        ("2024/05/01 10:00", DAY, TIME),
        ("2024/5/1", DAY, "2024-05-01T00:00:00Z"),
        ("20240501", DAY, "2024-05-01T00:00:00Z"),
        (f"{MARK}2024-05-01T00:00:00Z\u200e", DAY, "2024-05-01T00:00:00Z"),
        ("2024-05-01T23:30:00-05:00", DAY, "2024-05-02T04:30:00Z"),  # the day as it is written
    ],
)
def test_a_moment_in_every_form_that_has_one_reading(text: str, day: str, instant: str) -> None:
    fields = "dob: Text, a: {from: Text, type: date}, b: {from: Text, type: datetime}, o: {object: {t: {from: Text, type: datetime}}}"
    row = mapped(a_mapping(fields), Text=text)
    assert (row["dob"], row["a"], row["b"]) == (day, day, instant)
    assert row["o"] == f'{{"t":{{"$time":"{instant}"}}}}'
    assert row["problems"] is None


@pytest.mark.parametrize(
    "text", ["05/01/2024", "1.5.2024", "2024", "2024-05", "20241301", "1714557600", "2024-05-01T25:00", "2024-05-01Z"]
)
def test_other_text_is_no_moment_and_the_forms_are_named(text: str) -> None:
    row = mapped(a_mapping("dob: Text, a: {from: Text, type: datetime}"), Text=text)
    assert not row["dob__ok"]
    assert not row["a__ok"]
    assert "2024-05-31" in row["problems"]
    assert "%m/%d/%Y" in row["problems"]
    assert "3000" not in row["problems"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ('dob: {from: Text, transform: {date: "%m/%d/%Y"}}', "05/01/1990", "1990-05-01"),
        ('dob: {from: Text, transform: {date: "%d.%m.%Y"}}', " 1.5.1990 ", "1990-05-01"),
        ('a: {from: Text, transform: {date: "%d %B %Y"}}', "1 May 1990", "1990-05-01"),
        ('a: {from: Text, type: datetime, transform: {date: "%m/%d/%Y %I:%M %p"}}', "05/01/1990 03:30 PM", "1990-05-01T15:30:00Z"),
        ('a: {from: Text, transform: {date: "%m/%d/%Y"}}', "13/01/1990", None),
        ('a: {from: Text, transform: {date: "%m/%d/%Y"}}', "1990-05-01", None),
    ],
)  # fmt: skip
def test_dates_in_a_form_of_their_own(field: str, text: str, value: str | None) -> None:
    row, name = mapped(a_mapping(field), Text=text), field.partition(":")[0]
    assert (row[name] if row[f"{name}__ok"] else None) == value


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("date", "needs the form"),
        ('{date: "%m/%d/%y"}', "two centuries"),
        ('{date: "%d.%m."}', "year, month and day"),
        ('{date: "%d/%m/%Y %H"}', "add %M"),
        ('{date: "%d/%m/%Y %I:%M"}', "%I with %p"),
        ('{date: "%D"}', "holds %D"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(step: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        a_mapping(f"a: {{from: Text, transform: {step}}}")


def test_a_form_stands_beside_text_alone() -> None:
    with pytest.raises(ConfigurationError, match="`date` reads a date from text"):
        a_mapping('a: {from: When, type: date, transform: {date: "%d/%m/%Y"}}')


@pytest.mark.parametrize(
    "cell", ["2024-05-01T10:00:00", "2024-05-01 10:00:00", "2024-05-01T10:00:00.000", "2024-05-01T10:00"]
)
def test_cells_of_caspios_dates_follow_the_same_grammar(cell: str) -> None:
    page = f'[{{"PK_ID": 1, "When": "{cell}"}}, {{"PK_ID": 2, "When": "{cell}Z"}}]'.encode()
    frame = source_frame([page], [CaspioField("When", "DATE/TIME")], "PK_ID")
    assert frame["When"].to_list() == [datetime(2024, 5, 1, 10), None]
    assert frame["uncastable"].to_list() == [None, ["When"]]


def test_whole_numbers_travel_without_a_point_wherever_they_stand() -> None:
    fields = "a: Number, o: {object: {n: Number, t: Text, i: {object: {n: Number}}, c: {constant: 3.0}}}, l: {array: [{object: {n: Number}}]}"
    assert sent(a_mapping(fields), Number=2008.0, Text='x,"n":5.0,').partition('"a"')[2] == (
        ':2008,"o":{"n":2008,"t":"x,\\"n\\":5.0,","i":{"n":2008},"c":3},"l":[{"n":2008}]}'
    )
    assert '"a":2.5,"o":{"n":2.5,' in sent(a_mapping(fields), Number=2.5)


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 1e20])
def test_numbers_that_may_have_lost_digits_are_held(number: float) -> None:
    for field in ("a: Number", "a: {from: Number, type: integer}", "o: {object: {n: Number}}"):
        row = mapped(a_mapping(field), Number=number)
        assert not row[f"{field[0]}__ok"], field
    assert mapped(a_mapping("a: Number"), Number=2.0**53 - 1)["a__ok"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e20, "1" + "0" * 20),
        (2008.0, "2008"),
        (-0.0, "0"),
        (1e-7, "0.0000001"),
        (2.0**53, "9007199254740992"),
        (0.1, "0.1"),
    ],
)
def test_numbers_as_text_have_no_exponent(number: float, text: str) -> None:
    assert pl.select(number_text(pl.lit(number))).item() == text


@pytest.mark.parametrize(
    ("number", "decimals", "value"),
    [(4.125, 2, 4.13), (-4.125, 2, -4.13), (1.005, 2, 1.01), (2.675, 2, 2.68), (0.5, 0, 1.0), (2.5, 0, 3.0), (4.124, 2, 4.12), (1.15, 1, 1.2), (0.29, 2, 0.29), (1e300, 2, 1e300)],
)  # fmt: skip
def test_halves_go_away_from_zero(number: float, decimals: int, value: float) -> None:
    frame = pl.DataFrame({"n": [number, None]}, schema={"n": pl.Float64})
    assert frame.select(rounded(pl.col("n"), decimals)).to_series().to_list() == [value, None]


@pytest.mark.parametrize("written", ["00123", "-007", "00.5"])
def test_a_constant_with_a_leading_zero_is_asked_about(written: str) -> None:
    with pytest.raises(ConfigurationError, match=f"people.yaml:4: '{written}' begins with a zero"):
        a_mapping(f"a: {{constant: {written}}}")
    assert mapped(a_mapping(f'a: {{constant: "{written}"}}'))["a"] == written
    assert mapped(a_mapping("a: {constant: 0}, b: {constant: 0.5}"))["b"] == 0.5


@pytest.mark.parametrize(
    ("identity", "cells", "key"),
    [
        ("external_id: Number", {"Number": 17850.0}, "17850"),
        ("external_id: Number", {"Number": 17850.5}, None),
        ("external_id: Number", {"Number": 2.0**53}, None),
        ("'user_alias': {name: Number, label: crm}", {"Number": 7.0}, "7"),
        ("phone: Number, region: GB", {"Number": 2071838750.0}, "+442071838750"),
        ("external_id: Id", {"Id": f"C-1{MARK}"}, "C-1"),
        ("external_id: Id", {"Id": f"\ufeff {MARK}"}, None),
        ("external_id: Id", {"Id": f"C{JOINER}1"}, f"C{JOINER}1"),
    ],
)
def test_keys(identity: str, cells: dict[str, Any], key: str | None) -> None:
    row = mapped(a_mapping("a: Text", identity=identity), **cells)
    assert (row["key"] if row["key__ok"] else None) == key
    assert (row["problems"] is None) is (key is not None)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("email: Text", f"\u200eAda@Example.com{MARK}", "ada@example.com"),
        ("country: Text", f"Norway{MARK}", "NO"),
        ("language: Text", f"{MARK}English", "en"),
        ("gender: Text", f"female{MARK}", "F"),
        ("time_zone: Text", f"Europe/London{MARK}", "Europe/London"),
        ("first_name: Text", f"{MARK}Ann\ufeff", "Ann"),
        ("first_name: Text", f"{MARK}\u2060", None),
        ("a: Text", f"{MARK}\u2060 ", None),
        ("a: {from: Text, type: integer}", f"7{MARK}", 7),
        ("a: {from: Text, type: number}", "\ufeff7.5", 7.5),
        ("a: {from: Text, type: boolean}", f"yes{MARK}", True),
        ("a: {from: Text, map: {Gold: 1st}}", f"gold{MARK}", "1st"),
        (f'a: {{from: Text, map: {{"Gold{MARK}": 1st}}}}', "gold", "1st"),
        ("a: {from: Text, transform: trim}", f" Ann {MARK}", "Ann"),
        ("first_name: Text", PERSIAN, PERSIAN),
    ],
)
def test_blanks_that_nobody_sees_are_no_part_of_a_value(field: str, text: str, value: Any) -> None:
    row = mapped(a_mapping(field), Text=text)
    name = field.partition(":")[0]
    assert (row[name], row.get(f"{name}__ok", True)) == (value, True)


def test_a_consent_word_is_read_without_what_nobody_sees() -> None:
    consent = "consent: {email_subscribe: {from: Text, map: {yes: subscribed, no: unsubscribed}}}\n"
    mapping = a_mapping("a: Number", more=consent)
    words = (f"no{MARK}", "\ufeffNO ", f"{MARK}")
    assert [mapped(mapping, Text=word)["email_subscribe"] for word in words] == ["unsubscribed", "unsubscribed", None]
    assert mapped(a_mapping("w: Words"), Words=["a", f"a{MARK}", MARK])["w"] == ["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("john's office", "John's Office"),
        ("JOHN\u2019S OFFICE", "John\u2019s Office"),
        ("5th avenue", "5th Avenue"),
        ("12B baker street", "12B Baker Street"),
        ("o'brien", "O'Brien"),
        ("d'artagnan", "D'Artagnan"),
        ("jean-luc o'neill-smith", "Jean-Luc O'Neill-Smith"),
        ("rock'n'roll they're we'll", "Rock'n'Roll They're We'll"),
        ("white heart", "White Heart"),
    ],
)
def test_title_case(text: str, value: str) -> None:
    assert mapped(a_mapping("a: {from: Text, transform: title}"), Text=text)["a"] == value
    assert mapped(a_mapping("w: {from: Words, transform: title}"), Words=[text, "x"])["w"] == [value, "X"]


@pytest.mark.parametrize(("word", "code"), [("woman", "F"), ("Man", "M"), ("w", "F"), ("prefer not to say", "P")])
def test_gender_words(word: str, code: str) -> None:
    assert mapped(a_mapping("gender: Text"), Text=word)["gender"] == code


@pytest.mark.parametrize(
    ("field", "cells", "value"),
    [
        ('dob: {from: When, empty: ["1900-01-01"]}', {"When": datetime(1900, 1, 1)}, None),
        ('dob: {from: When, empty: ["1900-01-01"]}', {"When": datetime(1990, 1, 1)}, "1990-01-01"),
        ('dob: {from: Text, empty: "1900-01-01"}', {"Text": "1900-01-01T00:00:00Z"}, None),
        ('a: {from: Text, empty: ["n/a", "-"]}', {"Text": f" N/A{MARK}"}, None),
        ("a: {from: Number, empty: 0}", {"Number": 0.0}, None),
        ("a: {from: Number, empty: [0, -1]}", {"Number": 1.0}, 1.0),
        ('w: {from: Words, empty: ["none"]}', {"Words": ["None", "b"]}, ["b"]),
        ('phone: {from: Phone, empty: ["n/a"], transform: {phone: GB}}', {"Phone": "n/a"}, None),
    ],
)
def test_what_stands_for_nothing_is_nothing(field: str, cells: dict[str, Any], value: Any) -> None:
    row = mapped(a_mapping(field), **cells)
    assert row[field.partition(":")[0]] == value
    assert row["problems"] is None


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("a: {from: When, empty: [never]}", "names days"),
        ("a: {from: Number, empty: [n/a]}", "names numbers"),
        ("a: {constant: 1, empty: [x]}", "need `from`"),
    ],
)
def test_what_no_cell_can_be_is_refused(field: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        a_mapping(field)


GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"


@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp", "rcs", "line"])
def test_subscription_groups_of_every_channel(channel: str) -> None:
    groups = f"consent: {{subscription_groups: [{{id: {GROUP}, channel: {channel}, from: Text}}]}}\n"
    mapping = a_mapping("a: Number", more=groups)
    assert mapping.columns[-1].channel == channel


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fields: {o: {object: {n: {from: Number, on_bad: skip}}}}", "move it up"),
        ("fields: {a: Text}\nconsent: {email_subscribe: {from: Text, on_bad: skip}}", "unknown key"),
        ("fields: {a: {from: Text, on_bad: drop}}", "hold"),
    ],
)
def test_only_whole_attributes_may_be_left_out(text: str, said: str) -> None:
    head = "kind: profiles\nsource: {table: People}\nidentity: {external_id: Id}\n"
    with pytest.raises(ConfigurationError, match=said):
        profiles(head + text)


def test_items_are_written_whole_and_leave_nothing_out() -> None:
    text = (
        "kind: catalog\nsource: {table: P}\ncatalog: {name: p}\nitem_id: Id\nfields: {a: {from: Text, on_bad: skip}}\n"
    )
    with pytest.raises(ConfigurationError, match="written whole"):
        profiles(text, Path("p.yaml"))


def test_what_is_left_out_is_nothing_and_is_told() -> None:
    row = mapped(a_mapping("a: {from: Text, type: integer, on_bad: skip}, o: {object: {n: Number}, on_bad: skip}"), Text="x", Number=2.0**53)  # fmt: skip
    assert (row["a"], row["o"], row["a__ok"], row["o__ok"]) == (None, None, False, False)
    assert row["problems"].count(", so that it is left out") == 2
