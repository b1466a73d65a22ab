"""What happened before a ledger was written by an earlier version: the same in both accounts whenever it is told again.

`tests/data/ledgers/<revision>.sql` is the ledger that the version of that revision wrote over this past.
"""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from caspio_sync.engine.connect import CONNECT
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.flows.catalog_shop import Shop
from tests.flows.returns import COLUMNS, RETURN, Told, opened
from tests.flows.world import CUSTOMERS, START, World

LEDGERS = Path(__file__).parents[1] / "data" / "ledgers"
REQUESTS = [{"Name": "CustomerNo", "Type": "STRING"}]
ERASURE = "erasure: {table: ErasureRequests, key: CustomerNo}\n"
PEOPLE = 12
AN_HOUR = 3600.0


def live_through(world: World) -> Told:
    """Profiles sent, rejected, held; consent given and refused; a person erased; a catalog; an engagement return.

    Returns:
        What Braze told, which goes on telling.
    """
    world.braze = BrazeSandbox(BrazeBehaviour(blocked_external_ids=frozenset({"c3"})), clock=world.clock)
    rows = [world.person(number) for number in range(1, PEOPLE + 1)]
    rows[3]["Email"] = "nobody"  # c4 is held
    rows[4]["Newsletter"] = "no"  # c5 never wanted it
    world.customers(rows, [*CUSTOMERS, *COLUMNS])
    world.caspio.create_table("ErasureRequests", REQUESTS)
    world.sync(world.SYNC + ERASURE)
    told = Told()
    CONNECT.set(replace(CONNECT.get(), told=lambda _run: told))
    world.sync(RETURN, "engagement")
    shop = Shop(world)
    shop.open(6)

    world.run()
    shop.run()
    world.run("engagement")
    world.clock.advance(AN_HOUR)
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": "c6"}])
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo='c7'")
    # c8's opt-out leaves although the row is held.
    world.caspio.update_rows("Customers", {"Newsletter": "no", "Email": "nobody"}, "CustomerNo='c8'")
    told.measures = {"c10": opened(START + timedelta(minutes=5), 2)}
    told.says("c9", "unsubscribed", at=START + timedelta(minutes=5))
    world.run("engagement")
    world.clock.advance(AN_HOUR)
    world.run()
    world.clock.advance(AN_HOUR)
    # c11 told no state any more; its "no" stands.
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo='c11'")
    world.run()
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"Newsletter": ""}, "CustomerNo='c11'")
    shop.drop("p5")
    shop.edit("p2", Price=9.5)
    world.run()
    shop.run(full=True)
    world.clock.advance(AN_HOUR)
    world.run()
    world.run("engagement")
    world.clock.advance(AN_HOUR)
    return told


def restore(revision: str, file: Path) -> None:
    """Put the ledger that an earlier version wrote over this past where the present one looks for it."""
    for left in file.parent.glob(f"{file.name}*"):
        left.unlink()
    connection = sqlite3.connect(file)
    connection.executescript((LEDGERS / f"{revision}.sql").read_text("utf-8"))
    connection.close()
