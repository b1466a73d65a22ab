"""A sync that was run by the path to its file, by a version that took that for its name."""

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.store import Ledger
from tests.flows.world import World


def renamed(ledger: Ledger, sync: str, other: str) -> None:
    """The ledger as that version left it."""
    with ledger.writing("rename") as connection:
        for table in schema.metadata.tables.values():
            if "sync" in table.c and table is not schema.audit:
                connection.execute(sa.update(table).where(table.c.sync == sync).values(sync=other))


def test_nothing_is_sent_again(world: World) -> None:
    world.people(30)
    world.sync()
    world.run()
    assert len(world.sent()) == 30
    with world.ledger() as ledger:
        renamed(ledger, "customers", "./syncs/customers.yaml")
    world.forget()
    assert world.plan().to_send == 0
    assert world.run().mode == "incremental"  # the cursor went over, too
    assert world.sent() == []
    world.caspio.update_rows("Customers", {"FirstName": "Zoe"}, "CustomerNo='c7'")
    assert world.run("customers").sent == 1
