"""What is a difference between a value sent and a value exported, and what is only Braze's own spelling."""

from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.exported import agrees, exported_field, exported_values
from caspio_sync.schemas import MappedColumn

TEXT, NUMBER, WHOLE, FLAG, ITEMS = pl.String, pl.Float64, pl.Int64, pl.Boolean, pl.List(pl.String)


def held(column: MappedColumn, sent: Any, exported: Any) -> tuple[bool, bool]:
    field = exported_field(column)
    assert field is not None
    value = {column.name: exported} if field == "custom_attributes" else exported
    user = {} if exported is None else {field: value}
    wanted = pl.Series([sent], dtype=column.dtype)
    frame = agrees(column, wanted, exported_values([user], column))
    return frame.row(0)


@pytest.mark.parametrize(
    ("name", "dtype", "sent", "exported"),
    [
        ("first_name", TEXT, "Ada", "Ada"),
        ("email", TEXT, "a@example.com", "A@Example.com"),
        ("phone", TEXT, "+15005550100", "+1 (500) 555-0100"),
        ("phone", TEXT, "+15005550100", "5005550100"),
        ("country", TEXT, "AU", "Australia"),
        ("language", TEXT, "en", "en"),
        ("gender", TEXT, "F", "F"),
        ("time_zone", TEXT, "Europe/Vienna", "Europe/Vienna"),
        ("dob", TEXT, "1990-02-03", "1990-02-03"),
        ("email_subscribe", TEXT, "opted_in", "opted_in"),
        ("plan", TEXT, "gold", "gold"),
        ("plan", TEXT, "", None),
        ("plan", TEXT, None, None),
        ("since", TEXT, "2026-01-31", "2026-01-31T00:00:00.000Z"),
        ("since", TEXT, "2026-01-31T10:00:00Z", "2026-01-31T12:00:00.000+02:00"),
        ("since", TEXT, "2026-01-31T10:00:00Z", "2026-01-31 10:00:00.000 UTC"),
        ("spend", NUMBER, 5.0, 5),
        ("spend", NUMBER, 5.25, 5.25),
        ("visits", WHOLE, 5, 5.0),
        ("vip", FLAG, True, True),
        ("vip", FLAG, False, False),
        ("tags", ITEMS, ["a", "b"], ["b", "a"]),
        ("tags", ITEMS, ["a", "a", "b"], ["a", "b"]),
        ("tags", ITEMS, None, None),
    ],
)
def test_braze_s_own_spelling_is_no_difference(name: str, dtype: Any, sent: Any, exported: Any) -> None:
    assert held(MappedColumn(name, dtype), sent, exported) == (True, False)


@pytest.mark.parametrize(
    ("name", "dtype", "sent", "exported"),
    [
        ("first_name", TEXT, "Ada", "ada"),
        ("first_name", TEXT, "2026-01-31", "2026-01-31T00:00:00Z"),
        ("first_name", TEXT, "Ada", None),
        ("first_name", TEXT, None, "Ada"),
        ("email", TEXT, "a@example.com", "b@example.com"),
        ("phone", TEXT, "+15005550100", "+15005550101"),
        ("country", TEXT, "AU", "AT"),
        ("email_subscribe", TEXT, "unsubscribed", "subscribed"),
        ("plan", TEXT, "gold", "Gold"),
        ("since", TEXT, "2026-01-31", "2026-02-01T00:00:00.000Z"),
        ("spend", NUMBER, 5.0, 5.01),
        ("vip", FLAG, True, False),
        ("tags", ITEMS, ["a", "b"], ["a"]),
        ("tags", ITEMS, ["a"], None),
    ],
)
def test_another_value_is_a_difference(name: str, dtype: Any, sent: Any, exported: Any) -> None:
    assert held(MappedColumn(name, dtype), sent, exported) == (False, False)


@pytest.mark.parametrize(
    ("dtype", "sent", "exported", "equal"),
    [
        (TEXT, "12.50", 12.5, True),
        (TEXT, "12.50", 13, False),
        (TEXT, "true", True, True),
        (TEXT, "t", False, False),
        (TEXT, "word", True, False),
        (NUMBER, 12.5, "12.5", True),
        (FLAG, True, "1", True),
    ],
)
def test_a_forced_type_is_told_and_its_value_still_compared(dtype: Any, sent: Any, exported: Any, equal: bool) -> None:
    assert held(MappedColumn("forced", dtype), sent, exported) == (equal, True)


@pytest.mark.parametrize(
    ("sent", "exported", "equal"),
    [
        ('{"b":1,"a":"x"}', {"a": "x", "b": 1.0}, True),
        ('{"at":{"$time":"2026-01-31"}}', {"at": {"$time": "2026-01-31"}}, True),
        ('{"at":{"$time":"2026-01-31T10:00:00Z"}}', {"at": "2026-01-31T10:00:00.000Z"}, True),
        ('[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}], True),
        ('[{"a":1},{"a":2}]', [{"a": 2}, {"a": 1}], False),
        ('{"a":{"b":"x"}}', {"a": {"b": "y"}}, False),
        ('{"a":1}', {"a": 1, "b": 2}, False),
        ('{"a":1}', None, False),
        (None, {"a": 1}, False),
        (None, None, True),
    ],
)
def test_objects_are_compared_by_what_they_hold(sent: Any, exported: Any, equal: bool) -> None:
    assert held(MappedColumn("visit", TEXT, encoding="json"), sent, exported)[0] is equal


def test_a_location_is_read_from_the_coordinates() -> None:
    column = MappedColumn("current_location", TEXT, encoding="json")
    assert held(column, '{"longitude":16.5,"latitude":48.0}', [16.5, 48]) == (True, False)
    assert held(column, '{"longitude":16.5,"latitude":48.0}', [48, 16.5]) == (False, False)


@pytest.mark.parametrize("name", ["image_url", "date_of_first_session", "email_open_tracking_disabled"])
def test_what_no_export_gives_has_no_field(name: str) -> None:
    assert exported_field(MappedColumn(name, TEXT)) is None
