"""A batch that the gate blocks: nothing of it is sent, opt-outs apart, and the cursor stays."""

from tests.flows.world import World


def gated(world: World) -> None:
    """A hundred rows, thirty of them bad."""
    world.customers(
        [world.person(number, Email="bad" if number <= 30 else f"c{number}@example.com") for number in range(1, 101)]
    )
    world.sync()


def test_a_blocked_batch_sends_nothing_keeps_the_cursor_and_ends_with_3(world: World) -> None:
    gated(world)
    planned = world.plan()
    ended = world.ended()
    assert ended.code == 3
    assert "the gate blocked batch 1 (PK_ID 1 to 100): 30 of 100 rows failed, more than 20" in ended.message
    assert "email_format (30)" in ended.message
    assert "caspio-sync plan customers" in ended.message
    assert planned.blocked is not None
    assert (world.braze.requests, world.profiles(), world.watermark(), world.verdicts()) == (0, {}, None, {})
    with world.ledger() as ledger:
        run = ledger.last_run("customers")
    assert (run.state, run.exit_code) == ("blocked", 3)
    for number in range(1, 31):
        world.caspio.update_rows("Customers", {"Email": f"new{number}@example.com"}, f"PK_ID = {number}")
    repaired = world.ended()
    assert (repaired.code, repaired.report.sent) == (0, 100)
    assert world.watermark() is not None


def test_opt_outs_leave_a_blocked_batch(world: World) -> None:
    world.people(100)
    world.sync()
    world.run()
    before = world.watermark()
    world.forget()
    world.clock.advance(3600)
    world.caspio.update_rows("Customers", {"Email": "bad"}, "PK_ID <= 30")
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID IN (5, 50)")
    planned = world.plan()
    ended = world.ended()
    assert (ended.code, ended.report.opt_outs, planned.report.opt_outs) == (3, 2, 2)
    assert [(each["external_id"], each["email_subscribe"]) for each in world.sent()] == [
        ("c5", "unsubscribed"), ("c50", "unsubscribed"),
    ]  # fmt: skip
    assert world.watermark() == before
    world.forget()
    for number in range(1, 31):
        world.caspio.update_rows("Customers", {"Email": f"new{number}@example.com"}, f"PK_ID = {number}")
    assert world.ended().code == 0
    assert {each["external_id"] for each in world.sent()} == {f"c{number}" for number in range(1, 31)}
    assert world.profiles()["c5"]["email_subscribe"] == "unsubscribed"


def test_a_blocked_second_batch_keeps_the_cursor_and_the_first_is_not_sent_again(world: World) -> None:
    rows = [
        world.person(number, Email="bad" if 1500 <= number < 1800 else f"c{number}@example.com")
        for number in range(1, 2501)
    ]
    world.customers(rows)
    world.sync(world.SYNC + "batch_size: 1000\n")
    ended = world.ended()
    assert ended.code == 3
    assert 0 < len(world.profiles()) < 2500
    assert world.watermark() is None
    sent = len(world.profiles())
    world.caspio.update_rows("Customers", {"Email": "x@example.com"}, "Email = 'bad'")
    again = world.ended()
    assert (again.code, again.report.unchanged, again.report.sent) == (0, sent, 2500 - sent)
    assert len(world.profiles()) == 2500
