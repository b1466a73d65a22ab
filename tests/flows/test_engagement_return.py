"""What Braze told of people, in the Caspio rows: through the whole flow, asserted at the emulated account."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from caspio_sync.errors import CaspioSyncError, ConfigurationError, GateBlockedError
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.engagement import Resolved
from caspio_sync.sandbox.faults import Fault
from tests.flows.conftest import CUSTOMERS, START, World

COLUMNS = [
    {"Name": "LastOpened", "Type": "DATE/TIME"},
    {"Name": "EmailOpens", "Type": "STRING"},
    {"Name": "Clicks", "Type": "INTEGER"},
    {"Name": "HardBounced", "Type": "YES/NO"},
    {"Name": "Engaged", "Type": "YES/NO"},
    {"Name": "LastCampaign", "Type": "STRING"},
]
RETURN = """\
kind: engagement
source: {table: Customers, time_zone: Europe/London}
identity: {external_id: CustomerNo, email: Email}
fields:
  HardBounced: {measure: hard_bounced_at, as: flag}
  Engaged: engaged_30_days
  LastOpened: email_last_open_at
  EmailOpens: email_opens
  Clicks: email_clicks
  LastCampaign: last_campaign_name
consent:
  profiles: customers
  email_subscribe: {column: Newsletter, map: {yes: subscribed, no: unsubscribed, double: opted_in}}
"""
RECORDS = "/integrations/rest/v3/tables/Customers/records"


@dataclass
class Told:
    """What Braze told, by external id: the frames that the folded state gives, held in memory."""

    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    consents: list[tuple[str, str, str, datetime, str]] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    gathered: int = 0

    async def gather(self, _run: object) -> Mapping[str, int]:
        self.gathered += 1
        return {"events folded": len(self.measures)}

    def resolve(self, people: pl.DataFrame) -> Resolved:
        keys = people.select("key", "external_id")
        rows = [{"external_id": name, **values} for name, values in self.measures.items()]
        schema = {"external_id": pl.String, "email_opens": pl.Int64, "email_clicks": pl.Int64}
        schema |= dict.fromkeys(("email_last_open_at", "last_engaged_at", "hard_bounced_at"), pl.Datetime("us", "UTC"))
        schema |= {"last_campaign_name": pl.String}
        found = keys.join(pl.DataFrame(rows, schema=schema), on="external_id", how="inner")
        states = pl.DataFrame(
            self.consents,
            schema={
                "external_id": pl.String, "scope": pl.String, "state": pl.String,
                "at": pl.Datetime("us", "UTC"), "source": pl.String,
            },
            orient="row",
        )  # fmt: skip
        known = keys.join(states, on="external_id", how="inner").drop("external_id")
        return Resolved(found.drop("external_id"), known, found.height)

    def people(self) -> int:
        return len(self.measures)

    def campaign_days(self, since: date) -> pl.DataFrame:
        schema = {"campaign_id": pl.String, "campaign_name": pl.String, "day": pl.Date, "channel": pl.String}
        schema |= {"sent": pl.Int64, "opens": pl.Int64}
        return pl.DataFrame(self.days, schema=schema).filter(pl.col("day") >= since)

    def says(self, key: str, state: str, *, at: datetime = START, source: str = "Preference Center") -> None:
        self.consents.append((key, "email", state, at, source))


@pytest.fixture
def told(world: World) -> Told:
    """The sync, a table with its columns, and what Braze tells."""
    made = Told()
    CONNECT.set(replace(CONNECT.get(), engagement=lambda _run: made))
    world.sync()
    world.sync(RETURN, "engagement")
    return made


@pytest.fixture
def quick(without_prefect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow's own functions without the engine around them."""
    flow = importlib.import_module("flows.engagement_return")
    for name in (
        "gather",
        "want",
        "write",
        "record_written",
        "write_campaigns",
        "judge",
        "map_rows",
        "engagement_return",
    ):
        monkeypatch.setattr(flow, name, getattr(flow, name).fn)


def customers(world: World, count: int, **more: Any) -> None:
    world.customers([world.person(number, **more) for number in range(1, count + 1)], [*CUSTOMERS, *COLUMNS])


def row(world: World, number: int) -> dict[str, Any]:
    return world.caspio.rows("Customers")[number - 1]


def opened(at: datetime, opens: int, **more: Any) -> dict[str, Any]:
    return {"email_last_open_at": at, "last_engaged_at": at, "email_opens": opens, **more}


def during_the_run(told: Told, change: Callable[[], object]) -> None:
    """Change Caspio once, after its rows were read and before they are written."""
    resolve, changes = told.resolve, [change]

    def resolved(people: pl.DataFrame) -> Resolved:
        while changes:
            changes.pop()()
        return resolve(people)

    told.resolve = resolved  # type: ignore[method-assign]


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


