"""What Braze told of people, in the Caspio rows: through the whole flow, asserted at the emulated account."""

from datetime import UTC, datetime, timedelta

import pytest

from caspio_sync import registry
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.sandbox.data import load_customers
from caspio_sync.sandbox.faults import Fault
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


def test_what_braze_told_stands_in_the_rows_coarse(world: World, told: Told) -> None:
    customers(world, 3)
    told.measures = {
        "c1": opened(datetime(2026, 3, 1, 23, 30, 15, tzinfo=UTC), 7, email_clicks=3, last_campaign_name="Spring 🌷"),
        "c3": {"hard_bounced_at": START},
        "nobody": opened(START, 1),
    }
    report = world.run("engagement")
    assert row(world, 1) | {
        "LastOpened": "2026-03-01T00:00:00",
        "EmailOpens": "5-9",
        "Clicks": 2,
        "Engaged": True,
        "HardBounced": False,
        "LastCampaign": "Spring",
    } == row(world, 1)
    assert row(world, 2)["LastOpened"] is None
    assert row(world, 3)["HardBounced"] is True
    assert (report.kind, report.read, report.changed, report.sent) == ("engagement", 3, 2, 2)
    assert report.writeback is not None
    assert report.writeback.unknown_people == 1
    assert world.verdicts("engagement") == {"sent": 2}


def drop_last_campaign(world: World) -> None:
    table = world.caspio.account.table("Customers")
    fields = [each for each in table.fields if each.name != "LastCampaign"]
    world.caspio.account.change_fields(table, fields, {each.name: each.name for each in fields})


