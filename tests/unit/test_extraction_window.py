from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.window import lower_bound
from caspio_sync.caspio.windows_zones import WINDOWS_ZONES, zone
from caspio_sync.errors import ConfigurationError

ZONES = ["UTC", "GMT Standard Time", "Pacific Standard Time", "Lord Howe Standard Time", "Morocco Standard Time",
         "Nepal Standard Time", "Chatham Islands Standard Time", "Pacific SA Standard Time", "Europe/Berlin"]  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_on_an_ordinary_day_the_bound_is_the_watermark_less_the_overlap() -> None:
    assert (
        lower_bound(at("2026-06-01T10:00:30"), at("2026-06-01T10:05:00"), "GMT Standard Time") == "2026-06-01T10:58:30"
    )


def test_in_autumn_the_bound_falls_back_with_the_clock() -> None:
    # London reads 01:50 at the watermark, and 01:00 again at 01:00 UTC.
    assert (
        lower_bound(at("2026-10-25T00:50:00"), at("2026-10-25T01:10:00"), "GMT Standard Time") == "2026-10-25T01:00:00"
    )


def test_before_the_clock_falls_back_the_bound_is_not_yet_lowered() -> None:
    assert (
        lower_bound(at("2026-10-25T00:50:00"), at("2026-10-25T00:59:59"), "GMT Standard Time") == "2026-10-25T01:48:00"
    )


def test_in_spring_nothing_is_asked_for_twice() -> None:
    assert (
        lower_bound(at("2026-03-29T00:59:00"), at("2026-03-29T01:10:00"), "GMT Standard Time") == "2026-03-29T00:57:00"
    )


@pytest.mark.parametrize("undeclared", [None, "", " "])
def test_a_field_without_a_zone_looks_back_by_the_zone_furthest_behind(undeclared: Any) -> None:
    assert lower_bound(at("2026-06-01T10:00:00"), at("2026-06-01T10:05:00"), undeclared) == "2026-05-31T21:58:00"


def test_a_watermark_ahead_of_the_clock_still_gives_a_bound() -> None:
    assert lower_bound(at("2026-06-01T11:00:00"), at("2026-06-01T10:00:00"), "UTC") == "2026-06-01T10:58:00"


def test_parts_of_a_second_round_down() -> None:
    assert (
        lower_bound(at("2026-06-01T10:00:00.9"), at("2026-06-01T10:05:00"), "UTC", overlap_seconds=0)
        == "2026-06-01T10:00:00"
    )


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2030-01-01")),
    st.integers(0, 3 * 24 * 60),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_no_moment_of_the_window_reads_less_than_the_bound(
    name: str, watermark: Any, minutes: int, moments: Any
) -> None:
    start = watermark.replace(tzinfo=UTC)
    now = start + timedelta(minutes=minutes)
    bound = datetime.fromisoformat(lower_bound(start, now, name))
    for share in [0, 1, *moments]:
        stamped = (start + (now - start) * share).astimezone(zone(name)).replace(tzinfo=None)
        assert stamped >= bound


@given(st.sampled_from(ZONES), st.integers(2020, 2029), st.integers(1, 12), st.integers(60, 45 * 24 * 60))
@settings(max_examples=30, deadline=None)
def test_the_bound_is_the_smallest_reading_of_the_window(name: str, year: int, month: int, minutes: int) -> None:
    start = datetime(year, month, 1, tzinfo=UTC)
    place = zone(name)
    readings = (
        datetime.fromtimestamp(start.timestamp() + 60 * minute, place).replace(tzinfo=None)
        for minute in range(minutes + 1)
    )
    bound = lower_bound(start, start + timedelta(minutes=minutes), name, overlap_seconds=0)
    assert bound == min(readings).isoformat(timespec="seconds")


@pytest.mark.parametrize("name", WINDOWS_ZONES)
def test_every_windows_id_leads_to_a_zone_that_exists(name: str) -> None:
    assert isinstance(zone(name), ZoneInfo)


@pytest.mark.parametrize("name", ["gmt standard time", " GMT Standard Time ", "Europe/London"])
def test_ids_are_found_in_any_case_and_iana_names_as_they_are(name: str) -> None:
    assert zone(name) == ZoneInfo("Europe/London")


@pytest.mark.parametrize("name", ["Atlantis Standard Time", "../etc/passwd", "America", "Europe/Londn"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"time zone '{name}'"):
        lower_bound(at("2026-06-01T10:00:00"), at("2026-06-01T10:05:00"), name)
