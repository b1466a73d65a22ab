"""Keys that an older version sent with a blank that nobody sees: their rows in runs of this one."""

import asyncio
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from caspio_sync.ledger.schema import row
from tests.flows.test_filled_again import change, refill
from tests.flows.world import World

HIDDEN = "\u200b"
LONGER = f"c1{HIDDEN}"


@pytest.fixture
def two(world: World) -> World:
    """PK_ID 1 was sent as c1, and PK_ID 2 as c1 with the blank."""
    world.customers(
        [world.person(1), world.person(1, CustomerNo=f"x{HIDDEN}", FirstName="Longer", Email="x@b.example")]
    )
    world.loose()
    world.run()
    with world.ledger() as ledger, ledger.writing("as an older version left it") as connection:
        hashed = connection.execute(sa.select(row.c.key_hash).where(row.c.source_pk == 1)).scalar()
        connection.execute(sa.update(row).where(row.c.source_pk == 2).values(key=LONGER, key_hash=hashed))
    world.edit_unstamped(f"UPDATE Customers SET CustomerNo = '{LONGER}' WHERE PK_ID = 2")
    told = {"external_id": LONGER, "first_name": "Longer", "email": "x@b.example", "email_subscribe": "subscribed"}
    asyncio.run(track(world, told))
    world.run(full=True)
    world.clock.advance(3600)
    world.forget()
    return world


async def track(world: World, profile: dict[str, Any]) -> None:
    transport = httpx.ASGITransport(app=world.braze.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://braze.test") as client:
        headers = {"Authorization": "Bearer sandbox-key"}
        answer = await client.post("/users/track", json={"attributes": [profile]}, headers=headers)
        assert answer.status_code == 201


def states(world: World) -> tuple[str, str]:
    profiles = world.profiles()
    return profiles["c1"]["email_subscribe"], profiles[LONGER]["email_subscribe"]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("key", "after"), [(LONGER, ("subscribed", "unsubscribed")), ("c1", ("unsubscribed", "subscribed"))]
)
def test_each_of_two_profiles_has_the_consent_of_its_own_row(
    two: World, key: str, after: tuple[str, str], together: bool
) -> None:
    """Whether the other row is in the batch, or was held once, makes no difference."""
    if together:
        change(two, LONGER if key == "c1" else "c1", FirstName="Other")
    change(two, key, Newsletter="no")
    assert two.run().verdicts == {"sent": 1 + together}
    assert states(two) == after
    two.forget()
    two.run()
    two.run(full=True)
    assert (two.sent(), states(two), two.verdicts()) == ([], after, {"sent": 2})


def test_a_second_row_of_the_key_is_held_and_heeded_by_both(two: World) -> None:
    two.caspio.insert_rows("Customers", [two.person(1, Newsletter="no")])
    assert two.run().verdicts["quarantined"] == 1
    assert states(two) == ("unsubscribed", "unsubscribed")


@pytest.mark.parametrize(("order", "anew"), [([0, 1], False), ([1, 0], False), ([0, 1], True)])
def test_both_are_known_again_when_their_table_is_filled_again(two: World, order: list[int], anew: bool) -> None:
    change(two, LONGER, Newsletter="no")
    two.run()
    two.clock.advance(3600)
    change(two, LONGER, Newsletter="")
    two.run()
    two.forget()
    refill(two, order, anew=anew)
    two.run()
    two.run(full=True)
    assert (two.sent(), states(two)) == ([], ("subscribed", "unsubscribed"))
    change(two, LONGER, Email="y@b.example")  # Braze takes a new address for subscribed
    two.run()
    assert states(two) == ("subscribed", "unsubscribed")


def test_the_longer_key_of_a_row_that_comes_back_alone_is_kept(two: World) -> None:
    two.caspio.delete_rows("Customers", "PK_ID = 1")
    two.run(full=True)
    two.forget()
    refill(two)
    two.run()
    assert two.sent() == []
    change(two, LONGER, Newsletter="no")
    two.run()
    assert states(two) == ("subscribed", "unsubscribed")
