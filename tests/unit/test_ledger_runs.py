"""Runs, batches, cursors, versions and leases, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


def test_a_run_is_written_from_start_to_end(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.start_run(run="r1", sync="customers", kind="profiles", mode="full", flow_run_id="f")
    clock.advance(90)
    ledger.finish_run("r1", state="done", exit_code=0, report={"sent": 3})
    run = ledger.last_run("customers")
    assert run is not None
    assert (run.started_at, run.ended_at) == (START, START + timedelta(seconds=90))
    assert (run.state, run.exit_code, run.report, run.flow_run_id) == ("done", 0, {"sent": 3}, "f")


def test_starting_a_run_again_keeps_its_start(ledger: Ledger, clock: VirtualClock) -> None:
    first = ledger.start_run(run="r1", sync="customers", kind="profiles", mode="full")
    clock.advance(5)
    assert ledger.start_run(run="r1", sync="customers", kind="profiles", mode="full") == first


def test_runs_come_newest_first_and_by_sync(ledger: Ledger, clock: VirtualClock) -> None:
    for run, sync in (("a", "customers"), ("b", "products"), ("c", "customers")):
        ledger.start_run(run=run, sync=sync, kind="profiles", mode="full")
        clock.advance(1)
    assert [run.id for run in ledger.runs("customers")] == ["c", "a"]
    assert [run.id for run in ledger.runs(limit=2)] == ["c", "b"]
    assert ledger.last_run("nothing") is None


def test_a_closed_batch_is_not_opened_again(ledger: Ledger) -> None:
    ledger.open_batch(run="r1", number=1, low_pk=1, high_pk=9, rows=9)
    ledger.close_batch("r1", 1, state="recorded", counts={"sent": 9})
    again = ledger.open_batch(run="r1", number=1, low_pk=1, high_pk=20, rows=20)
    assert (again.state, again.high_pk, again.counts) == ("recorded", 9, {"sent": 9})
    assert ledger.batches("r1") == [again]


def test_the_cursor_moves_and_keeps_the_former_sweep(ledger: Ledger) -> None:
    assert ledger.cursor("customers") is None
    ledger.move_cursor("customers", watermark=START, where_digest="d", full_sweep_at=START)
    ledger.move_cursor("customers", watermark=START + timedelta(hours=1), where_digest="d")
    cursor = ledger.cursor("customers")
    assert cursor is not None
    assert (cursor.watermark, cursor.full_sweep_at) == (START + timedelta(hours=1), START)


def test_versions_count_per_sync_and_are_found_again(ledger: Ledger) -> None:
    assert [ledger.mapping_version("a", digest, [digest]) for digest in ("x", "y", "x")] == [1, 2, 1]
    assert ledger.mapping_version("b", "y", ["q", "p"]) == 1
    assert ledger.mapping_fields("a") == {1: ("x",), 2: ("y",)}
    assert ledger.mapping_fields("b") == {1: ("q", "p")}
    assert [ledger.suite_version("a", digest) for digest in ("x", "y", "x")] == [1, 2, 1]


def test_shards_that_begin_at_once_agree_on_versions(ledger: Ledger, ledger_url: str) -> None:
    """Two of each digest, all at the same moment."""
    meet = Barrier(4)

    def shard(number: int) -> list[int]:
        with Ledger.open(ledger_url) as own:
            found = []
            for turn in range(20):
                meet.wait(30)
                found.append(own.suite_version(f"sync {turn}", str(number % 2)))
            return found

    with ThreadPoolExecutor(4) as threads:
        first, second, third, fourth = threads.map(shard, range(4))
    assert (first, second) == (third, fourth)
    assert all({one, two} == {1, 2} for one, two in zip(first, second, strict=True))


def test_a_second_holder_is_refused_and_told_of_the_first(ledger: Ledger) -> None:
    ledger.acquire_lease("customers", "run 1 on web1")
    with pytest.raises(LeaseHeldError, match="run 1 on web1") as caught:
        ledger.acquire_lease("customers", "run 2")
    assert caught.value.holder == "run 1 on web1"


def test_ranges_that_do_not_overlap_are_leased_side_by_side(ledger: Ledger) -> None:
    ledger.acquire_lease("customers", "a", low_pk=1, high_pk=100)
    ledger.acquire_lease("customers", "b", low_pk=101, high_pk=200)
    with pytest.raises(LeaseHeldError, match="by a"):
        ledger.acquire_lease("customers", "c", low_pk=100, high_pk=100)
    assert [lease.holder for lease in ledger.leases("customers")] == ["a", "b"]


def test_a_renewed_lease_outlives_its_minute(ledger: Ledger, clock: VirtualClock) -> None:
    lease = ledger.acquire_lease("customers", "a")
    clock.advance(50)
    lease = ledger.renew_lease(lease)
    clock.advance(50)
    with pytest.raises(LeaseHeldError):
        ledger.acquire_lease("customers", "b")


def test_a_lapsed_lease_is_taken_over_and_its_holder_told(ledger: Ledger, clock: VirtualClock) -> None:
    dead = ledger.acquire_lease("customers", "a")
    clock.advance(61)
    ledger.acquire_lease("customers", "b")
    with pytest.raises(LeaseHeldError, match="by b"):
        ledger.renew_lease(dead)
    ledger.release_lease(dead)
    assert [lease.holder for lease in ledger.leases("customers")] == ["b"]


def test_a_released_lease_is_free(ledger: Ledger) -> None:
    ledger.release_lease(ledger.acquire_lease("customers", "a"))
    ledger.acquire_lease("customers", "b")
