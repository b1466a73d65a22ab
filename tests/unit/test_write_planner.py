"""The write planner: every wanted change exactly once, no call over the length, never more calls than one a row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.query import encoded
from caspio_sync.caspio.write_planner import count_calls, plan_calls, within_budget
from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import SOURCE_PK

COLUMNS = ("Consent", "Flag", "Bucket", "Day", "Exact")
MONDAY = datetime(2026, 3, 2, tzinfo=UTC).replace(tzinfo=None)  # a wall clock
SCHEMA: dict[str, Any] = {
    SOURCE_PK: pl.Int64,
    "Consent": pl.String,
    "Flag": pl.Boolean,
    "Bucket": pl.String,
    "Day": pl.Datetime("ms"),
    "Exact": pl.Int64,
}
row = st.tuples(
    st.sampled_from([None, "yes", "no", 'O\'Brien "x"']),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "0", "1", "2-4", "5-9"]),
    st.sampled_from([None, MONDAY, MONDAY + timedelta(days=1)]),
    st.one_of(st.none(), st.integers(0, 2**40)),
)
tables = st.dictionaries(st.integers(1, 10**9), row, max_size=60)


def frame(rows: dict[int, tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame([(pk, *values) for pk, values in rows.items()], schema=SCHEMA, orient="row")


def as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@settings(max_examples=300, deadline=None)
@given(tables, st.integers(10, 60))
def test_every_change_is_written_once_within_the_length_by_no_more_calls_than_rows(
    rows: dict[int, tuple[Any, ...]], room: int
) -> None:
    calls = plan_calls(frame(rows), COLUMNS, room=room)
    wanted = {
        (pk, name): as_json(value)
        for pk, values in rows.items()
        for name, value in zip(COLUMNS, values, strict=True)
        if value is not None
    }
    written = [
        ((pk, name), value) for call in calls for pk in call.pks for name, value in orjson.loads(call.body).items()
    ]
    assert len(written) == len(wanted)
    assert dict(written) == wanted
    assert all(len(encoded(",".join(map(str, call.pks)))) <= room for call in calls)
    assert len(calls) <= sum(any(value is not None for value in values) for values in rows.values())
    assert [call.columns[0] for call in calls] == sorted((call.columns[0] for call in calls), key=COLUMNS.index)


def test_columns_of_few_values_travel_apart() -> None:
    rows = {pk: ("yes" if pk % 2 else "no", bool(pk % 3), str(pk % 4), None, None) for pk in range(1, 1001)}
    # 2 + 2 + 4 sets of values of at most 500 rows, in stretches of about 400 of them; together it would be 24 and more.
    assert len(plan_calls(frame(rows), COLUMNS, room=1900)) <= 12


def test_what_is_everybodys_own_takes_the_rest_along() -> None:
    rows = {pk: ("yes" if pk % 2 else "no", bool(pk % 3), None, None, pk * 7) for pk in range(1, 101)}
    calls = plan_calls(frame(rows), COLUMNS, room=1900)
    assert len(calls) == 100
    assert {call.columns for call in calls} == {("Consent", "Flag", "Exact")}


def test_a_budget_takes_the_most_important_columns_first() -> None:
    rows = {pk: ("no" if pk <= 3 else None, None, None, None, pk if pk > 3 else None) for pk in range(1, 21)}
    now, later = within_budget(plan_calls(frame(rows), COLUMNS, room=1900), 5)
    assert now[0].columns == ("Consent",)
    assert now[0].pks == (1, 2, 3)
    assert len(now) == 5
    assert len(later) == count_calls(frame(rows), COLUMNS, room=1900) - 5


def test_a_key_that_fits_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="shorten"):
        plan_calls(frame({123456: ("yes", None, None, None, None)}), COLUMNS, room=5)
