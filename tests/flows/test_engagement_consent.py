"""Consent in both directions, through both flows: no echo but one, and no opt-out lost."""

from datetime import timedelta

import pytest

from caspio_sync.errors import GateBlockedError
from tests.flows.returns import (  # noqa: F401 - fixtures
    RECORDS,
    RETURN,
    Told,
    campaign_days,
    customers,
    during_the_run,
    opened,
    row,
    told_by_braze,
)
from tests.flows.world import START, World


class TestConsent:
    def test_an_unsubscription_reaches_the_row_and_goes_once_more_to_braze(self, world: World, told: Told) -> None:
        customers(world, 2)
        world.run()
        world.run("engagement")
        world.forget()
        told.says("c1", "unsubscribed", at=START + timedelta(minutes=5))
        world.clock.advance(600)
        assert world.run("engagement").sent == 1
        assert row(world, 1)["Newsletter"] == "no"
        world.clock.advance(600)
        world.run()
        world.clock.advance(600)
        assert (world.run("engagement").changed, world.run().sent) == (0, 0)
        assert [(each["external_id"], each["email_subscribe"]) for each in world.sent()] == [("c1", "unsubscribed")]

    def test_what_we_set_ourselves_is_no_news(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.says("c1", "unsubscribed", source="REST API")
        assert world.run("engagement").changed == 0

    def test_where_caspio_wins_braze_is_told_again(self, world: World, told: Told) -> None:
        customers(world, 2)
        world.run()
        world.run("engagement")
        world.clock.advance(600)
        world.caspio.update_rows("Customers", {"Newsletter": "no"}, "CustomerNo='c1'")
        world.clock.advance(600)
        world.run()
        told.says("c1", "subscribed", at=world.clock.now())
        world.forget()
        report = world.run("engagement")
        assert report.writeback is not None
        (conflict,) = report.writeback.conflicts
        assert (conflict.caspio, conflict.braze, conflict.winner) == ("unsubscribed", "subscribed", "caspio")
        assert conflict.examples == ["c1"]
        assert row(world, 1)["Newsletter"] == "no"
        world.clock.advance(600)
        world.run()
        assert [(each["external_id"], each["email_subscribe"]) for each in world.sent()] == [("c1", "unsubscribed")]

    def test_a_wrong_list_unsubscribes_nobody(self, world: World, told: Told) -> None:
        customers(world, 100)
        for number in range(1, 31):
            told.says(f"c{number}", "unsubscribed")
        with pytest.raises(GateBlockedError, match="consent_share"):
            world.run("engagement")
        assert {each["Newsletter"] for each in world.caspio.rows("Customers")} == {"yes"}

    def test_an_opt_out_is_written_also_where_the_row_is_held(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c1": opened(START + timedelta(days=9), 1)}
        told.says("c1", "unsubscribed")
        report = world.run("engagement")
        assert (report.verdicts, report.reasons[0].reason) == ({"quarantined": 1}, "time_future")
        assert (row(world, 1)["Newsletter"], row(world, 1)["EmailOpens"]) == ("no", "")

    def test_a_word_that_nobody_knows_is_not_overwritten(self, world: World, told: Told) -> None:
        customers(world, 1, Newsletter="ask her")
        told.says("c1", "unsubscribed")
        report = world.run("engagement")
        assert report.reasons[0].reason.startswith("state_known")
        assert row(world, 1)["Newsletter"] == "ask her"


class TestDeath:
    @pytest.mark.parametrize("step", ["record", "agree", "close_batch"])
    def test_a_run_that_dies_after_writing_leaves_nothing_to_repeat(
        self, world: World, told: Told, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        customers(world, 3)
        world.run("engagement")
        told.measures = {f"c{number}": opened(START, 1) for number in range(1, 4)}
        told.says("c2", "unsubscribed", at=START + timedelta(minutes=1))
        world.clock.advance(600)

        def dies(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(f"caspio_sync.ledger.store.Ledger.{step}", dies)
            with pytest.raises(BaseException):  # noqa: B017, PT011 - as a kill would end it
                world.run("engagement")
        assert row(world, 2)["Newsletter"] == "no"
        report = world.run("engagement")
        assert report.writeback is not None
        assert (report.changed, report.writeback.calls, report.writeback.conflicts) == (0, 0, [])
        # The person comes back: it is the news alone that counts.
        told.says("c2", "subscribed", at=START + timedelta(minutes=30))
        world.clock.advance(3600)
        world.run("engagement")
        assert row(world, 2)["Newsletter"] == "yes"