@pytest.mark.usefixtures("quick")
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

    def test_429_is_waited_for(self, world: World, told: Told) -> None:
        customers(world, 2)
        told.measures = {"c1": opened(START, 1), "c2": opened(START, 5)}
        world.break_caspio(Fault(kind="refuse", path=RECORDS, method="PUT", nth=(1, 2), header="absent"))
        assert world.run("engagement").sent == 2

    def test_a_column_that_caspio_refuses_is_named_and_the_others_go(self, world: World, told: Told) -> None:
        customers(world, 2)
        told.measures = {"c1": opened(START, 1, last_campaign_name="A"), "c2": opened(START, 5, last_campaign_name="B")}

        def drop() -> None:
            table = world.caspio._account.table("Customers")
            fields = [each for each in table.fields if each.name != "LastCampaign"]
            world.caspio._account.change_fields(table, fields, {each.name: each.name for each in fields})

        during_the_run(told, drop)
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


@pytest.mark.usefixtures("quick")
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


@pytest.mark.usefixtures("quick")
class TestCampaigns:
    STATS = RETURN + "campaign_stats: {table: CampaignStats, create: true}\n"

    def days(self, *opens: int) -> list[dict[str, Any]]:
        return [
            {
                "campaign_id": f"id{place}",
                "campaign_name": "News",
                "day": START.date(),
                "channel": "email",
                "sent": 100,
                "opens": each,
            }
            for place, each in enumerate(opens)
        ]

    def test_the_table_is_made_and_kept(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = self.days(3, 4)
        world.run("engagement")
        assert [(each["StatKey"], each["Opens"]) for each in world.caspio.rows("CampaignStats")] == [
            ("id0|2026-03-02|email", 3),
            ("id1|2026-03-02|email", 4),
        ]
        told.days = self.days(3, 9)
        report = world.run("engagement")
        assert report.writeback is not None
        assert (report.writeback.campaign_calls, report.writeback.campaign_days) == (1, 1)
        assert [each["Opens"] for each in world.caspio.rows("CampaignStats")] == [3, 9]

    def test_an_insert_whose_answer_is_lost_is_looked_up_first(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = self.days(1, 2, 3)
        path = "/integrations/rest/v3/tables/CampaignStats/records"
        world.break_caspio(Fault(kind="reset_after", path=path, method="POST", nth=(1, 3)))
        world.run("engagement")
        assert sorted(each["StatKey"] for each in world.caspio.rows("CampaignStats")) == [
            f"id{place}|2026-03-02|email" for place in range(3)
        ]

    def test_counts_that_fall_are_held(self, world: World, told: Told) -> None:
        customers(world, 1)
        world.sync(self.STATS, "engagement")
        told.days = self.days(5)
        world.run("engagement")
        told.days = self.days(4)
        assert "1 campaign days are held" in " ".join(world.run("engagement").notes)
        assert world.caspio.rows("CampaignStats")[0]["Opens"] == 5

    def test_a_table_that_nobody_asked_for_is_not_made(self, world: World, told: Told) -> None:
        told.days = self.days(5)
        customers(world, 1)
        world.sync(self.STATS.replace(", create: true", ""), "engagement")
        with pytest.raises(
            ConfigurationError, match=r"engagement.yaml:\d+: Caspio has no table CampaignStats; make it"
        ):
            world.run("engagement")


def test_a_run_that_cannot_be_asked_so_is_refused(world: World, told: Told, quick: None) -> None:
    customers(world, 1)
    with pytest.raises(ConfigurationError, match="without --baseline"):
        world.run("engagement", baseline=True)
    world.sync(RETURN.replace("profiles: customers", "profiles: engagement"), "engagement")
    with pytest.raises(ConfigurationError, match=r"engagement.yaml:\d+: 'engagement' is no profile sync of Customers"):
        world.run("engagement")


@pytest.mark.usefixtures("quick")
class TestPlan:
    def test_a_plan_writes_nothing_and_names_the_calls_that_a_run_makes(self, world: World, told: Told) -> None:
        customers(world, 60)
        world.sync(
            RETURN + 'campaign_stats: {table: CampaignStats, create: true}\nschedule: "0 5 * * *"\n', "engagement"
        )
        told.measures = {f"c{number}": opened(START, number) for number in range(1, 61)}
        told.says("c7", "unsubscribed")
        told.days = TestCampaigns().days(3)
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


def test_the_commands_know_the_kind(world: World, told: Told, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    from caspio_sync.cli.check import _examined
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
    findings = [each for examined in _examined("engagement", None) for each in examined.findings]
    assert [each.what for each in findings if each.level == "error"] == []


@pytest.mark.usefixtures("quick")
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
