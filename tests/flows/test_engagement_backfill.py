"""A backfill of an engagement return: chosen rows in shards, one after the other and at once."""

import asyncio
from typing import Any

from caspio_sync.observe.report import RunOptions
from tests.flows.returns import happens, posted, row, shop_with_currents  # noqa: F401 - a fixture
from tests.flows.world import World


def rows(world: World) -> list[dict[str, Any]]:
    stamped = {"ChangedAt"}
    return [{name: value for name, value in row(world, n).items() if name not in stamped} for n in range(1, 6)]


def test_shards_write_what_a_whole_run_would(shop: World) -> None:
    from flows.backfill import BackfillParameters, run_backfill

    happens(shop)
    assert set(posted(shop)) == {200}
    report = run_backfill(BackfillParameters(sync="engagement", pk_range=(1, 5), shards=3))
    assert report.exit_code == 0
    assert sum(each.report.read for each in report.shards if each.report) == 5
    written = rows(shop)
    assert written[0]["EmailOpens"] == "2-4"
    assert written[1]["Newsletter"] == "no"
    assert written[2]["HardBounced"]
    again = shop.run("engagement")
    assert again.writeback.calls == 0
    assert rows(shop) == written
    (counted,) = shop.caspio.rows("CampaignStats")
    assert counted["CampaignName"] == "Spring"


def test_shards_at_once_fold_every_event_once(shop: World) -> None:
    from flows.kinds import run_flow

    happens(shop)
    assert set(posted(shop)) == {200}

    async def at_once() -> list[Any]:
        ranges = [(1, 2), (3, 4), (5, 5)]
        return await asyncio.gather(
            *(run_flow("engagement", "engagement", RunOptions(pk_range=each)) for each in ranges)
        )

    reports = asyncio.run(at_once())
    assert [each.read for each in reports] == [2, 2, 1]
    written = rows(shop)
    assert (written[0]["EmailOpens"], written[0]["Clicks"]) == ("2-4", 1)
    assert shop.run("engagement").writeback.calls == 0
    assert rows(shop) == written
    assert len(shop.caspio.rows("CampaignStats")) == 1
