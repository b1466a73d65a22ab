"""A ledger that cannot record: nothing is sent that would be billed again by every run."""

import sqlite3

from tests.flows.world import World


def test_nothing_leaves_that_cannot_be_written_down(world: World) -> None:
    world.people(3)
    world.sync()
    world.run()
    world.caspio.update_rows("Customers", {"FirstName": "New", "Newsletter": "no"}, "CustomerNo='c1'")
    world.clock.advance(600)
    requests = world.braze.requests
    with sqlite3.connect(world.ledger_file) as ledger:
        ledger.execute("CREATE TRIGGER broken BEFORE INSERT ON row BEGIN SELECT RAISE(ABORT, 'no'); END")
    ended = world.ended()
    assert (ended.code, world.braze.requests) == (4, requests)
    assert "Could not record what is to be sent" in ended.message
    with sqlite3.connect(world.ledger_file) as ledger:
        ledger.execute("DROP TRIGGER broken")
    ledger.close()
    world.forget()
    assert world.run().sent == 1
    assert {each["email_subscribe"] for each in world.sent() if "email_subscribe" in each} == {"unsubscribed"}
