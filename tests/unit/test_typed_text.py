# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""What people type, and what it is read as: countries, numbers, names, invisible characters."""

import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.numbers import number_text, rounded
from caspio_sync.mapping.places import country_code, language_code, two_countries
from tests.definitions import profiles
from tests.unit.typed_cells import JOINER, MARK, a_mapping, mapped, sent

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # with a joiner inside


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


@given(
    numbers=st.lists(st.none() | st.floats() | st.floats(-1e6, 1e6).map(lambda each: round(each, 3)), max_size=30),
    decimals=st.integers(0, 22),
)
def test_few_numbers_are_rounded_as_many_are(numbers: list[float | None], decimals: int) -> None:
    few = pl.DataFrame({"n": numbers}, schema={"n": pl.Float64})
    many = pl.concat([few, pl.DataFrame({"n": [0.5] * 1_001})])
    made, expected = (each.select(rounded(pl.col("n"), decimals)).to_series() for each in (few, many))
    assert [struct.pack("d", each) if each is not None else None for each in made] == [
        struct.pack("d", each) if each is not None else None for each in expected.head(len(numbers))
    ]