class TestRows:
    def test_a_run_without_news_writes_nothing(self, world: World, told: Told) -> None:
        customers(world, 30)
        told.measures = {f"c{number}": opened(START, number) for number in range(1, 31)}
        assert world.run("engagement").sent == 30
        stamps = [each["ChangedAt"] for each in world.caspio.rows("Customers")]
        world.clock.advance(60)
        report = world.run("engagement")
        assert (report.changed, report.writeback and report.writeback.calls) == (0, 0)
        assert [each["ChangedAt"] for each in world.caspio.rows("Customers")] == stamps

    def test_our_own_writes_never_come_back_to_braze(self, world: World, told: Told) -> None:
        customers(world, 5)
        world.run()
        world.forget()
        told.measures = {f"c{number}": opened(START, number) for number in range(1, 6)}
        assert world.run("engagement").sent == 5
        world.clock.advance(600)
        assert (world.run().sent, world.sent()) == (0, [])

    def test_equal_values_travel_together(self, world: World, told: Told) -> None:
        customers(world, 400)
        told.measures = {f"c{number}": opened(START, 1 + number % 2) for number in range(1, 401)}
        report = world.run("engagement")
        assert report.sent == 400
        assert report.writeback is not None
        assert report.writeback.calls <= 5

    def test_calls_are_filled_to_the_brim_of_the_address(self, world: World, told: Told) -> None:
        customers(world, 2_000)
        told.measures = {f"c{number}": opened(START, 3) for number in range(1, 2_001)}
        report = world.run("engagement")
        assert report.verdicts == {"sent": 2_000}
        assert report.writeback is not None
        assert report.writeback.calls == 5  # 2,000 keys of about five characters into 1,900

    def test_a_flag_falls_when_its_time_has_passed(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c1": opened(START, 1)}
        world.run("engagement")
        world.clock.advance(timedelta(days=31).total_seconds())
        world.run("engagement")
        assert row(world, 1)["Engaged"] is False
        assert row(world, 1)["LastOpened"] == "2026-03-02T00:00:00"

    def test_a_row_deleted_meanwhile_is_no_success(self, world: World, told: Told) -> None:
        customers(world, 3)
        told.measures = {f"c{number}": opened(START, 1) for number in range(1, 4)}
        during_the_run(told, lambda: world.caspio.delete_rows("Customers", "PK_ID=2"))
        report = world.run("engagement")
        assert (report.sent, report.verdicts["rejected"]) == (2, 1)
        assert report.reasons[0].reason == "the row is gone from Caspio"
        assert world.run("engagement").changed == 0

    def test_an_answer_that_is_lost_is_asked_for_again(self, world: World, told: Told) -> None:
        customers(world, 3)
        told.measures = {f"c{number}": opened(START, 1) for number in range(1, 4)}
        world.break_caspio(Fault(kind="reset_after", path=RECORDS, method="PUT", nth=(1,)))
        report = world.run("engagement")
        assert (report.sent, row(world, 3)["EmailOpens"]) == (3, "1")

    def test_a_write_without_any_answer_is_unknown_and_read_again(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c1": opened(START, 1)}
        world.break_caspio(
            Fault(kind="reset_before", path=RECORDS, method="PUT", seconds=0),
            Fault(kind="reset_after", path=RECORDS, method="PUT"),
        )
        with pytest.raises(CaspioSyncError):
            world.run("engagement")
        world.break_caspio(Fault(kind="reset_after", path=RECORDS, method="PUT"))
        assert world.run("engagement").verdicts == {"unknown": 1}
        world.break_caspio()
        assert world.run("engagement").changed == 0
        assert world.verdicts("engagement") == {"sent": 1}

    def test_a_count_that_falls_is_held(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c1": opened(START, 9)}
        world.run("engagement")
        told.measures = {"c1": opened(START - timedelta(days=1), 3)}
        report = world.run("engagement")
        assert (report.verdicts, report.reasons[0].reason) == ({"quarantined": 1}, "count_falls")
        assert (row(world, 1)["EmailOpens"], row(world, 1)["LastOpened"]) == ("5-9", "2026-03-02T00:00:00")
        assert world.ended("engagement").code == 0

    def test_people_find_their_row_when_it_appears(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c2": opened(START, 1)}
        first = world.run("engagement")
        assert first.writeback is not None
        assert (first.changed, first.writeback.unknown_people) == (0, 1)
        world.caspio.insert_rows("Customers", [world.person(2)])
        assert world.run("engagement").sent == 1
        assert row(world, 2)["EmailOpens"] == "1"

    def test_a_column_that_is_gone_stops_alone(self, world: World, told: Told) -> None:
        customers(world, 1)
        told.measures = {"c1": opened(START, 1, last_campaign_name="A")}
        world.run("engagement")
        drop_last_campaign(world)
        told.measures = {"c1": opened(START + timedelta(hours=1), 7, last_campaign_name="B")}
        report = world.run("engagement")
        assert "STOPPED LastCampaign" in report.drift[0]
        assert (report.sent, row(world, 1)["EmailOpens"]) == (1, "5-9")

    def test_429_is_waited_for(self, world: World, told: Told) -> None:
        customers(world, 2)
        told.measures = {"c1": opened(START, 1), "c2": opened(START, 5)}
        world.break_caspio(Fault(kind="refuse", path=RECORDS, method="PUT", nth=(1, 2), header="absent"))
        assert world.run("engagement").sent == 2

    def test_a_column_that_caspio_refuses_is_named_and_the_others_go(self, world: World, told: Told) -> None:
        customers(world, 2)
        told.measures = {"c1": opened(START, 1, last_campaign_name="A"), "c2": opened(START, 5, last_campaign_name="B")}
        during_the_run(told, lambda: drop_last_campaign(world))
        report = world.run("engagement")
        assert report.verdicts == {"rejected": 2}
        assert report.writeback is not None
        assert list(report.writeback.refused) == ["LastCampaign"]
        assert "LastCampaign" in report.reasons[0].reason
        assert row(world, 2)["EmailOpens"] == "5-9"

    def test_a_run_makes_no_more_calls_than_it_may(self, world: World, told: Told) -> None:
        customers(world, 4)
        world.sync(RETURN + "calls_per_run: 1\n", "engagement")
        told.measures = {f"c{number}": opened(START, number * 5) for number in range(1, 5)}
        told.says("c4", "unsubscribed")
        report = world.run("engagement")
        assert report.writeback is not None
        assert (report.writeback.calls, report.left_to_send > 0) == (1, True)
        assert (row(world, 4)["Newsletter"], row(world, 1)["EmailOpens"]) == ("no", "")
        while world.run("engagement").left_to_send:
            pass
        assert [each["EmailOpens"] for each in world.caspio.rows("Customers")] == ["5-9", "10-19", "10-19", "20-49"]


class TestPlan:
    def test_a_plan_writes_nothing_and_names_the_calls_that_a_run_makes(self, world: World, told: Told) -> None:
        customers(world, 60)
        world.sync(
            RETURN + 'campaign_stats: {table: CampaignStats, create: true}\nschedule: "0 5 * * *"\n', "engagement"
        )
        told.measures = {f"c{number}": opened(START, number) for number in range(1, 61)}
        told.says("c7", "unsubscribed")
        told.days = campaign_days(3)
        before = world.caspio.rows("Customers")
        plan = world.plan("engagement", show=1)
        assert world.caspio.rows("Customers") == before
        assert "CampaignStats" not in world.caspio.tables()
        assert plan.report.writeback is not None
        assert plan.to_send == 60
        (sample,) = plan.samples
        assert sample["body"] == {"Newsletter": "no"} | dict(sample["body"])  # type: ignore[call-overload]
        report = world.run("engagement")
        assert report.writeback is not None
        assert plan.report.writeback.calls == report.writeback.calls
        assert plan.calls_a_month == 30 * (plan.calls_a_run + report.writeback.calls + 1)

    def test_exact_times_are_priced(self, world: World, told: Told) -> None:
        customers(world, 40)
        exact = RETURN.replace("LastOpened: email_last_open_at", "LastOpened: {measure: email_last_open_at, as: exact}")
        world.sync(exact, "engagement")
        told.measures = {f"c{number}": opened(START + timedelta(seconds=number), 3) for number in range(1, 41)}
        plan = world.plan("engagement")
        assert plan.report.writeback is not None
        assert (plan.report.writeback.calls, plan.report.writeback.exact_calls) == (40, 39)
        assert "39 of 40 calls are there for exact values alone (LastOpened)" in plan.warnings[0]
        world.run("engagement")
        assert row(world, 2)["LastOpened"] == "2026-03-02T12:00:02"

    def test_a_gate_that_would_block_is_told(self, world: World, told: Told) -> None:
        customers(world, 100)
        for number in range(1, 31):
            told.says(f"c{number}", "unsubscribed")
        assert "consent_share" in str(world.plan("engagement").blocked)


def test_the_commands_know_the_kind(world: World, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from caspio_sync.cli.check import examine_syncs
    from caspio_sync.cli.main import app
    from caspio_sync.cli.plan import show_plan
    from caspio_sync.cli.plan_markdown import plan_markdown
    from caspio_sync.cli.run import show_report
    from caspio_sync.cli.show import OUT

    customers(world, 3)
    told.measures = {"c1": opened(START, 1)}
    plan = world.plan("engagement", show=1)
    with OUT.capture() as shown:
        show_plan(plan)
        show_report(world.run("engagement"))
    assert "A run would write 1 rows" in shown.get()
    assert "written back: 1 rows by 1 calls to Caspio" in shown.get()
    assert plan_markdown(plan)
    told_why = CliRunner().invoke(app, ["why", "engagement", "c1"])
    assert "Last acknowledged by Caspio: 2026-03-02" in told_why.output
    assert CliRunner().invoke(app, ["quarantine", "list", "engagement"]).exit_code == 0
    refused = CliRunner().invoke(app, ["verify", "engagement"])
    assert "holds every row of Caspio against Braze" in str(refused.exception)
    findings = [each for examined in examine_syncs("engagement", None) for each in examined.findings]
    assert [each.what for each in findings if each.level == "error"] == []


def test_a_run_that_cannot_be_asked_so_is_refused(world: World, told: Told) -> None:
    customers(world, 1)
    with pytest.raises(ConfigurationError, match="without --baseline"):
        world.run("engagement", baseline=True)
    world.sync(RETURN.replace("profiles: customers", "profiles: engagement"), "engagement")
    with pytest.raises(ConfigurationError, match=r"engagement.yaml:\d+: 'engagement' is no profile sync of Customers"):
        world.run("engagement")


def test_the_profile_sync_that_is_told_sends_to_where_the_states_come_from(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a state that Caspio wins is told to somebody else, and here the looser one stays."""
    known = {**registry.DESTINATIONS, "mailer": "tests.flows.test_workspace:MAILER"}
    monkeypatch.setattr(registry, "DESTINATIONS", known)
    customers(world, 1)
    world.sync(f"{world.SYNC}destination: mailer\n")
    world.sync(RETURN, "engagement")
    with pytest.raises(ConfigurationError, match=r"'customers' is no profile sync of Customers; .* columns to Braze"):
        world.run("engagement")


def test_the_shipped_return_writes_to_the_shipped_shop(world: World, told: Told) -> None:
    load_customers(world.caspio, 300, 1)
    world.shipped("engagement")
    world.shipped("customers")
    keys = [each["CustomerNo"] for each in world.caspio.rows("Customers")[:40]]
    told.measures = {key: opened(START, 3) for key in keys}
    told.says(keys[0], "unsubscribed")
    report = world.run("engagement")
    assert report.sent >= 40
    first = world.caspio.rows("Customers")[0]
    assert (first["EngagedLately"], first["LastOpened"], first["EmailOpens"]) == (True, "2026-03-02T00:00:00", "2-4")
    assert first["EmailConsent"] == "no"
    assert world.caspio.rows("CampaignStats") == []
    assert world.run("engagement").changed == 0
