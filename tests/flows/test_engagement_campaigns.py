"""The campaigns' own table: made when asked for, kept, and never filled twice."""

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.faults import Fault
from tests.flows.returns import RETURN, Told, campaign_days, customers, told_by_braze  # noqa: F401 - fixtures
from tests.flows.world import World


class TestCampaigns:
    STATS = RETURN + "campaign_stats: {table: CampaignStats, create: true}\n"

    def test_the_table_is_made_and_kept(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = campaign_days(3, 4)
        world.run("engagement")
        assert [(each["StatKey"], each["Opens"]) for each in world.caspio.rows("CampaignStats")] == [
            ("id0|2026-03-02|email", 3),
            ("id1|2026-03-02|email", 4),
        ]
        told.days = campaign_days(3, 9)
        report = world.run("engagement")
        assert report.writeback is not None
        assert (report.writeback.campaign_calls, report.writeback.campaign_days) == (1, 1)
        assert [each["Opens"] for each in world.caspio.rows("CampaignStats")] == [3, 9]

    def test_an_insert_whose_answer_is_lost_is_looked_up_first(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = campaign_days(1, 2, 3)
        path = "/integrations/rest/v3/tables/CampaignStats/records"
        world.break_caspio(Fault(kind="reset_after", path=path, method="POST", nth=(1, 3)))
        world.run("engagement")
        assert sorted(each["StatKey"] for each in world.caspio.rows("CampaignStats")) == [
            f"id{place}|2026-03-02|email" for place in range(3)
        ]

    def test_no_campaign_stops_the_others(self, world: World, told: Told) -> None:
        """Of ids that are one where Caspio has room for them, the counts are added; one that it refuses is told of."""
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = campaign_days(1, 2, 4, 8, 16)
        names = ["a\0b", "ab", "\U0001f600", "x" * 300, "x" * 301]
        for day, name in zip(told.days, names, strict=True):
            day |= {"campaign_id": name, "campaign_name": f"News\0 {name}", "channel": "e\0mail"}
        path = "/integrations/rest/v3/tables/CampaignStats/records"
        world.break_caspio(Fault(kind="status", status=400, path=path, method="POST", nth=(1,)))
        first = world.run("engagement")
        assert any(
            "CampaignStats: 1 campaign days were not written. Caspio refuses a row" in each for each in first.notes
        )
        world.break_caspio()
        world.run("engagement")
        rows = {each["CampaignId"]: (each["Opens"], each["Channel"]) for each in world.caspio.rows("CampaignStats")}
        assert rows == {"ab": (3, "email"), "x" * 255: (24, "email")}
        calls = world.run("engagement").writeback
        assert calls is not None
        assert calls.campaign_days == 0

    def test_counts_that_fall_are_held(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = campaign_days(5)
        world.run("engagement")
        told.days = campaign_days(4)
        assert "1 campaign days are held" in " ".join(world.run("engagement").notes)
        assert world.caspio.rows("CampaignStats")[0]["Opens"] == 5

    def test_a_table_that_nobody_asked_for_is_not_made(self, world: World, told: Told) -> None:
        told.days = campaign_days(5)
        customers(world, 1)
        world.sync(self.STATS.replace(", create: true", ""), "engagement")
        with pytest.raises(
            ConfigurationError, match=r"engagement.yaml:\d+: Caspio has no table CampaignStats; make it"
        ):
            world.run("engagement")
