"""A pause: nothing is sent by any run on the ledger, opt-outs and erasures apart; afterwards nothing is missing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from caspio_sync.engine import pausing
from caspio_sync.errors import TransientError
from caspio_sync.ledger.store import Ledger
from tests.flows.catalog_shop import Shop
from tests.flows.deal_orders import buyers, order, orders
from tests.flows.happenings import ticket, tickets
from tests.flows.world import World

PEOPLE = 3000


def pause(world: World, sync: str | None = "customers", **options: Any) -> None:
    with world.ledger() as ledger:
        ledger.pause(sync, **options)


def resume(world: World, sync: str | None = "customers") -> None:
    with world.ledger() as ledger:
        assert ledger.resume(sync)


def last(world: World, sync: str = "customers") -> Any:
    with world.ledger() as ledger:
        return ledger.last_run(sync)


@pytest.fixture
def known(world: World) -> World:
    """A hundred people whom Braze has, of whom some have changed since."""
    world.people(100)
    world.caspio.create_table("ErasureRequests", [{"Name": "CustomerNo", "Type": "STRING"}])
    world.sync(world.SYNC + "erasure: {table: ErasureRequests, key: CustomerNo}\n")
    world.run()
    world.forget()
    world.clock.advance(3600)
    world.caspio.update_rows("Customers", {"FirstName": "New"}, "PK_ID <= 30")
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID IN (5, 50)")
    world.caspio.update_rows("Customers", {"Newsletter": "double"}, "PK_ID = 51")
    world.caspio.insert_rows("Customers", [world.person(200, Newsletter="no"), world.person(201)])
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": "c7"}])
    return world


@pytest.mark.parametrize("of_all", [False, True])
def test_opt_outs_and_erasures_alone_leave_and_the_rest_when_it_is_over(known: World, of_all: bool) -> None:
    before = known.watermark()
    pause(known, None if of_all else "customers", reason="a wrong mapping")
    ended = known.ended()
    assert ended.code == 3
    assert (
        "paused since 2026-03-02 13:00 UTC (a wrong mapping): opt-outs and erasures left, and nothing else"
        in ended.message
    )
    assert f"`caspio-sync resume {'--all' if of_all else 'customers'}`" in ended.message
    sent = {each["external_id"]: each["email_subscribe"] for each in known.sent()}
    assert sent == {"c5": "unsubscribed", "c50": "unsubscribed", "c200": "unsubscribed"}
    assert all("first_name" not in each for each in known.sent())
    assert "c7" not in known.profiles()
    assert (known.watermark(), last(known).state, last(known).exit_code) == (before, "interrupted", 3)
    with known.ledger() as ledger:
        assert ledger.open_incidents("customers") == []
    known.forget()
    assert known.ended().code == 3
    assert {each["external_id"]: each["email_subscribe"] for each in known.sent()} == sent  # the row is not done with
    resume(known, None if of_all else "customers")
    assert known.ended().code == 0
    profiles = known.profiles()
    assert {profiles[f"c{number}"]["first_name"] for number in range(1, 31) if number != 7} == {"New"}
    assert profiles["c5"]["email_subscribe"] == profiles["c200"]["email_subscribe"] == "unsubscribed"
    assert profiles["c51"]["email_subscribe"] == "opted_in"
    assert {"c200", "c201"} <= profiles.keys()


def test_a_pause_of_everything_asks_nobody_anything(known: World) -> None:
    pause(known, everything=True)
    calls, requests, run = known.caspio.calls, known.braze.requests, last(known).id
    ended = known.ended()
    assert (ended.code, "nothing is read or sent, opt-outs and erasures neither" in ended.message) == (3, True)
    assert (known.caspio.calls, known.braze.requests, last(known).id) == (calls, requests, run)
    assert known.plan().to_send > 0  # who looks is not hindered
    resume(known)
    assert known.ended().code == 0


def test_other_syncs_go_on(known: World) -> None:
    pause(known, "quiet")
    assert known.ended().code == 0


@pytest.mark.parametrize(
    "options", [{"row_keys": ("c1",)}, {"full": True}, {"resend": True}, {"limit": 3}, {"baseline": True}]
)
def test_whatever_a_run_was_asked_for_it_heeds_the_pause(known: World, options: dict[str, Any]) -> None:
    verdicts = known.verdicts()
    pause(known)
    assert known.ended(**options).code == 3
    assert all(each["email_subscribe"] == "unsubscribed" for each in known.sent())
    assert "first_name" not in str(known.sent())
    assert known.verdicts().get("sent", 0) <= verdicts["sent"]
    resume(known)
    assert known.ended().code == 0
    assert known.profiles()["c1"]["first_name"] == "New"


def test_a_catalog_an_event_and_a_deal_wait_as_well(world: World) -> None:
    Shop(world).open(5)
    tickets(world, [ticket(number) for number in range(1, 6)])
    buyers(world, 3)
    orders(world, [order(number) for number in range(1, 4)])
    pause(world, None)
    for name in ("products", "tickets", "deals"):
        assert world.ended(name).code == 3
    assert (world.sent(), [*world.braze.catalogs], world.activecampaign.deals.deals) == ([], [], {})
    assert [world.verdicts(name) for name in ("products", "tickets", "deals")] == [{}, {}, {}]
    resume(world, None)
    for name in ("products", "tickets", "deals"):
        ended = world.ended(name)
        assert ended.code == 0, ended.message
        assert ended.report is not None
        assert ended.report.sent == {"products": 5, "tickets": 5, "deals": 3}[name]


# A run that is under way.


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Braze takes a moment for each request, of one connection; pauses are looked for twenty times a second."""
    monkeypatch.setenv("BRAZE_CONNECTIONS", "1")
    monkeypatch.setattr(pausing, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(pausing, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(pausing, "ENDING_SECONDS", 0.5)
    return world


def at_request(world: World, number: int, do: Callable[[], None]) -> list[int]:
    """Have Braze be slow, and something done when a request arrives; the requests that came after that."""
    app, came, later = world.braze.app, 0, list[int]()

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        nonlocal came
        if scope["type"] == "http":
            came += 1
            if came == number:
                await asyncio.to_thread(do)
            elif came > number:
                later.append(came)
            await asyncio.sleep(0.05)
        await app(scope, receive, send)

    setattr(world.braze, "app", slowly)  # noqa: B010 - it is a method
    return later


def test_a_run_under_way_sends_nothing_more_and_the_next_one_goes_on(slow: World) -> None:
    slow.people(PEOPLE)
    slow.sync(slow.SYNC + "batch_size: 1000\n")
    app = slow.braze.app
    later = at_request(slow, 15, lambda: pause(slow))
    ended = slow.ended()
    assert (ended.code, "the run ended where it stood" in ended.message) == (3, True), ended.message
    assert len(later) <= 8, "of 40 requests, no more than those that left before the pause was seen"
    assert (last(slow).state, last(slow).exit_code) == ("interrupted", 3)
    sent = len(slow.sent())
    assert slow.verdicts().get("sent", 0) == sent > 0  # what has left is known of
    with slow.ledger() as ledger:
        assert ledger.leases("customers") == []
        assert ledger.open_incidents("customers") == []
    setattr(slow.braze, "app", app)  # noqa: B010 - as above
    slow.forget()
    slow.clock.advance(600)
    assert slow.ended().code == 3
    assert slow.sent() == []
    resume(slow)
    done = slow.ended()
    assert done.code == 0
    assert (len(slow.sent()), len(slow.profiles())) == (PEOPLE - sent, PEOPLE)


def test_events_under_way_are_neither_lost_nor_doubled_nor_in_doubt(slow: World) -> None:
    tickets(slow, [ticket(number) for number in range(1, PEOPLE + 1)])
    app = slow.braze.app
    later = at_request(slow, 15, lambda: pause(slow, "tickets"))
    ended = slow.ended("tickets")
    assert ended.code == 3, ended.message
    assert len(later) <= 8
    setattr(slow.braze, "app", app)  # noqa: B010 - as above
    with slow.ledger() as ledger:
        assert ledger.unknown_events("tickets").height == 0
    resume(slow, "tickets")
    done = slow.ended("tickets")
    assert done.code == 0, done.message
    subjects = [each["properties"]["subject"] for each in slow.sent()]
    assert len(subjects) == len(set(subjects)) == PEOPLE


def test_a_pause_that_is_lifted_at_once_ends_nothing(slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "PATIENCE_SECONDS", 60.0)
    slow.people(PEOPLE)
    slow.sync()

    stood: list[int] = []

    def looked(original: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def paused(ledger: Ledger, name: str) -> Any:
            nonlocal calls
            found = original(ledger, name)
            if found is not None:
                calls += 1
                if calls == 12:
                    ledger.resume(name)
                stood.append(slow.braze.requests)
            return found

        return paused

    monkeypatch.setattr(Ledger, "paused", looked(Ledger.paused))
    at_request(slow, 10, lambda: pause(slow))
    ended = slow.ended()
    assert ended.code == 0, ended.message
    assert len(stood) >= 12
    assert stood[-1] == stood[5] < 40, "requests left while it was paused"
    assert len(slow.profiles()) == PEOPLE


def test_while_the_ledger_is_away_a_pause_stays(slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.people(PEOPLE)
    slow.sync()
    original, seen = Ledger.paused, list[int]()

    def paused(ledger: Ledger, name: str) -> Any:
        found = original(ledger, name)
        if found is not None:
            seen.append(slow.braze.requests)
            if len(seen) > 1:
                raise TransientError("the database server is stopping. Try again")
        return found

    monkeypatch.setattr(Ledger, "paused", paused)
    at_request(slow, 10, lambda: pause(slow))
    ended = slow.ended()
    assert (ended.code, "the run ended where it stood" in ended.message) == (3, True), ended.message
    assert seen[-1] == seen[3] < 40


def test_a_whole_read_that_broke_off_is_gone_on_from_after_the_pause(slow: World) -> None:
    slow.people(PEOPLE)
    slow.sync(slow.SYNC + "batch_size: 1000\n")
    app = slow.braze.app
    at_request(slow, 25, lambda: pause(slow))
    assert slow.ended().code == 3
    setattr(slow.braze, "app", app)  # noqa: B010 - as above
    slow.clock.advance(600)
    assert slow.ended().code == 3
    slow.clock.advance(600)
    resume(slow)
    report = slow.run()
    assert any("goes on after PK_ID 1,000" in note for note in report.notes), report.notes
    assert len(slow.profiles()) == PEOPLE
