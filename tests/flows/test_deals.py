"""Deals of ActiveCampaign: made once whatever happens, changed by their numbers, and gone with their person."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.deal_endpoint import MAKE as MAKE_DEAL
from caspio_sync.destinations.activecampaign.deal_endpoint import DealsEndpoint
from caspio_sync.engine.kind import kind_named
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sandbox.faults import Fault
from caspio_sync.schemas import CaspioField
from tests.flows.deal_orders import FIELDS, LOOSE, SYNC, account, address, buyers, change, order, orders, parts
from tests.flows.hooked import Hooked
from tests.flows.world import World

AN_HOUR = 3600.0
MAKE = "POST deals"
CONTACTS = """\
kind: profiles
destination: activecampaign
source: {table: People}
identity: {email: Email}
fields: {firstName: Name}
"""


def calls(world: World) -> dict[str, int]:
    return {name: number for name, number in world.activecampaign.calls.items() if number}


def later(world: World, seconds: float = AN_HOUR, **options: Any) -> dict[str, int]:
    world.clock.advance(seconds)
    world.activecampaign.calls.clear()
    verdicts: dict[str, int] = world.run("deals", **options).verdicts
    return verdicts


def reasons(world: World, verdict: str) -> str:
    with world.ledger() as ledger:
        return " ".join(ledger.quarantine("deals", [verdict], limit=100)["reason"])


def test_a_row_is_made_a_deal_and_a_change_travels_alone_by_its_number(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(1, Total=12.34, Note="fragile", Result="")])
    report = world.run("deals")
    assert (report.verdicts, report.data_points) == ({"sent": 1}, 0)
    deal = parts(world)["o1"]
    store = world.activecampaign.store
    contact, stages = store.by_email(address(1)), world.activecampaign.deals.stages
    assert contact is not None
    assert {name: deal[name] for name in ("contact", "value", "currency", "status")} == {
        "contact": contact.id,
        "value": "1234",
        "currency": "gbp",
        "status": "0",
    }
    assert (stages[deal["stage"]][1], world.activecampaign.deals.pipelines[deal["group"]]) == ("Placed", "Shop")
    assert deal["description"].startswith("fragile\n\n[caspio-sync ")
    change(world, "o1", State="shipped", Result="paid")
    assert later(world) == {"sent": 1}
    assert calls(world) == {"GET dealGroups": 1, "GET dealStages": 1, "PUT deals/*": 1}
    after = parts(world)["o1"]
    assert (stages[after["stage"]][1], after["status"]) == ("Shipped", "1")
    assert later(world, full=True) == {}
    assert len(world.activecampaign.deals.deals) == 1


def test_what_people_wrote_beside_a_mark_stays_and_a_description_is_emptied_without_it(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(1, Note="fragile")])
    world.run("deals")
    (deal,) = world.activecampaign.deals.deals.values()
    mark = deal.parts["description"].splitlines()[-1]
    change(world, "o1", Note="")
    later(world)
    assert deal.parts["description"] == mark
    deal.parts["description"] = f"Called twice. {mark}"
    change(world, "o1", Total=99)
    later(world)
    assert (deal.parts["description"], deal.parts["value"]) == (f"Called twice. {mark}", "9900")


def unknown(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["unknown", "deals", *arguments])


def test_what_is_in_doubt_is_listed_and_settled_by_the_next_run_alone(world: World) -> None:
    buyers(world, 2)
    pks = orders(world, [order(1), order(2)])
    world.break_activecampaign(Fault(kind="reset_after", path="/api/3/deals", nth=(1,)))
    world.run("deals")
    world.break_activecampaign()
    (told,) = orjson.loads(unknown("--json").stdout)
    assert (told["key"], told["source_pk"]) in [("o1", pks[0]), ("o2", pks[1])]
    assert "in doubt since" in unknown().stdout
    for word in ("--drop", "--resend"):
        done = unknown(word, "--all")
        assert isinstance(done.exception, ConfigurationError)
        assert "bears a mark" in str(done.exception)
    assert later(world, 10.0) == {"sent": 1}
    assert orjson.loads(unknown("--json").stdout) == []
    assert "nothing of deals is unknown" in unknown().stdout


@pytest.mark.parametrize(("path", "status"), [("/api/3/deals", 404), ("/api/3/deals", 422), ("/api/3/contacts", 422)])
def test_a_question_that_is_refused_says_nothing_of_the_deal(world: World, path: str, status: int) -> None:
    """Neither a verdict nor the end of a doubt: its contact has changed meanwhile, so that nothing else finds it."""
    buyers(world, 2)
    orders(world, [order(1)])
    world.break_activecampaign(Fault(kind="reset_after", path="/api/3/deals", method="POST", nth=(1,)))
    world.run("deals")
    change(world, "o1", Email=address(2))
    body = '{"message": "No Result found for Subscriber with id 1"}' if status == 404 else '{"errors": []}'
    world.break_activecampaign(Fault(kind="status", status=status, path=path, method="GET", body=body))
    world.clock.advance(AN_HOUR)
    world.ended("deals")
    world.break_activecampaign()
    found = path.endswith("contacts")  # its number is known then, and what follows is asked for once more
    assert len(orjson.loads(unknown("--json").stdout)) == (0 if found else 1)
    assert later(world) == {"sent": 1}
    assert len(world.activecampaign.deals.deals) == 1


def test_the_answer_of_a_deal_is_lost_and_it_is_not_made_twice(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1), order(2)])
    world.break_activecampaign(Fault(kind="reset_after", path="/api/3/deals", nth=(1,)))
    assert world.run("deals").verdicts == {"unknown": 1, "sent": 1}
    world.break_activecampaign()
    assert later(world, 10.0) == {"sent": 1}  # it is there: found at once
    assert MAKE not in calls(world)
    assert len(world.activecampaign.deals.deals) == 2


def test_what_did_not_arrive_is_made_once_nobody_can_be_late_any_more(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(1)])
    world.break_activecampaign(Fault(kind="status", status=502, path="/api/3/deals", nth=(1,)))
    assert world.run("deals").verdicts == {"unknown": 1}
    world.break_activecampaign()
    assert later(world, 10.0) == {"unknown": 1}
    assert MAKE not in calls(world)
    assert later(world, 400.0) == {"sent": 1}
    assert len(world.activecampaign.deals.deals) == 1


def test_a_contact_that_changed_meanwhile_makes_no_second_deal(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1)])
    world.break_activecampaign(Fault(kind="reset_after", path="/api/3/deals", nth=(1,)))
    world.run("deals")
    world.break_activecampaign()
    change(world, "o1", Email=address(2))
    assert later(world) == {"sent": 1}
    (deal,) = world.activecampaign.deals.deals.values()
    there = world.activecampaign.store.by_email(address(2))
    assert there is not None
    assert deal.parts["contact"] == there.id


def test_a_ledger_that_was_lost_makes_no_second_deal(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1), order(2)])
    world.run("deals")
    world.ledger_file.unlink()
    assert later(world, full=True) == {"sent": 2}
    assert MAKE not in calls(world)
    assert len(world.activecampaign.deals.deals) == 2


def test_a_table_that_was_filled_again_makes_no_second_deal(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1), order(2)])
    world.run("deals")
    world.caspio.delete_rows("Orders", "OrderNo<>''")
    world.caspio.insert_rows("Orders", [order(2, Total=77), order(1)])
    later(world, full=True)
    later(world, full=True)
    assert {title: each["value"] for title, each in parts(world).items()} == {"o1": "400", "o2": "7700"}
    assert len(world.activecampaign.deals.deals) == 2


def test_the_deals_of_one_contact_cost_its_two_questions_once(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(number, Email=address(1)) for number in range(1, 8)])
    assert world.run("deals").verdicts == {"sent": 7}
    assert {name: number for name, number in calls(world).items() if "contacts" in name or name == MAKE} == {
        "GET contacts": 1,
        "GET contacts/*/deals": 1,
        MAKE: 7,
    }


def test_a_contact_that_is_not_there_is_awaited_for_an_hour_and_then_told(world: World) -> None:
    orders(world, [order(1), order(2)])
    assert world.run("deals").verdicts == {"unknown": 2}
    assert "contact is not there yet" in reasons(world, "unknown")
    buyers(world, 1)
    assert later(world, 600.0) == {"sent": 1, "unknown": 1}
    assert later(world, AN_HOUR) == {"rejected": 1}
    assert "no contact has its address" in reasons(world, "rejected")
    assert later(world) == {}
    buyers(world, 2, 2)
    change(world, "o2", Note="now")
    assert later(world) == {"sent": 1}


def test_many_without_a_contact_are_their_own_verdicts_and_end_no_run(world: World) -> None:
    orders(world, [order(number) for number in range(1, 31)])
    world.run("deals")
    ended = world.ended("deals")
    assert ended.code == 0
    assert later(world, 2 * AN_HOUR) == {"rejected": 30}


@pytest.mark.parametrize("missing_deal_status", [404, 403])
def test_a_deal_that_was_deleted_there_is_told_and_made_anew_when_a_person_says_so(
    world: World, missing_deal_status: int
) -> None:
    account(world, missing_deal_status=missing_deal_status)
    buyers(world, 1)
    orders(world, [order(1)])
    world.run("deals")
    world.activecampaign.deals.deals.clear()
    change(world, "o1", Total=5)
    assert later(world) == {"rejected": 1}
    assert "was deleted in ActiveCampaign" in reasons(world, "rejected")
    assert later(world, full=True) == {}
    assert CliRunner().invoke(app, ["quarantine", "release", "deals", "--all", "--verdict", "rejected"]).exit_code == 0
    assert parts(world)["o1"] | {"description": ""} == parts(world)["o1"] | {"value": "500", "description": ""}


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"State": ""}, "stage_present"),
        ({"Email": ""}, "contact_present"),
        ({"Email": "nobody"}, "email_format"),
        ({"OrderNo": "x", "Total": -1}, "value_present"),
        ({"Total": 1.005}, "value_in_cents"),
        ({"Result": "perhaps"}, "status_known"),
    ],
)
def test_what_can_be_no_deal_is_held(world: World, more: dict[str, Any], rule: str) -> None:
    buyers(world, 2)
    orders(world, [order(1, **more), order(2)])
    assert world.run("deals").verdicts == {"quarantined": 1, "sent": 1}
    assert rule in reasons(world, "quarantined")
    assert len(world.activecampaign.deals.deals) == 1


def test_two_rows_of_one_key_are_one_deal(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1), order(2, OrderNo="o1")])
    assert world.run("deals").verdicts == {"quarantined": 1, "sent": 1}


def test_a_stage_that_is_not_of_its_pipeline_is_the_rows_own_verdict(world: World) -> None:
    buyers(world, 2)
    text = SYNC.replace("{from: State, map: {placed: Placed, shipped: Shipped}}", "State") + LOOSE
    orders(world, [order(1, State="Placed"), order(2, State="Thrown away")], text)
    assert world.run("deals").verdicts == {"sent": 1, "rejected": 1}
    assert "'Shop' has no stage of this title; there are: 'Placed'" in reasons(world, "rejected")
    assert "Thrown" not in reasons(world, "rejected")  # what a row says is nobody's business


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SYNC.replace("constant: Shop", "constant: Gone"), "'Gone': ActiveCampaign has no pipeline of this title"),
        (SYNC.replace("shipped: Shipped", "shipped: Away"), "'Away': the pipeline 'Shop' has no stage of this title"),
        (SYNC + "fields: {Due date: Due}\n", "lacks what the mapping needs (make the deal field Due date (datetime))"),
    ],
)
def test_what_is_not_there_is_told_by_check_and_ends_a_run_before_anything_is_sent(
    world: World, text: str, said: str
) -> None:
    buyers(world, 1)
    orders(world, [order(1)], text + LOOSE)
    checked = CliRunner().invoke(app, ["check", "deals"])
    assert (checked.exit_code, said in " ".join(checked.output.split())) == (2, True)
    ended = world.ended("deals")
    assert ended.code == 2
    assert said in ended.message
    assert world.activecampaign.deals.deals == {}


def test_a_pipeline_that_is_deleted_ends_the_next_run(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1)])
    world.run("deals")
    world.activecampaign.deals.pipelines.clear()
    world.caspio.insert_rows("Orders", [order(2)])
    world.clock.advance(AN_HOUR)
    ended = world.ended("deals")
    assert (ended.code, "'Shop': ActiveCampaign has no pipeline of this title" in ended.message) == (2, True)


@pytest.mark.parametrize(("auto_assign", "code"), [("0", 2), ("1", 0), ("2", 0)])
def test_a_deal_needs_an_owner_where_its_pipeline_gives_none(world: World, auto_assign: str, code: int) -> None:
    account(world, auto_assign=auto_assign)
    buyers(world, 1)
    orders(world, [order(1)])
    ended = world.ended("deals")
    assert (ended.code, "deal_owner" in ended.message) == (code, code == 2)
    world.sync(SYNC + "deal_owner: {constant: 2}\n" + LOOSE, "deals")
    assert later(world, full=True) == {"sent": 1}
    assert parts(world)["o1"]["owner"] == "2"


@pytest.mark.parametrize("deal_refusal", ["items", "empty"])
def test_a_refused_deal_is_rejected_and_corrected_by_its_row(world: World, deal_refusal: str) -> None:
    account(world, deal_refusal=deal_refusal)
    buyers(world, 2)
    orders(world, [order(1), order(2)], SYNC + "deal_owner: {from: Note}\n" + LOOSE)
    change(world, "o1", Note="77")
    change(world, "o2", Note="1")
    assert world.run("deals").verdicts == {"sent": 1, "rejected": 1}
    change(world, "o1", Note="2")
    assert later(world) == {"sent": 1}
    assert len(world.activecampaign.deals.deals) == 2


def test_fields_of_deals_are_made_and_written(world: World) -> None:
    buyers(world, 1)
    text = SYNC + "fields: {Due date: {from: Due, type: date}, Paid: Result}\noptions: {create: true}\n" + LOOSE
    orders(world, [order(1, Result="paid")], text)
    assert world.plan("deals").first == ["make the deal field Due date (date)", "make the deal field Paid (text)"]
    assert world.run("deals").verdicts == {"sent": 1}
    deals = world.activecampaign.deals
    (deal,) = deals.deals.values()
    assert {deals.fields[number]: value for number, value in deal.fields.items()} == {
        ("Due date", "date"): "2026-03-05",
        ("Paid", "text"): "paid",
    }


@pytest.mark.parametrize(
    ("kind", "mapping", "said"),
    [
        ("currency", "Total", "holds money"),
        ("date", "Note", "holds a date"),
        ("multiselect", "Note", "is of type multiselect"),
    ],
)
def test_a_field_of_another_kind_ends_a_run_before_anything_is_sent(
    world: World, kind: str, mapping: str, said: str
) -> None:
    world.activecampaign.deals.fields["81"] = ("Own", kind)
    buyers(world, 1)
    orders(world, [order(1)], SYNC + f"fields: {{Own: {mapping}}}\n" + LOOSE)
    ended = world.ended("deals")
    assert (ended.code, said in ended.message) == (2, True)
    assert world.activecampaign.deals.deals == {}


def test_a_batch_that_is_broken_off_while_a_deal_is_made_makes_no_second_one(world: World) -> None:
    """The same run sends it once more: the deals of its contact were read before it may have been made."""
    buyers(world, 1)
    body = {"key": "o1", "contact": address(1), "title": "o1", "value": 1, "currency": "gbp"}
    deal = {**body, "_awaits_contact": True, "pipeline": "Shop"}
    request = Request(1, 0, 1, MAKE_DEAL.wrap([orjson.dumps(deal)]), MAKE_DEAL)
    sound = world.activecampaign.app
    begun = asyncio.Event()

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        await sound(scope, receive, send)
        if scope["method"] == "POST":
            begun.set()
            await asyncio.Event().wait()

    async def broken_off() -> list[str]:
        account = ActiveCampaignAccount(
            address="http://activecampaign.test",
            key=SecretStr("sandbox-activecampaign-key"),
            clock=world.clock,
            transport=lambda: httpx.ASGITransport(hanging),
        )
        async with account:
            endpoint = DealsEndpoint(account, "Orders")
            first = asyncio.create_task(endpoint.deliver(request, seconds=60))
            await begun.wait()
            first.cancel()
            return [(await endpoint.deliver(request, seconds=60)).unsettled for _ in range(2)]

    assert all("broken off" in each for each in asyncio.run(broken_off()))
    assert len(world.activecampaign.deals.deals) == 1


def test_a_plan_tells_calls_and_time_and_makes_nothing(world: World) -> None:
    buyers(world, 2)
    orders(world, [order(1), order(2)])
    plan = world.plan("deals", show=1)
    assert (plan.to_send, plan.calls) == (2, 6)
    assert plan.seconds == pytest.approx(1.5)
    assert plan.samples[0] == {
        "key": "o1",
        "_awaits_contact": True,
        "contact": address(1),
        "title": "o1",
        "value": 400,
        "currency": "gbp",
        "pipeline": "Shop",
        "stage": "Placed",
    }
    assert world.activecampaign.deals.deals == {}
    with world.ledger() as ledger:
        assert ledger.deals("deals", order_keys()).is_empty()


def order_keys() -> Any:
    import polars as pl

    return pl.Series(["o1", "o2"])


def test_verify_tells_what_was_changed_deleted_and_made_twice(world: World) -> None:
    buyers(world, 4)
    orders(world, [order(number) for number in range(1, 5)])
    world.run("deals")
    deals = world.activecampaign.deals.deals
    first, second, third, _ = list(deals)
    deals[first].parts["value"] = "1"
    del deals[second]
    deals["99999"] = deals[third]
    world.clock.advance(AN_HOUR)
    told = " ".join(CliRunner().invoke(app, ["verify", "deals"]).output.split())
    assert [each in told for each in ("equal 1", "ambiguous 1", "no deal 1", "value 1")] == [True] * 4, told
    assert later(world) == {"sent": 1, "rejected": 1}  # what drifted is written; what was deleted is told
    assert deals[first].parts["value"] != "1"


def test_an_announced_order_is_a_deal_and_an_announced_change_changes_it(world: World) -> None:
    hooked, sheet = Hooked(world), world.caspio.datasheet
    buyers(world, 2)
    orders(world, [order(1)])
    hooked.hook("Orders", "deals")
    world.run("deals")
    world.clock.advance(AN_HOUR)
    sheet.insert("Orders", order(2))
    sheet.update("Orders", {"State": "shipped"}, "PK_ID = 1")
    hooked.deliver()
    began = world.clock.monotonic()
    assert world.run("deals", hints=True).verdicts == {"sent": 2}
    assert world.clock.monotonic() - began < 10
    stages = world.activecampaign.deals.stages
    assert {title: stages[each["stage"]][1] for title, each in parts(world).items()} == {
        "o1": "Shipped",
        "o2": "Placed",
    }
    assert later(world, full=True) == {}


def test_baseline_is_refused(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(1)])
    ended = world.ended("deals", baseline=True)
    assert (ended.code, "--baseline" in ended.message) == (2, True)


def people(world: World) -> None:
    world.caspio.create_table("People", [{"Name": "Email", "Type": "STRING"}, {"Name": "Name", "Type": "STRING"}])
    world.caspio.insert_rows("People", [{"Email": address(number), "Name": f"N{number}"} for number in (1, 2)])
    world.sync(CONTACTS, "contacts")
    world.run("contacts")


@pytest.mark.parametrize("deals_of_deleted", ["stay", "gone"])
def test_the_deals_of_an_erased_person_go_with_the_person_and_do_not_come_back(
    world: World, deals_of_deleted: str
) -> None:
    account(world, deals_of_deleted=deals_of_deleted)
    people(world)
    orders(world, [order(1), order(2), order(3, Email=address(1))])
    assert world.run("deals").verdicts == {"sent": 3}
    world.clock.advance(AN_HOUR)
    erased = CliRunner().invoke(app, ["erase", "contacts", address(1), "--yes"])
    assert erased.exit_code == 0, erased.output
    assert list(parts(world)) == ["o2"]
    with world.ledger() as ledger:
        assert ledger.read_rows("deals", 0, 100)["key"].to_list() == ["o2"]
    buyers(world, 1)  # by hand, or by another integration
    change(world, "o1", Total=1)
    assert later(world, full=True) == {"blocked": 2}
    assert later(world, full=True) == {}
    assert list(parts(world)) == ["o2"]


def test_a_key_that_may_not_read_deals_erases_and_says_that_nothing_of_them_is_proven(world: World) -> None:
    people(world)
    sound = world.activecampaign.app

    async def forbidding(scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].endswith("/deals"):
            await sound(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"message":"Forbidden"}'})

    world.activecampaign.app = forbidding  # type: ignore[method-assign]
    world.clock.advance(AN_HOUR)
    assert CliRunner().invoke(app, ["erase", "contacts", address(1), "--yes"]).exit_code == 0
    assert world.activecampaign.store.by_email(address(1)) is None
    assert "not proven: the key may not read deals" in CliRunner().invoke(app, ["audit", "export"]).output


@pytest.mark.parametrize("more", [["--yes"], ["--dry-run"], ["--release"]])
def test_nobody_is_erased_by_the_number_of_a_deal(world: World, more: list[str]) -> None:
    buyers(world, 1)
    orders(world, [order(1)])
    world.run("deals")
    refused = CliRunner().invoke(app, ["erase", "deals", "o1", *more])
    assert (refused.exit_code, type(refused.exception)) == (1, ConfigurationError)
    assert "name no people" in str(refused.exception)
    assert list(parts(world)) == ["o1"]


def test_deals_that_others_made_are_left_and_told(world: World) -> None:
    people(world)
    orders(world, [order(1)])
    world.run("deals")
    deals = world.activecampaign.deals
    (ours,) = deals.deals.values()
    deals.deals["5"] = type(ours)("5", ours.parts | {"description": "by hand"})
    world.clock.advance(AN_HOUR)
    CliRunner().invoke(app, ["erase", "contacts", address(1), "--yes"])
    assert list(deals.deals) == ["5"]
    trail = CliRunner().invoke(app, ["audit", "export"]).output
    assert '"deals":1,"deals_left":1' in trail.replace(" ", "")


@pytest.mark.parametrize("arrived", [True, False])
def test_a_run_that_dies_while_a_deal_is_made_leaves_no_second_one(world: World, arrived: bool) -> None:
    """Whether it was made before the run died or not: the next run looks, and waits where it cannot tell."""
    buyers(world, 2)
    orders(world, [order(1), order(2)])
    sound = world.activecampaign.app

    async def dying(scope: Any, receive: Any, send: Any) -> None:
        if (scope["method"], scope["path"]) != ("POST", "/api/3/deals"):
            await sound(scope, receive, send)
            return
        if arrived:
            await sound(scope, receive, nobody)
        raise RuntimeError("the run ends here")

    async def nobody(_: Any) -> None:
        pass

    world.activecampaign.app = dying  # type: ignore[method-assign]
    assert world.ended("deals").code == 1
    world.activecampaign.app = sound  # type: ignore[method-assign]
    first = later(world, 20.0)
    assert first.get("sent", 0) == (len(world.activecampaign.deals.deals) if arrived else 0)
    later(world, 400.0)
    assert world.verdicts("deals") == {"sent": 2}
    assert sorted(parts(world)) == ["o1", "o2"]
    assert len(world.activecampaign.deals.deals) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SYNC.replace("paid: won", "paid: gained"), "status.map.paid: 'gained' is no state of a deal; write open, won"),
        (SYNC + "fields: {title: Note}\n", "fields.title: 'title' is a part of the deal itself"),
        (SYNC.replace("value: Total\n", ""), "value"),
        (SYNC.replace("destination: activecampaign\n", ""), "takes no sync of kind 'deals'"),
        (SYNC.replace("destination: activecampaign", "destination:"), "destination"),
        (SYNC.replace("destination: activecampaign", "destination: [braze]"), "destination"),
    ],
)
def test_what_is_not_taken_is_told_with_the_file(world: World, text: str, said: str) -> None:
    path = world.sync(text, "deals")
    with pytest.raises(ConfigurationError) as error:
        parse_sync(text, path)
    assert said in str(error.value)
    assert "deals.yaml" in str(error.value)


def test_a_proposal_is_a_file_that_reads(world: World) -> None:
    fields = [CaspioField(str(each["Name"]), str(each["Type"])) for each in FIELDS]
    text = kind_named("deals").propose("deals", "Orders", fields, destination="activecampaign")
    sync = parse_sync(text, world.folder / "syncs" / "deals.yaml")
    assert (sync.identity.source_field, vars(sync)["value"].source_field) == ("OrderNo", "Total")


def test_two_syncs_of_one_table_share_its_deals(world: World) -> None:
    one = parse_sync(SYNC, world.folder / "syncs" / "deals.yaml")
    other = parse_sync(SYNC.replace("Shop", "Wholesale"), world.folder / "syncs" / "others.yaml")
    assert one.shared(other) == ["deals of the rows of Orders"]


def test_why_tells_of_a_deal(world: World) -> None:
    buyers(world, 1)
    orders(world, [order(1, Total=-1)])
    world.run("deals")
    told = " ".join(CliRunner().invoke(app, ["why", "deals", "o1"]).output.split())
    assert "value_present" in told or "value of nothing or more" in told
