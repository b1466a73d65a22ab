"""A ledger that goes away while outcomes are written down: nothing is sent meanwhile, and nothing a second time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from caspio_sync.engine.run import LEDGER_PATIENCE
from caspio_sync.errors import CaspioSyncError, LedgerFullError, TransientError
from caspio_sync.ledger.store import Ledger
from tests.flows.happenings import ticket, tickets
from tests.flows.world import World

AWAY: dict[str, Callable[[], CaspioSyncError]] = {
    "a database that is restarted": lambda: TransientError("the database server is stopping. Try again"),
    "a disk that is full": lambda: LedgerFullError("the disk is full. Free space"),
}


def put_away(
    patch: pytest.MonkeyPatch, world: World, seconds: float, error: Callable[[], CaspioSyncError]
) -> list[int]:
    """Nothing is recorded as sent for so long, by the world's clock; requests that Braze had at each try."""
    until, tries, record_sent = world.clock.monotonic() + seconds, list[int](), Ledger.record_sent

    def record(ledger: Ledger, *args: Any) -> None:
        if world.clock.monotonic() < until:
            tries.append(world.braze.requests)
            raise error()
        record_sent(ledger, *args)

    patch.setattr(Ledger, "record_sent", record)
    return tries


@pytest.mark.parametrize("error", AWAY.values(), ids=AWAY)
def test_it_is_waited_for_and_nothing_is_sent_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Callable[[], CaspioSyncError]
) -> None:
    world.people(3000)
    world.sync()
    tries = put_away(monkeypatch, world, 120.0, error)
    ended = world.ended()
    assert ended.code == 0, ended.message
    assert ended.report is not None
    assert (ended.report.sent, len(world.sent())) == (3000, 3000)
    assert len(tries) > 10
    assert len(set(tries[1:])) == 1, "requests left while nothing could be written down"
    assert any("seconds for the ledger" in note for note in ended.report.notes)
    world.forget()
    assert world.run(full=True).sent == 0


def test_after_five_minutes_the_run_fails_and_is_not_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(100)
    world.sync()
    put_away(monkeypatch, world, LEDGER_PATIENCE + 1000, AWAY["a database that is restarted"])
    ended = world.ended()
    assert ended.code == 4
    assert "is sent again by the next run" in ended.message
    assert len(world.sent()) == 100  # once: no step was repeated


def test_events_that_could_not_be_written_down_are_not_said_to_be_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets(world, [ticket(number) for number in range(1, 11)])
    put_away(monkeypatch, world, LEDGER_PATIENCE + 1000, AWAY["a database that is restarted"])
    ended = world.ended("tickets")
    assert ended.code == 4
    assert "is unknown to the next run" in ended.message


def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    def fill(ledger: Ledger) -> None:
        with ledger.writing("fill the disk") as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            connection.exec_driver_sql("CREATE TABLE filling AS SELECT zeroblob(10000000)")

    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        with pytest.raises(LedgerFullError, match="disk is full"):
            fill(ledger)
        with ledger.reading("look") as connection:
            assert "filling" not in sa.inspect(connection).get_table_names()
