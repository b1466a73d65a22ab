"""What a person's counts in an export say of an event whose answer was lost; what is cut or odd says nothing."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.event_arrivals import Name, arrived
from caspio_sync.destinations.braze.requests import TRACK_EVENTS
from caspio_sync.engine.destination import LOST
from caspio_sync.engine.writes import Write
from caspio_sync.schemas import KEY, SOURCE_PK

FIRST, LATER = "2026-06-01T10:00:00.000Z", "2026-06-01T11:00:00.000Z"
NOW = datetime(2026, 6, 2, tzinfo=UTC)


def settled(shown: dict[str, Any], *, acknowledged: tuple[str, ...] = ()) -> bool | str:
    """Of one event that was lost at LATER, beside some that were acknowledged."""
    times = [LATER, *acknowledged]
    rows = pl.DataFrame({SOURCE_PK: range(1, len(times) + 1), LOST: [True] + [False] * len(acknowledged)})
    texts = pl.Series([f'{{"name":"ticket","time":"{time}"}}' for time in times])
    write = Write(rows.with_columns(pl.lit("ann").alias(KEY)), TRACK_EVENTS, lambda _: texts)
    user = {"custom_events": [{"name": "ticket", **shown}]}
    return arrived([write], {"ann": [user]}, frozenset({Name("custom_events", "ticket")}), NOW)[1]


@pytest.mark.parametrize(
    ("shown", "acknowledged", "there"),
    [
        ({"first": LATER, "last": LATER, "count": 1}, (), True),
        ({"first": FIRST, "last": LATER, "count": 2}, (FIRST,), True),
        ({"first": FIRST, "last": FIRST, "count": 1}, (FIRST,), False),
        ({"first": FIRST, "last": LATER, "count": 2}, (FIRST, LATER), False),  # another one of the same moment
    ],
)
def test_a_count_that_is_plain_settles(shown: dict[str, Any], acknowledged: tuple[str, ...], there: bool) -> None:
    assert settled(shown, acknowledged=acknowledged) is there


@pytest.mark.parametrize(
    ("shown", "acknowledged"),
    [
        ({"first": LATER, "last": LATER}, ()),  # cut
        ({"first": LATER, "last": LATER, "count": None}, ()),
        ({"first": LATER, "last": LATER, "count": 0}, ()),  # what is shown was sent
        ({"first": LATER, "last": LATER, "count": "many"}, ()),
        ({"first": LATER, "last": LATER, "count": True}, ()),
        ({"first": FIRST, "last": LATER, "count": 1}, (FIRST,)),  # its time is there: the count is late
        ({"first": FIRST, "count": 2}, (FIRST,)),
        ({"first": FIRST, "last": FIRST, "count": 3}, (FIRST,)),
    ],
)
def test_a_count_that_is_not_settles_nothing(shown: dict[str, Any], acknowledged: tuple[str, ...]) -> None:
    assert isinstance(settled(shown, acknowledged=acknowledged), str)
