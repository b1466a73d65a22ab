from pathlib import Path

import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.schemas import CaspioField
from tests.definitions import profiles

TYPES = {
    "Id": "STRING", "Text": "STRING", "Long": "TEXT", "Mail": "STRING", "Phone": "STRING", "Country": "STRING",
    "Whole": "INTEGER", "Number": "NUMBER", "Price": "CURRENCY", "Flag": "YES/NO", "When": "DATE/TIME",
    "Stamp": "TIMESTAMP", "Words": "LIST-STRING", "Secret": "PASSWORD",
}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]


def a_mapping(fields: str, *, more: str = "", identity: str = "external_id: Id") -> ProfileMapping:
    text = f"kind: profiles\nsource: {{table: People}}\nidentity: {{{identity}}}\nfields: {{{fields}}}\n{more}"
    return ProfileMapping(profiles(text), FIELDS, ATTRIBUTE_VALUES)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("a: Txt", "has no field 'Txt' (did you mean 'Text'?)"),
        ("a: text", "did you mean 'Text'?"),
        ("a: Secret", "does not let anybody read"),
        ("a: {from: Flag, type: date}", "cannot become date"),
        ("a: {from: Words, type: string}", "cannot become text"),
        ("a: {from: Text, type: array}", "cannot become array"),
        ("a: {from: Text, type: object}", "is built with `object:`"),
        ("email: Whole", "cannot become email"),
        ("a: {from: When, transform: lower}", "do not apply"),
        ("a: {from: Whole, transform: lower}", "add `type: string`"),
        ("a: {from: Text, transform: {round: 2}}", "`round` works on numbers"),
        ("a: {array: [Text, Words]}", "cannot become text"),
        ("a: {array: [{array: Words}]}", "an array inside an array"),
        ("phone: {from: Phone, transform: {phone: {from: Whole}}}", "needs a text field"),
        ("a: {from: Flag, map: {yes: on, true: off}}", "names one value twice"),
    ],
)
def test_what_does_not_fit_the_table_is_refused_with_line_and_remedy(field: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        a_mapping(field)
    assert str(caught.value).startswith("people.yaml:4: ")
    assert words in str(caught.value)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        a_mapping("a: Txt, b: Flagg, c: Text", identity="external_id: When")
    assert len(str(caught.value).splitlines()) == 3


def test_a_stamp_in_a_windows_zone_asks_for_its_iana_name() -> None:
    fields = [CaspioField("Id", "STRING"), CaspioField("Stamp", "TIMESTAMP", time_zone="GMT Standard Time")]
    head = "kind: profiles\nsource: {table: T}\nidentity: {external_id: Id}\n"
    with pytest.raises(ConfigurationError, match="say which IANA zone"):
        ProfileMapping(profiles(f"{head}fields: {{a: Stamp}}\n", Path("x.yaml")), fields, ATTRIBUTE_VALUES)
    named = f"{head}fields: {{a: {{from: Stamp, time_zone: Europe/London}}}}\n"
    assert ProfileMapping(profiles(named, Path("x.yaml")), fields, ATTRIBUTE_VALUES).source_fields == ("Id", "Stamp")


def test_the_digest_is_that_of_what_the_mapping_does() -> None:
    digest = a_mapping("a: Text, b: Whole").digest
    assert a_mapping("a: {from: Text}, b: Whole", more="batch_size: 2000\n").digest == digest
    assert a_mapping("a: Text, b: {from: Whole, type: number}").digest != digest
    assert a_mapping("a: Text, b: Whole", identity="external_id: Mail").digest != digest
    assert a_mapping("b: Whole, a: Text").digest != digest
    assert len(digest) == 32
