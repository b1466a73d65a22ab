"""Ranges of a sync of events: shards of a backfill, and whoever reads a part of the table."""

import asyncio

from caspio_sync.engine.opening import open_run
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.observe.report import RunOptions
from caspio_sync.settings import current_settings
from tests.flows.happenings import arrived, ticket, tickets
from tests.flows.world import World


def test_ranges_take_turns_for_a_person_may_be_in_both(world: World) -> None:
    tickets(world, [ticket(number, CustomerNo="c1") for number in range(1, 5)])

    async def side_by_side() -> bool:
        settings = current_settings()
        async with open_run("tickets", RunOptions(pk_range=(1, 2)), settings=settings):
            try:
                async with open_run("tickets", RunOptions(pk_range=(3, 4)), settings=settings):
                    return True
            except LeaseHeldError:
                return False

    assert not asyncio.run(side_by_side())
    for low in (1, 3):
        assert world.run("tickets", pk_range=(low, low + 1)).verdicts == {"sent": 2}
    assert len(arrived(world)) == 4
