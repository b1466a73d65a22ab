"""Machines whose clocks differ by minutes, on one PostgreSQL ledger: what they decide together goes by its clock."""

from datetime import datetime, timedelta

import pytest

from caspio_sync.clock import SystemClock
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.ledger.store import Ledger


class Skewed(SystemClock):
    """A machine's clock that is wrong."""

    def __init__(self, minutes: float) -> None:
        self._skew = timedelta(minutes=minutes)

    def now(self) -> datetime:
        return super().now() + self._skew


@pytest.mark.parametrize(("holder", "taker"), [(0, 5), (-5, 0), (-5, 5), (5, -5)])
def test_a_living_lease_is_not_taken_over_by_a_faster_clock(postgresql_ledger: str, holder: int, taker: int) -> None:
    with (
        Ledger.open(postgresql_ledger, clock=Skewed(holder)) as mine,
        Ledger.open(postgresql_ledger, clock=Skewed(taker)) as other,
    ):
        lease = mine.acquire_lease("customers", "a")
        with pytest.raises(LeaseHeldError, match="by a"):
            other.acquire_lease("customers", "b")
        mine.renew_lease(lease)
        assert [each.holder for each in other.leases("customers")] == ["a"]
        assert abs(mine.now() - other.now()) < timedelta(seconds=30)


@pytest.mark.parametrize(("first", "second"), [(0, 6), (6, 0)])
def test_a_window_of_calls_is_the_same_on_both(postgresql_ledger: str, first: int, second: int) -> None:
    """Of 100 calls in 300 s, the other machine must find those that were counted a moment ago."""
    with (
        Ledger.open(postgresql_ledger, clock=Skewed(first)) as mine,
        Ledger.open(postgresql_ledger, clock=Skewed(second)) as other,
    ):
        assert mine.take_window_calls("caspio", 100, seconds=300, limit=100)[0] == 100
        assert other.take_window_calls("caspio", 1, seconds=300, limit=100)[0] == 0


def test_runs_of_both_stand_in_the_order_in_which_they_began(postgresql_ledger: str) -> None:
    with (
        Ledger.open(postgresql_ledger, clock=Skewed(5)) as fast,
        Ledger.open(postgresql_ledger, clock=Skewed(0)) as right,
    ):
        fast.start_run(run="first", sync="customers", kind="profiles", mode="sweep")
        right.start_run(run="second", sync="customers", kind="profiles", mode="sweep")
        assert [run.id for run in right.runs("customers")] == ["second", "first"]
