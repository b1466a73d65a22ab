"""Rows that webhooks announce are read again and go down the line; what is announced is believed in nothing else."""

from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import Shop
from tests.flows.hooked import Hooked
from tests.flows.killing import killed_after
from tests.flows.world import SYNC, World

AN_HOUR = 3600.0


@pytest.fixture
def hooked(world: World) -> Hooked:
    """Forty customers who were sent, and a webhook."""
    made = Hooked(world)
    world.people(40)
    world.sync()
    made.hook("Customers", "customers")
    world.clock.advance(AN_HOUR)
    assert world.run().sent == 40
    world.forget()
    world.clock.advance(AN_HOUR)
    return made


def sent_keys(world: World) -> list[str]:
    return sorted(each["external_id"] for each in world.sent())


def test_announced_rows_alone_are_read_and_what_changed_of_them_is_sent(hooked: Hooked) -> None:
    world, sheet = hooked.world, hooked.world.caspio.datasheet
    sheet.update("Customers", {"FirstName": "Ada"}, "PK_ID=3")
    sheet.insert("Customers", world.person(41))
    sheet.update("Customers", {"FirstName": "Bo"}, "PK_ID=39")
    world.caspio.update_rows("Customers", {"FirstName": "Import"}, "PK_ID=20")  # of which no webhook hears
    before = world.watermark()
    hooked.deliver()
    report = world.run(hints=True)
    assert (report.read, report.hints, report.new, report.changed, report.sent) == (3, 3, 1, 2, 3)
    assert sent_keys(world) == ["c3", "c39", "c41"]
    assert {each.get("first_name") for each in world.sent()} == {"Ada", "Bo", "Name41"}
    assert "email" not in next(each for each in world.sent() if each["external_id"] == "c3")
    assert world.watermark() == before
    assert hooked.waiting("customers") == 0
    again = world.run(hints=True)
    assert (again.read, again.requests) == (0, 0)
    world.forget()
    assert world.run().sent == 1  # what was never announced is the schedule's
    assert sent_keys(world) == ["c20"]


def test_many_hints_take_a_call_for_about_a_hundred_rows(hooked: Hooked) -> None:
    world = hooked.world
    world.caspio.datasheet.update("Customers", {"Notes": "x"}, "PK_ID>0")
    hooked.deliver()
    report = world.run(hints=True)
    assert (report.sent, report.hints) == (40, 40)
    assert report.caspio_calls == 3  # token, fields, rows


def test_messages_lost_doubled_and_shuffled_end_in_what_caspio_holds(world: World) -> None:
    hooked = Hooked(world)
    hooked.misbehave(webhook_loss=0.2, webhook_duplicates=0.2, webhook_disorder=True, seed=7)
    world.people(30)
    world.sync()
    hooked.hook("Customers", "customers")
    world.clock.advance(AN_HOUR)
    world.run()
    sheet = world.caspio.datasheet
    for turn in range(5):
        for number in range(1, 31):
            sheet.update("Customers", {"FirstName": f"t{turn}n{number}"}, f"PK_ID={number}")
        world.clock.advance(60)
        hooked.deliver()
        world.run(hints=True)
    world.clock.advance(AN_HOUR)
    world.run()
    held = {key: each["first_name"] for key, each in world.profiles().items()}
    assert held == {row["CustomerNo"]: row["FirstName"] for row in world.caspio.rows("Customers")}


def test_a_stale_payload_sends_what_is_there_now(hooked: Hooked) -> None:
    world, sheet = hooked.world, hooked.world.caspio.datasheet
    sheet.update("Customers", {"Newsletter": "yes", "FirstName": "Old"}, "PK_ID=5")
    sheet.update("Customers", {"Newsletter": "no", "FirstName": "New"}, "PK_ID=5")
    hooked.deliver()
    world.run(hints=True)
    profile = world.profiles()["c5"]
    assert (profile["first_name"], profile["email_subscribe"]) == ("New", "unsubscribed")
    assert all(each.get("first_name") != "Old" for each in world.sent())


def test_a_row_that_is_gone_is_told_and_its_profile_stays(hooked: Hooked) -> None:
    world = hooked.world
    world.caspio.datasheet.delete("Customers", "PK_ID=7")
    hooked.deliver()
    report = world.run(hints=True)
    assert report.read == 0
    assert any("1 announced rows are gone from Caspio" in each for each in report.notes)
    assert "c7" in world.profiles()
    assert world.sent() == []
    assert hooked.waiting("customers") == 0


def test_a_row_outside_of_the_condition_is_not_read(world: World) -> None:
    hooked = Hooked(world)
    world.people(5)
    world.sync(SYNC.replace("table: Customers", "table: Customers\n  where: Spend < 1"))
    hooked.hook("Customers", "customers")
    world.clock.advance(AN_HOUR)
    world.run()
    world.forget()
    world.caspio.datasheet.update("Customers", {"FirstName": "x"}, "PK_ID>0")
    hooked.deliver()
    world.run(hints=True)
    assert sent_keys(world) == ["c1", "c2", "c3"]


