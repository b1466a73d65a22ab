"""A key that a batch under way has claimed is taken, also where that batch ends while the next one looks."""

import asyncio
from typing import Any

import pytest

from caspio_sync.engine import comparing, recording
from caspio_sync.engine.hand_over import find_claims
from tests.flows.world import World


def test_a_key_of_a_batch_that_ends_meanwhile_is_not_sent_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [world.person(number) for number in range(1, 1201)]
    world.customers([*rows, world.person(5, Newsletter="yes", FirstName="Another")])
    world.loose(world.SYNC + "batch_size: 1000\n")
    looked, stood, close = asyncio.Event(), list[int](), recording.close_batch

    async def found_slowly(run: Any, mapped: Any, new: Any, stored: Any) -> Any:
        """Of the second batch: the ledger was asked before the first one ended, Caspio answers after that."""
        if 1 in run.turns._claims:  # noqa: SLF001 - its end is waited for
            stood.append(stored.height)
            looked.set()
            while 1 in run.turns._claims:  # noqa: ASYNC110, SLF001 - nobody tells of it
                await asyncio.sleep(0.001)
        return await find_claims(run, mapped, new, stored)

    async def closed_late(run: Any, batch: Any, *args: Any, **options: Any) -> Any:
        if batch.number == 1:
            await looked.wait()
        return await close(run, batch, *args, **options)

    monkeypatch.setattr(comparing, "find_claims", found_slowly)
    monkeypatch.setattr(recording, "close_batch", closed_late)
    report = world.run()
    assert stood == [0]
    assert report.verdicts == {"sent": 1200, "quarantined": 1}
    assert world.profiles()["c5"]["first_name"] == "Name5"
