"""What a column should hold, from what is known of a person."""

from datetime import UTC, datetime

import polars as pl
import pytest

from caspio_sync.kinds.engagement import wanted

COUNTS = pl.DataFrame({"n": [0, 1, 2, 4, 5, 9, 10, 19, 20, 49, 50, 99, 100, 10**6, None]})


def test_counts_fall_into_buckets() -> None:
    assert COUNTS.select(wanted.bucket(pl.col("n"), as_text=True)).to_series().to_list() == [
        "0", "1", "2-4", "2-4", "5-9", "5-9", "10-19", "10-19", "20-49", "20-49", "50-99", "50-99", "100+", "100+", None
    ]  # fmt: skip
    assert COUNTS.select(wanted.bucket(pl.col("n"), as_text=False)).to_series().to_list() == [
        0, 1, 2, 2, 5, 5, 10, 10, 20, 20, 50, 50, 100, 100, None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "exact", "shown"),
    [
        ("UTC", False, "2026-07-01T00:00:00"),
        ("Europe/London", False, "2026-07-02T00:00:00"),
        ("Europe/London", True, "2026-07-02T00:30:15"),
        ("America/Los_Angeles", True, "2026-07-01T16:30:15"),
    ],
)
def test_an_instant_is_written_as_the_accounts_wall_clock(zone: str, exact: bool, shown: str) -> None:
    frame = pl.DataFrame({"at": [datetime(2026, 7, 1, 23, 30, 15, 999_000, tzinfo=UTC)]})
    clock = frame.select(wanted.wall_clock(pl.col("at"), zone, exact=exact)).item()
    assert (clock.isoformat(), clock.tzinfo) == (shown, None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("Spring 🌷", "Spring"), ("🌷", None), ("  x  ", "x"), ("Zürich €", "Zürich €"), ("y" * 300, "y" * 255)],
)
def test_text_is_what_caspio_takes(given: str, kept: str | None) -> None:
    assert pl.DataFrame({"t": [given]}).select(wanted.text(pl.col("t"), 255)).item() == kept


def test_engaged_is_within_thirty_days() -> None:
    now = datetime(2026, 3, 31, tzinfo=UTC)
    frame = pl.DataFrame(
        {"last_engaged_at": [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC), None]}
    )
    assert frame.select(wanted.engaged_lately(pl.col("last_engaged_at"), pl.lit(now))).to_series().to_list() == [
        True,
        False,
        False,
    ]
