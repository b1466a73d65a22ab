"""How far an interrupted sweep came without a hole, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, tzinfo=UTC)
BEGAN = START - timedelta(seconds=3)

# number, low, high, state
Batches = list[tuple[int, int, int, str]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


def sweep(
    ledger: Ledger,
    *batches: tuple[int, int, int, str],
    run: str = "r1",
    after: int | None = None,
    state: str | None = "failed",
) -> None:
    """A run that reads everything, with these batches."""
    ledger.start_run(run=run, sync="customers", kind="profiles", mode="sweep")
    ledger.begin_sweep("customers", run=run, digest="d", began_at=BEGAN, after_pk=after)
    for number, low, high, ended in batches:
        ledger.open_batch(run=run, number=number, low_pk=low, high_pk=high, rows=1)
        if ended != "open":
            ledger.close_batch(run, number, state=ended)
    if state is not None:
        ledger.finish_run(run, state=state, exit_code=4)


@pytest.mark.parametrize(
    ("batches", "after", "high", "doubtful"),
    [
        ([(1, 1, 9, "recorded"), (2, 12, 20, "recorded"), (3, 21, 30, "open")], None, 20, False),
        ([(1, 1, 9, "recorded"), (2, 10, 20, "open"), (3, 21, 30, "recorded")], None, 9, False),
        ([(1, 1, 9, "recorded"), (3, 21, 30, "recorded")], None, 9, False),
        ([(2, 10, 20, "recorded")], 9, 9, False),
        ([], 9, 9, False),
        ([(1, 10, 20, "recorded"), (2, 3, 4, "recorded"), (3, 30, 40, "recorded")], 9, 20, False),
        ([(1, 10, 20, "recorded"), (2, 3, 15, "open")], 9, 20, True),
        ([(1, 3, 4, "recorded")], 9, 9, False),
        ([(1, -5, -1, "recorded"), (2, 0, 0, "blocked")], None, -1, False),
    ],
    ids=["the end", "a hole", "a missing number", "no first", "none yet", "below", "left below", "only below", "minus"],
)
def test_the_prefix_ends_at_the_first_hole(
    ledger: Ledger, batches: Batches, after: int | None, high: int, *, doubtful: bool
) -> None:
    sweep(ledger, *batches, after=after)
    found = ledger.interrupted_sweep("customers", digest="d")
    assert found is not None
    assert (found.run, found.state, found.began_at) == ("r1", "failed", BEGAN)
    assert (found.high_pk, found.doubtful) == (high, doubtful)


@pytest.mark.parametrize("batches", [[], [(1, 1, 9, "open")], [(1, 1, 9, "blocked"), (2, 10, 20, "recorded")]])
def test_without_a_first_batch_there_is_nothing_to_go_on_from(ledger: Ledger, batches: Batches) -> None:
    sweep(ledger, *batches)
    assert ledger.interrupted_sweep("customers", digest="d") is None


def test_only_a_dead_or_failed_run_of_the_same_sync_and_digest_counts(ledger: Ledger) -> None:
    sweep(ledger, (1, 1, 9, "recorded"), state=None)
    assert ledger.interrupted_sweep("customers", digest="d") is None  # it is under way
    ledger.end_killed_runs("customers", but="r2")
    found = ledger.interrupted_sweep("customers", digest="d")
    assert found is not None
    assert found.state == "killed"
    assert ledger.interrupted_sweep("customers", digest="other") is None
    assert ledger.interrupted_sweep("products", digest="d") is None
    ledger.finish_run("r1", state="done", exit_code=0)
    assert ledger.interrupted_sweep("customers", digest="d") is None


def test_a_later_sweep_takes_the_place_of_the_former(ledger: Ledger) -> None:
    sweep(ledger, (1, 1, 9, "recorded"))
    sweep(ledger, (1, 10, 20, "recorded"), run="r2", after=9)
    found = ledger.interrupted_sweep("customers", digest="d")
    assert found is not None
    assert (found.run, found.high_pk) == ("r2", 20)
    ledger.forget_sweep("customers")
    assert ledger.interrupted_sweep("customers", digest="d") is None


def test_the_last_sign_of_life_is_the_last_batch_opened_or_closed(ledger: Ledger, clock: VirtualClock) -> None:
    sweep(ledger, (1, 1, 9, "recorded"), state=None)
    clock.advance(60)
    ledger.open_batch(run="r1", number=2, low_pk=10, high_pk=20, rows=1)
    clock.advance(3600)
    ledger.end_killed_runs("customers", but="r2")
    found = ledger.interrupted_sweep("customers", digest="d")
    assert found is not None
    assert found.alive_at == START + timedelta(seconds=60)
