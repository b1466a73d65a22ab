"""Many more events than any ten minutes of the last week had: the batch is blocked, whatever its size."""

import polars as pl
import pytest

from caspio_sync.errors import GateBlockedError
from tests.flows.happenings import LOOSE, TICKETS_SYNC, arrived, ticket, tickets
from tests.flows.world import World

A_MINUTE, AN_HOUR = 60.0, 3600.0
USUAL = 30


def more(world: World, count: int) -> list[int]:
    """So many tickets more, of as many people, opened now."""
    now = f"{world.clock.now():%Y-%m-%dT%H:%M:%S}"
    return world.caspio.insert_rows("Tickets", [ticket(number, OpenedAt=now) for number in range(1, count + 1)])


@pytest.fixture
def shop(world: World) -> World:
    """Thirty tickets a day ago, and a run a minute ago and some before."""
    tickets(world, [ticket(number) for number in range(1, USUAL + 1)])
    assert world.run("tickets").sent == USUAL
    world.clock.advance(25 * AN_HOUR)
    for _ in range(4):
        world.run("tickets")
        world.clock.advance(A_MINUTE)
    return world


def is_blocked(world: World) -> bool:
    ended = world.ended("tickets")
    if ended.code == 0:
        return False
    assert ended.code == GateBlockedError.exit_code
    assert "count_jump" in str(ended.report.error)
    return True


@pytest.mark.parametrize(("count", "blocked"), [(250, False), (10 * USUAL, False), (10 * USUAL + 1, True)])
def test_more_than_ten_times_the_usual_is_blocked(shop: World, count: int, blocked: bool) -> None:
    more(shop, count)
    assert (shop.plan("tickets").blocked is not None) is blocked
    assert is_blocked(shop) is blocked
    assert len(arrived(shop)) == USUAL + (0 if blocked else count)


def test_the_window_moves_over_small_batches(shop: World) -> None:
    for expected in (False, False, True):
        more(shop, 5 * USUAL)
        assert is_blocked(shop) is expected
        shop.clock.advance(A_MINUTE)
    assert len(arrived(shop)) == 11 * USUAL


def test_spread_over_time_as_many_are_no_jump(shop: World) -> None:
    for _ in range(3):
        more(shop, 5 * USUAL)
        assert not is_blocked(shop)
        shop.clock.advance(11 * A_MINUTE)


def test_fewer_than_a_batch_that_says_something_are_no_jump(world: World) -> None:
    tickets(world, [ticket(1)])
    world.run("tickets")
    world.clock.advance(25 * AN_HOUR)
    more(world, 150)
    assert not is_blocked(world)


def test_before_a_day_is_known_nothing_is_a_jump(world: World) -> None:
    tickets(world, [ticket(number) for number in range(1, USUAL + 1)])
    world.run("tickets")
    world.clock.advance(2 * AN_HOUR)
    more(world, 20 * USUAL)
    assert not is_blocked(world)


def test_what_came_while_nobody_looked_is_no_jump(shop: World) -> None:
    shop.clock.advance(AN_HOUR)
    more(shop, 20 * USUAL)
    assert not is_blocked(shop)


def test_it_stays_blocked_until_a_person_sends_it_and_that_is_not_usual_then(shop: World) -> None:
    pks = more(shop, 20 * USUAL)
    for _ in range(5):
        assert is_blocked(shop)
        shop.clock.advance(A_MINUTE)
    shop.run("tickets", pk_range=(pks[0], pks[-1]))
    assert len(arrived(shop)) == 21 * USUAL
    with shop.ledger() as ledger:
        assert ledger.event_counts("tickets")["rows"].sum() == USUAL
    assert not is_blocked(shop)
    shop.clock.advance(A_MINUTE)
    more(shop, 20 * USUAL)
    assert is_blocked(shop)


def test_the_file_says_how_much_is_a_jump(shop: World) -> None:
    shop.sync(TICKETS_SYNC + LOOSE.replace("{", "{max_jump: 30, "), "tickets")
    more(shop, 20 * USUAL)
    assert not is_blocked(shop)


def test_counts_are_kept_for_a_week(shop: World) -> None:
    shop.clock.advance(8 * 24 * AN_HOUR)
    more(shop, 5)
    shop.run("tickets")
    with shop.ledger() as ledger:
        counted = ledger.event_counts("tickets")
    assert counted["rows"].to_list() == [5]
    assert counted.schema["minute"] == pl.Int64
