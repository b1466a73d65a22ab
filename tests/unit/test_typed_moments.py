# ruff: noqa: DTZ001 - cells of Caspio are wall clocks without a zone
"""Moments and dates in the forms people write them: what has one reading is read, everything else is held."""

from datetime import datetime

import pytest

from caspio_sync.caspio.cells import source_frame
from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import CaspioField
from tests.unit.typed_cells import MARK, a_mapping, mapped

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
