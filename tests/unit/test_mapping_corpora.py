import json
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import phonenumbers
import polars as pl
import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.mapping import lookups
from caspio_sync.mapping.lookups import PhoneLookup
from caspio_sync.schemas import CaspioField
from tests.definitions import profiles

DATA = Path(__file__).parents[1] / "data"
HEAD = "kind: profiles\nsource: {table: T}\nidentity: {external_id: Id}\n"


def corpus(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def apply(field: str, **columns: list[str]) -> pl.DataFrame:
    fields = [CaspioField(name, "TEXT") for name in ("Id", *columns)]
    mapping = ProfileMapping(profiles(f"{HEAD}fields: {{{field}}}\n", Path("x.yaml")), fields, ATTRIBUTE_VALUES)
    height = len(next(iter(columns.values())))
    uncastable = pl.Series([None] * height, dtype=pl.List(pl.String))
    frame = pl.DataFrame({"source_pk": range(height), "Id": [str(n) for n in range(height)]} | columns)
    return mapping.apply(frame.with_columns(uncastable=uncastable), today=date(2026, 1, 1))


# Sound by the RFC, and not taken by Braze: a host without a dot, one-letter top level, signs beyond its list, 254 bytes.
NOT_TAKEN = {"test@io", "test@iana.a", "!#$%&`*+/=?^`{|}~@iana.org"}


def test_every_wrong_address_of_the_collection_is_refused() -> None:
    wrong = [address for address, category in corpus("email-validity/cases.json") if category == "ERR"]
    assert len(wrong) > 40
    assert not apply("email: Mail", Mail=wrong).get_column("email__ok").any()


def test_sound_addresses_of_the_collection_are_taken() -> None:
    sound = [
        address
        for address, category in corpus("email-validity/cases.json")
        if category != "ERR" and address not in NOT_TAKEN and len(address) < 255
    ]
    frame = apply("email: Mail", Mail=[address for address in sound if not address.startswith("a@a.b.c")])
    assert frame.filter(~pl.col("email__ok")).get_column("email").to_list() == []


@pytest.mark.parametrize("form", ["international", "national", "rfc3966"])
def test_valid_numbers_reach_e164_from_every_form(form: str) -> None:
    examples = [row for row in corpus("phone-numbers/examples.json") if row["valid"] == "yes"]
    frame = apply(
        "phone: {from: Phone, transform: {phone: {from: Region}}}",
        Phone=[row[form] for row in examples],
        Region=[row["region"] for row in examples],
    )
    assert frame.get_column("phone").to_list() == [row["e164"] for row in examples]
    assert frame.get_column("phone__ok").all()


def test_invalid_numbers_are_not_ok() -> None:
    examples = [row for row in corpus("phone-numbers/examples.json") if row["valid"] == "no"]
    frame = apply(
        "phone: {from: Phone, transform: {phone: {from: Region}}}",
        Phone=[row["national"] for row in examples],
        Region=[row["region"] for row in examples],
    )
    assert not frame.get_column("phone__ok").any()


@pytest.mark.parametrize(
    "attribute", ["first_name", "email", "phone", "country", "language", "gender", "dob", "time_zone", "note"]
)
def test_naughty_strings_never_break_the_mapping_nor_show_in_problems(attribute: str) -> None:
    strings = corpus("naughty-strings/strings.json")
    frame = apply(f"{attribute}: Text", Text=strings)
    assert frame.height == len(strings)
    for original, problem in zip(strings, frame.get_column("problems").to_list(), strict=True):
        if problem is not None and any(character.isalpha() and character not in "xX" for character in original):
            assert original not in problem


def test_naughty_strings_survive_inside_an_object() -> None:
    strings = [text for text in corpus("naughty-strings/strings.json") if text.strip() and text.isprintable()]
    frame = apply("o: {object: {a: Text, b: Other, c: Text}}", Text=strings, Other=[""] * len(strings))
    assert [json.loads(text) for text in frame.get_column("o")] == [{"a": text, "c": text} for text in strings]


@pytest.mark.parametrize("text", ["é", "e\u0301", "ﬁ", "Å", "한글", "👩‍👩‍👧", "İ", "ß", "ﷺ", "\u202eabc", "a\u200bb"])
def test_text_is_not_normalised(text: str) -> None:
    assert apply("note: Text", Text=[text]).get_column("note").to_list() == [text]


@pytest.mark.parametrize("worth_a_pattern", [1, 20])  # each by its pattern; the rare ones by the parser
def test_the_numbering_plan_and_the_parser_agree_on_examples_and_their_neighbours(
    monkeypatch: pytest.MonkeyPatch, worth_a_pattern: int
) -> None:
    monkeypatch.setattr(lookups, "_WORTH_A_PATTERN", worth_a_pattern)
    shipped = files("caspio_sync.sandbox").joinpath("data", "phone-numbers", "example_numbers.csv").read_bytes()
    examples = pl.read_csv(shipped, infer_schema=False)
    written = [text for form in ("e164", "international", "rfc3966") for text in examples[form] if text]
    neighbours = [
        f"{text[:-place]}{(int(text[-place]) + 3) % 10}{text[len(text) - place + 1 :]}"
        for text in examples["e164"].drop_nulls()
        if len(text) > 9
        for place in (1, 4, 7)
    ]
    numbers = pl.Series([*written, *neighbours])
    nowhere = pl.Series([None], dtype=pl.String).new_from_index(0, len(numbers))
    assert PhoneLookup()(numbers, nowhere).to_list() == [_parsed(number) for number in numbers]


def _parsed(number: str) -> str | None:
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(parsed)
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if valid else None
