"""Tags in a sync file: what is refused, and what becomes of rows."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.activecampaign.values import CONTACT_VALUES
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import CaspioField

FIELDS = [
    CaspioField("Email", "STRING"),
    CaspioField("Spend", "NUMBER"),
    CaspioField("Level", "STRING"),
    CaspioField("Words", "LIST-STRING"),
]


def sync(folder: Path, tags: str, destination: str = "activecampaign", more: str = "") -> ProfileSync:
    path = folder / "contacts.yaml"
    path.write_text(
        f"kind: profiles\ndestination: {destination}\nsource: {{table: People}}\nidentity: {{email: Email}}\n"
        f"tags:\n{tags}{more}"
    )
    loaded = load_sync(path)
    assert isinstance(loaded, ProfileSync)
    return loaded


def mapped(folder: Path, tags: str, frame: pl.DataFrame) -> pl.DataFrame:
    return ProfileMapping(sync(folder, tags), FIELDS, CONTACT_VALUES).apply(frame)


def rows(*given: dict[str, Any], uncastable: list[list[str] | None] | None = None) -> pl.DataFrame:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "Email": pl.String, "Spend": pl.Float64, "Level": pl.String}
    frame = pl.DataFrame(
        [{"source_pk": at, "Email": f"p{at}@example.com", **row} for at, row in enumerate(given)], schema=schema
    )
    return frame.with_columns(uncastable=pl.Series(uncastable or [None] * len(given), dtype=pl.List(pl.String)))


def test_a_tag_is_a_column_that_is_true_or_nothing(tmp_path: Path) -> None:
    frame = rows({"Spend": 5.0, "Level": " G"}, {"Spend": 50.0, "Level": "g "}, {"Spend": None, "Level": None})
    found = mapped(tmp_path, "  VIP: {when: 'Spend > 10'}\n  G: {when: \"Level = 'g'\"}\n", frame)
    assert found["tags.VIP"].to_list() == [None, True, None]
    assert found["tags.G"].to_list() == [None, True, None]  # a blank before the word is part of it, one behind is not
    assert found["problems"].null_count() == 3


def test_a_cell_that_cannot_be_read_is_a_problem_of_its_row(tmp_path: Path) -> None:
    found = mapped(tmp_path, "  VIP: {when: 'Spend > 10'}\n", rows({}, {"Spend": 50.0}, uncastable=[["Spend"], None]))
    assert found["tags.VIP__ok"].to_list() == [False, True]
    assert found["problems"].to_list() == ["tags.VIP: is no value of Caspio's type NUMBER", None]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("  VIP: {when: 'Spent > 10'}\n", "contacts.yaml:6: tags.VIP.when: 'People' has no field 'Spent'"),
        ("  VIP: {when: \"Words = 'x'\"}\n", "contacts.yaml:6: tags.VIP.when: 'Words' is a list"),
        ("  VIP: {when: \"Spend > '10'\"}\n", "contacts.yaml:6: tags.VIP.when: 'Spend' is compared with '10'"),
        ("  VIP: {when: \"Level < 'h'\"}\n", "contacts.yaml:6: tags.VIP.when: 'Level' is text"),
    ],
)
def test_a_condition_that_does_not_fit_the_table_is_named(tmp_path: Path, tags: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"contacts\.yaml") as error:
        ProfileMapping(sync(tmp_path, tags), FIELDS, CONTACT_VALUES)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("  VIP: {when: 'Spend > '}\n", "contacts.yaml:6"),
        ("  VIP: {when: 'DATEDIFF(day, Joined, GETDATE()) < 30'}\n", "a condition here compares fields with values"),
        ("  VIP: {when: 'Spend > 1; DROP TABLE People'}\n", "outside quotes"),
        ("  VIP: {}\n", "contacts.yaml:6"),
        ("  VIP: {when: 'Spend > 1'}\n  vip: {when: 'Spend > 2'}\n", "contacts.yaml:7: tags.vip: differs from 'VIP'"),
        ("  'A, B': {when: 'Spend > 1'}\n", "is no name of a tag"),
        ("  ' A': {when: 'Spend > 1'}\n", "is no name of a tag"),
        ("  from: Words\n", "contacts.yaml:6"),
        ("  VIP: {from: Words}\n", "words of a field are no single tag"),
    ],
)
def test_what_is_no_tag_is_refused_with_its_line(tmp_path: Path, tags: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        sync(tmp_path, tags)
    assert said in str(error.value)


def test_a_destination_without_tags_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"contacts\.yaml:5: tags: `tags` are not built for Braze"):
        sync(tmp_path, "  VIP: {when: 'Spend > 1'}\n", "braze", "fields: {spend: Spend}\n")


def test_no_attribute_is_called_like_a_tag(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'tags\.VIP' is a reserved name"):
        sync(tmp_path, "  VIP: {when: 'Spend > 1'}\n", more="fields: {tags.VIP: Spend}\n")


def test_what_a_condition_asks_for_the_sync_needs(tmp_path: Path) -> None:
    loaded = sync(tmp_path, "  VIP: {when: \"Spend > 1 OR Level = 'g'\"}\n")
    assert list(loaded.needed_fields()) == [
        ("Spend", "asked for by a condition (tags: VIP)"),
        ("Level", "asked for by a condition (tags: VIP)"),
    ]
    assert loaded.without(["tags.VIP"]).tags == {}
    assert list(loaded.claims().values()) == ["tags.VIP"]