def test_what_fails_the_gate_is_set_aside_and_the_rest_leaves(hooked: Hooked) -> None:
    world, sheet = hooked.world, hooked.world.caspio.datasheet
    sheet.update("Customers", {"Email": "no address", "Newsletter": "no"}, "PK_ID=1")
    sheet.update("Customers", {"FirstName": "x"}, "PK_ID=2")
    hooked.deliver()
    report = world.run(hints=True)
    assert report.verdicts == {"quarantined": 1, "sent": 1}
    assert world.profiles()["c1"]["email_subscribe"] == "unsubscribed"  # the opt-out left all the same
    assert "c1" in world.reasons()


def test_when_braze_is_away_the_hints_stay_and_the_next_run_takes_them(hooked: Hooked) -> None:
    world = hooked.world
    world.caspio.datasheet.update("Customers", {"FirstName": "x"}, "PK_ID<=3")
    hooked.deliver()
    world.break_braze(Fault(kind="status", status=503))
    assert world.ended(hints=True).code == 4
    assert hooked.waiting("customers") == 3
    world.break_braze()
    assert world.run(hints=True).sent == 3
    assert hooked.waiting("customers") == 0


def test_when_caspio_gives_less_than_it_counts_nothing_is_taken_for_gone(hooked: Hooked) -> None:
    world = hooked.world
    world.caspio.datasheet.update("Customers", {"FirstName": "x"}, "PK_ID<=3")
    hooked.deliver()
    world.break_caspio(Fault(kind="short", path="/integrations/rest/v3/tables/Customers/records", rows=1))
    ended = world.ended(hints=True)
    assert ended.code == 4
    assert hooked.waiting("customers") == 3


def test_a_session_takes_what_arrives_meanwhile_and_ends_with_its_time(hooked: Hooked) -> None:
    world = hooked.world
    turns: list[int] = []

    def watch(report: Any) -> None:
        if report.state == "running" and len(turns) < 3:
            turns.append(report.batches)
            world.caspio.datasheet.update("Customers", {"FirstName": f"turn {len(turns)}"}, "PK_ID=9")
            arrive(world, 9)

    world.observer = watch
    arrive(world, 9)
    world.caspio.datasheet.update("Customers", {"FirstName": "turn 0"}, "PK_ID=9")
    began = world.clock.monotonic()
    report = run_watched(world, hints=True, listen_seconds=60)
    assert [each["first_name"] for each in world.sent()] == ["turn 0", "turn 1", "turn 2", "turn 3"]
    assert (report.sent, report.hints, report.batches) == (4, 4, 4)
    assert 60 <= world.clock.monotonic() - began < 62


def test_a_session_lets_go_for_whoever_waits(hooked: Hooked) -> None:
    world = hooked.world

    def ask(report: Any) -> None:
        with world.ledger() as ledger:
            ledger.ask_for_turn("customers", "somebody")

    world.observer = ask
    arrive(world, 9)
    began = world.clock.monotonic()
    run_watched(world, hints=True, listen_seconds=600)
    assert world.clock.monotonic() - began < 5
    world.clock.advance(11)  # who does not say it again waits no longer
    with world.ledger() as ledger:
        assert not ledger.is_asked_for("customers")
        assert ledger.all_leases() == []


@pytest.mark.parametrize("option", ["full", "resend", "baseline", "allow_deletes"])
def test_hints_go_with_no_other_choice_of_rows(hooked: Hooked, option: str) -> None:
    chosen: dict[str, Any] = {option: True}
    with pytest.raises(ConfigurationError, match="--hints reads the rows that webhooks announced"):
        hooked.world.run(hints=True, **chosen)


def test_a_view_has_no_hints(world: World) -> None:
    world.people(2)
    world.caspio.create_view("Some", "Customers", ["CustomerNo", "Email"])
    world.sync("kind: profiles\nsource: {view: Some, page_by: CustomerNo}\nidentity: {external_id: CustomerNo}\n"
               "fields: {email: Email}\n")  # fmt: skip
    with pytest.raises(ConfigurationError):
        world.run(hints=True)


def test_what_a_killed_run_leaves_open_are_its_own_rows_and_none_between_them(hooked: Hooked) -> None:
    """A "no" that may have been loosened by what was sent unrecorded is told again; that of no other row is."""
    world = hooked.world
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID>0")
    world.run()
    world.forget()
    world.clock.advance(AN_HOUR)
    with world.ledger() as ledger:
        ledger.start_run(run="killed", sync="customers", kind="profiles", mode="partial")
        ledger.open_batch(run="killed", number=1, low_pk=3, high_pk=39, rows=2, among=[3, 39])
    world.run(full=True)
    assert sent_keys(world) == ["c3", "c39"]


