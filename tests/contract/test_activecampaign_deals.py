"""ActiveCampaign, section 12: deals, pipelines, stages, fields of deals; section 16: what becomes of them."""

from typing import Any

import httpx
import pytest

from tests.contract.conftest import MailAccount


def listed(account: MailAccount, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = account.call("GET", path).json()[path.rsplit("/", 1)[-1]]
    return rows


def place(account: MailAccount, pipeline: str = "Shop", stage: str = "Placed") -> tuple[str, str]:
    group = next(each["id"] for each in listed(account, "/dealGroups") if each["title"] == pipeline)
    stages = [each for each in listed(account, "/dealStages") if each["group"] == group]
    return group, next(each["id"] for each in stages if each["title"] == stage)


def deal(account: MailAccount, **more: Any) -> httpx.Response:
    group, _ = place(account)
    sound = {"title": "Renewal", "contact": account.contact_id("ann@example.com"), "value": 129900, "currency": "eur"}
    given = {**sound, "group": group, "owner": "1", **more}
    return account.call("POST", "/deals", json={"deal": {name: each for name, each in given.items() if each != ""}})


def test_a_deal_is_made_each_time_and_read_as_text() -> None:
    account = MailAccount()
    made = deal(account, description="by phone")
    assert made.status_code == 201
    told = made.json()["deal"]
    assert (told["value"], told["status"], told["currency"]) == ("129900", "0", "eur")
    assert told["stage"] == place(account)[1]  # the first of its pipeline
    assert account.call("GET", f"/deals/{told['id']}").json()["deal"]["description"] == "by phone"
    assert deal(account).json()["deal"]["id"] != told["id"]
    assert [each["title"] for each in listed(account, "/deals")] == ["Renewal", "Renewal"]


def test_a_contact_has_its_deals() -> None:
    account = MailAccount()
    number = deal(account).json()["deal"]["id"]
    other = account.contact_id("bob@example.com")
    assert listed(account, f"/contacts/{other}/deals") == []
    account.call("PUT", f"/deals/{number}", json={"deal": {"contact": other}})
    assert [each["id"] for each in listed(account, f"/contacts/{other}/deals")] == [number]
    assert account.call("GET", "/contacts/7/deals").status_code == 404


def test_a_change_is_of_what_is_named() -> None:
    account = MailAccount()
    number = deal(account).json()["deal"]["id"]
    _, shipped = place(account, stage="Shipped")
    told = account.call("PUT", f"/deals/{number}", json={"deal": {"stage": shipped, "status": 1}}).json()["deal"]
    assert (told["stage"], told["status"], told["title"], told["value"]) == (shipped, "1", "Renewal", "129900")
    _, elsewhere = place(account, "Wholesale", "Offered")
    assert account.call("PUT", f"/deals/{number}", json={"deal": {"stage": elsewhere}}).status_code == 422
    assert account.call("DELETE", f"/deals/{number}").json() == {}
    assert account.call("GET", f"/deals/{number}").status_code == 404


@pytest.mark.parametrize(("deal_refusal", "status"), [("items", 422), ("empty", 400)])
@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"contact": ""},
        {"contact": "7"},
        {"value": ""},
        {"value": -1},
        {"value": "12.50"},
        {"currency": "EUR"},
        {"currency": ""},
        {"group": ""},
        {"group": "999"},
        {"stage": "999"},
        {"owner": "999"},
        {"status": 3},
    ],
)
def test_what_is_wrong_is_refused_in_each_way(deal_refusal: str, status: int, wrong: dict[str, Any]) -> None:
    account = MailAccount(deal_refusal=deal_refusal)
    assert deal(account, **wrong).status_code == status
    assert listed(account, "/deals") == []


@pytest.mark.parametrize(("auto_assign", "status"), [("0", 422), ("1", 201), ("2", 201)])
def test_a_pipeline_assigns_an_owner_or_not(auto_assign: str, status: int) -> None:
    account = MailAccount(auto_assign=auto_assign)
    assert deal(account, owner="").status_code == status
    assert {each["autoassign"] for each in listed(account, "/dealGroups")} == {auto_assign}


@pytest.mark.parametrize("missing_deal_status", [404, 403])
def test_a_deal_that_is_missing_is_told_in_each_way(missing_deal_status: int) -> None:
    answer = MailAccount(missing_deal_status=missing_deal_status).call("PUT", "/deals/5", json={"deal": {"title": "x"}})
    assert (answer.status_code, answer.json()) == (
        missing_deal_status,
        {"message": "No Result found for Deal with id 5"},
    )


@pytest.mark.parametrize(("deals_of_deleted", "left"), [("stay", 1), ("gone", 0)])
def test_the_deals_of_a_deleted_contact_stay_or_go(deals_of_deleted: str, left: int) -> None:
    account = MailAccount(deals_of_deleted=deals_of_deleted)
    deal(account)
    account.call("DELETE", f"/contacts/{account.contact_id('ann@example.com')}")
    assert len(listed(account, "/deals")) == left


def test_pipelines_and_stages_are_made_listed_and_deleted() -> None:
    account = MailAccount(pipelines={"Only": ("First",)})
    assert [each["title"] for each in listed(account, "/dealGroups")] == ["Only"]
    made = account.call("POST", "/dealGroups", json={"dealGroup": {"title": "Sales", "currency": "eur"}})
    group = made.json()["dealGroup"]["id"]
    stage = account.call("POST", "/dealStages", json={"dealStage": {"title": "Asked", "group": group}})
    assert (made.status_code, stage.status_code) == (200, 200)
    found = account.call("GET", "/dealStages", params={"filters[d_groupid]": group}).json()["dealStages"]
    assert [each["title"] for each in found] == ["Asked"]
    assert [each["title"] for each in account.call("GET", "/dealGroups").json()["dealStages"]] == ["First", "Asked"]
    account.call("DELETE", f"/dealGroups/{group}")
    assert [each["title"] for each in listed(account, "/dealStages")] == ["First"]
    assert account.call("DELETE", f"/dealGroups/{group}").status_code == 404


def test_fields_of_deals_are_made_and_hold_what_is_of_their_type() -> None:
    account = MailAccount()
    body = {"dealCustomFieldMetum": {"fieldLabel": "Due", "fieldType": "date"}}
    number = account.call("POST", "/dealCustomFieldMeta", json=body).json()["dealCustomFieldMetum"]["id"]
    assert [each["fieldLabel"] for each in listed(account, "/dealCustomFieldMeta")] == ["Due"]
    assert deal(account, fields=[{"customFieldId": int(number), "fieldValue": "2026-03-05"}]).status_code == 201
    refused = deal(account, fields=[{"customFieldId": int(number), "fieldValue": "abc"}])
    assert refused.status_code == 422
    assert "could not be saved to the custom field of type `date`" in refused.json()["errors"][0]["detail"]
    wrong = {"dealCustomFieldMetum": {"fieldLabel": "Due", "fieldType": "colour"}}
    assert account.call("POST", "/dealCustomFieldMeta", json=wrong).status_code == 422
