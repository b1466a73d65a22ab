"""How late changes reach Braze, by the field that dates them; a miss is told and fails no run."""

from datetime import timedelta
from typing import Any

from caspio_sync.sandbox.faults import Fault
from tests.flows.world import World


def minutely(world: World, text: str = "") -> None:
    world.sync(text or world.SYNC + "freshness: 5m\n")


def change(world: World, number: int = 1, **values: Any) -> None:
    world.caspio.update_rows("Customers", values or {"FirstName": "Changed"}, f"CustomerNo='c{number}'")


def test_the_newest_row_sent_dates_what_braze_holds(world: World) -> None:
    world.people(3)
    minutely(world)
    world.clock.advance(60)
    changed = world.clock.now()
    change(world)
    world.clock.advance(30)
    freshness = world.run().freshness
    assert freshness.newest_delivered_at == changed
    assert freshness.oldest_undelivered_at is None
    assert freshness.target_seconds == 300
    assert not freshness.missed


def test_a_first_read_of_old_rows_misses_nothing(world: World) -> None:
    world.people(3)
    minutely(world)
    world.clock.advance(86_400)
    report = world.run()
    assert report.sent == 3
    assert report.freshness.waited_seconds is None
    assert not report.freshness.missed


def test_a_change_that_waited_for_the_schedule_is_a_miss_and_the_next_run_is_none(world: World) -> None:
    world.people(3)
    minutely(world)
    world.run()
    world.clock.advance(60)
    change(world)
    world.clock.advance(900)
    ended = world.ended()
    freshness = ended.report.freshness
    assert ended.code == 0
    assert ended.report.state == "done"
    assert freshness.missed
    assert 900 <= freshness.waited_seconds < 910
    (note,) = [each for each in ended.report.notes if "freshness missed" in each]
    assert "had waited 15 min" in note
    assert "the target is 5 min" in note
    world.clock.advance(60)
    assert not world.run().freshness.missed


def test_nothing_changed_nothing_missed_however_seldom_it_runs(world: World) -> None:
    world.people(3)
    minutely(world)
    world.run()
    world.clock.advance(7200)
    freshness = world.run().freshness
    assert freshness.waited_seconds is None
    assert not freshness.missed


def test_what_a_failed_run_could_not_send_grows_old(world: World) -> None:
    world.people(3)
    minutely(world)
    world.run()
    read_up_to = world.watermark()
    world.clock.advance(60)
    changed = world.clock.now()
    change(world)
    world.clock.advance(400)
    world.break_braze(Fault(kind="status", path="/users/track", status=500))
    ended = world.ended()
    freshness = ended.report.freshness
    assert ended.code == 4
    assert freshness.missed
    assert freshness.read_up_to == read_up_to
    assert freshness.oldest_undelivered_at == changed
    assert freshness.age_seconds >= 460


def test_a_blocked_batch_waits_as_a_whole(world: World) -> None:
    world.people(40)
    minutely(world)
    world.run()
    world.clock.advance(60)
    changed = world.clock.now()
    for number in range(1, 31):
        change(world, number, Email="bad")
    world.clock.advance(400)
    ended = world.ended()
    assert ended.code == 3
    assert ended.report.freshness.oldest_undelivered_at == changed
    assert ended.report.freshness.missed


def test_a_row_that_waits_for_a_person_is_told_and_is_no_lateness(world: World) -> None:
    world.people(3)
    minutely(world)
    world.run()
    world.clock.advance(30)
    changed = world.clock.now()
    change(world, Email="bad")
    world.clock.advance(30)
    freshness = world.run().freshness
    assert freshness.oldest_undelivered_at == changed
    assert not freshness.missed
    world.clock.advance(86_400)
    later = world.run().freshness
    assert later.oldest_undelivered_at is not None
    assert timedelta(0) <= later.oldest_undelivered_at - changed <= timedelta(minutes=1)
    assert not later.missed


def test_without_a_cursor_the_last_complete_read_is_all_that_is_known(world: World) -> None:
    world.people(3)
    minutely(world, world.SYNC.replace("  cursor: ChangedAt\n", "") + "freshness: 5m\n")
    world.run()
    world.clock.advance(60)
    assert not world.run().freshness.missed
    world.clock.advance(900)
    change(world)
    report = world.run()
    assert report.freshness.newest_delivered_at is None
    assert report.freshness.missed
    assert any("waited at the most 15 min" in note for note in report.notes)


def test_a_run_of_chosen_rows_judges_nothing(world: World) -> None:
    world.people(3)
    minutely(world)
    world.run()
    world.clock.advance(900)
    report = world.run(limit=1)
    assert report.freshness.age_seconds >= 900
    assert not report.freshness.missed


def test_without_a_target_ages_are_kept_and_nothing_is_missed(world: World) -> None:
    world.people(3)
    world.sync()
    world.run()
    change(world)
    world.clock.advance(86_400)
    report = world.run()
    assert report.freshness.waited_seconds >= 86_400
    assert not report.freshness.missed
    with world.ledger() as ledger:
        assert ledger.last_run("customers").report["freshness"]["target_seconds"] is None


def test_items_of_a_catalog_are_dated_too(world: World) -> None:
    world.people(2)
    world.sync(
        "kind: catalog\nsource: {table: Customers, cursor: ChangedAt}\ncatalog: {name: people}\nitem_id: CustomerNo\n"
        "fields: {title: FirstName}\nfreshness: 1m\n",
        "people",
    )
    world.run("people")
    change(world)
    world.clock.advance(90)
    freshness = world.run("people").freshness
    assert freshness.missed
    assert freshness.waited_seconds >= 90


def test_the_span_is_checked(world: World) -> None:
    world.people(1)
    minutely(world, world.SYNC + "freshness: 5 minutes\n")
    ended = world.ended()
    assert ended.code == 2
    assert "freshness" in ended.message
    assert "such as 5m" in ended.message