@pytest.mark.parametrize(
    ("step", "times"), [("open_batch", 0), ("record_sent", 0), ("close_batch", 0), ("start_run", 0)]
)
def test_wherever_a_run_of_hints_is_killed_the_next_one_ends_in_what_caspio_holds(
    hooked: Hooked, step: str, times: int
) -> None:
    world = hooked.world
    world.caspio.datasheet.update("Customers", {"FirstName": "x", "Newsletter": "no"}, "PK_ID IN (2,17,38)")
    hooked.deliver()
    with killed_after(times, step):
        world.run(hints=True)
    world.caspio.datasheet.update("Customers", {"FirstName": "y"}, "PK_ID=17")
    hooked.deliver()
    world.clock.advance(120)
    world.run(hints=True)
    assert hooked.waiting("customers") == 0
    held = {key: (each["first_name"], each["email_subscribe"]) for key, each in world.profiles().items()}
    words = {"yes": "subscribed", "no": "unsubscribed"}
    assert held == {
        row["CustomerNo"]: (row["FirstName"], words[row["Newsletter"]]) for row in world.caspio.rows("Customers")
    }
    world.forget()
    assert world.run(hints=True).requests == 0


# ---- catalogs


@pytest.fixture
def hooked_shop(shop: Shop) -> tuple[Shop, Hooked]:
    made = Hooked(shop.world)
    shop.open(100)
    made.hook("Products", "products")
    shop.world.run("products")
    return shop, made


def test_items_change_and_go_with_their_rows(hooked_shop: tuple[Shop, Hooked]) -> None:
    shop, hooked = hooked_shop
    sheet, world = shop.world.caspio.datasheet, shop.world
    sheet.update("Products", {"Title": "New"}, "PK_ID=3")
    sheet.delete("Products", "PK_ID IN (5,6)")
    hooked.deliver()
    report = world.run("products", hints=True)
    assert (report.sent, report.deleted) == (1, 2)
    assert shop.items() == shop.expected()
    assert world.verdicts("products") == {"sent": 98, "deleted": 2}


def test_a_mass_deletion_in_small_messages_is_left_to_a_whole_read(hooked_shop: tuple[Shop, Hooked]) -> None:
    shop, hooked = hooked_shop
    world = shop.world
    deleted = 0
    for number in range(0, 45, 5):
        world.caspio.datasheet.delete("Products", f"PK_ID>{number} AND PK_ID<={number + 5}")
        hooked.deliver()
        report = world.run("products", hints=True)
        deleted += report.deleted
    assert 0 < deleted <= 20
    assert any("the next whole read decides" in each for each in report.notes)
    assert hooked.waiting("products") == 0
    assert len(shop.items()) == 100 - deleted
    ended = world.ended("products")
    assert ended.code == 3
    assert world.run("products", allow_deletes=True).deleted == 45 - deleted


def test_a_row_that_came_and_went_before_anybody_looked_is_nothing(hooked_shop: tuple[Shop, Hooked]) -> None:
    shop, hooked = hooked_shop
    world, sheet = shop.world, shop.world.caspio.datasheet
    made = sheet.insert("Products", {"Code": "p999", "Title": "Short", "Price": 1.0, "Stock": 1})
    sheet.delete("Products", f"PK_ID={made[0]}")
    hooked.deliver()
    report = world.run("products", hints=True)
    assert (report.read, report.deleted, report.hints) == (0, 0, 2)
    assert hooked.waiting("products") == 0
    assert shop.items() == shop.expected()


def test_an_id_that_another_row_bears_by_now_stays(hooked_shop: tuple[Shop, Hooked]) -> None:
    shop, hooked = hooked_shop
    world, sheet = shop.world, shop.world.caspio.datasheet
    sheet.delete("Products", "PK_ID=5")
    sheet.insert("Products", {"Code": "p5", "Title": "Again", "Price": 1.0, "Stock": 1})
    hooked.deliver()
    world.run("products", hints=True)
    assert shop.items()["p5"]["title"] == "Again"
    assert shop.items() == shop.expected()


# ---- what the tests need


def arrive(world: World, *source_pks: int) -> None:
    """These rows are announced, by whichever way."""
    import uuid

    from caspio_sync.hints import Hint, Hints, Message
    from caspio_sync.settings import current_settings

    hints = tuple(Hint(each, "update", None) for each in source_pks)
    with Hints.open(current_settings().inbox_url, clock=world.clock) as store:
        store.add([Message("customers", str(uuid.uuid4()), hints, "kept")])


def run_watched(world: World, **options: Any) -> Any:
    from caspio_sync.engine.connect import CONNECT

    token = CONNECT.set(world.connect())
    try:
        return world.run(**options)
    finally:
        CONNECT.reset(token)
