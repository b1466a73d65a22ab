"""ActiveCampaign, section 9: automations, who is enrolled, and what refuses it."""

from typing import Any

import httpx
import pytest

from tests.contract.conftest import MailAccount


def enrol(account: MailAccount, contact: str, automation: str) -> httpx.Response:
    body = {"contactAutomation": {"contact": contact, "automation": automation}}
    return account.call("POST", "/contactAutomations", json=body)


def rows(account: MailAccount, contact: str) -> Any:
    return account.call("GET", f"/contacts/{contact}/contactAutomations").json()["contactAutomations"]


@pytest.mark.parametrize("inactive_status", ["2", "0"])
def test_automations_are_listed_whether_they_run_or_not(inactive_status: str) -> None:
    account = MailAccount(
        automations={"31": "One", "32": "Two"},
        inactive_automations=frozenset({"32"}),
        inactive_status=inactive_status,
    )
    told = account.call("GET", "/automations").json()
    assert [(each["id"], each["name"], each["status"]) for each in told["automations"]] == [
        ("31", "One", "1"),
        ("32", "Two", inactive_status),
    ]
    assert told["meta"]["total"] == "2"
    number = account.contact_id("a@example.com")
    assert [enrol(account, number, each).status_code for each in ("31", "32")] == [201, 403]
    assert account.sandbox.enrolments() == {"a@example.com": {"One": 1}}
    assert [each["entered"] for each in account.call("GET", "/automations").json()["automations"]] == ["1", "0"]


def test_an_enrolment_is_a_row_of_its_own() -> None:
    account = MailAccount()
    number = account.contact_id("a@example.com")
    answer = enrol(account, number, "21")
    made = answer.json()["contactAutomation"]
    assert (answer.status_code, made["contact"], made["automation"], made["seriesid"]) == (201, number, "21", "21")
    assert len({made["id"], number, "21"}) == 3  # sequences begin apart
    assert rows(account, number) == [made]
    assert account.call("GET", f"/contacts/{number}").json()["contactAutomations"] == [made]  # side-loaded
    assert account.call("GET", "/contactAutomations").json()["contactAutomations"] == [made]


@pytest.mark.parametrize(("multientry", "status", "times"), [(False, 403, 1), (True, 201, 2)])
def test_who_was_in_it_may_enter_it_again_or_not(multientry: bool, status: int, times: int) -> None:
    account = MailAccount(multientry=multientry)
    number = account.contact_id("a@example.com")
    assert [enrol(account, number, "21").status_code for _ in range(2)] == [201, status]
    assert account.sandbox.enrolments() == {"a@example.com": {"Welcome": times}}
    (count,) = account.call("GET", f"/contacts/{number}/automationEntryCounts").json()["automationEntryCounts"]
    assert (count["id"], count["name"], count["contactEntryCount"]) == ("21", "Welcome", str(times))


def test_every_refusal_says_the_same() -> None:
    account = MailAccount()
    number = account.contact_id("a@example.com")
    for contact, automation in ((number, "99"), ("99", "21"), ("", "")):
        answer = enrol(account, contact, automation)
        assert (answer.status_code, answer.json()) == (403, {"message": "Could not create SubscriberSeries"})
    assert account.sandbox.enrolments() == {}


def test_who_is_taken_out_was_in_it_all_the_same() -> None:
    account = MailAccount()
    number = account.contact_id("a@example.com")
    row = enrol(account, number, "21").json()["contactAutomation"]["id"]
    assert account.call("DELETE", f"/contactAutomations/{row}").json() == {}
    again = account.call("DELETE", f"/contactAutomations/{row}")
    assert (again.status_code, again.json()["message"]) == (403, f"No Result found for SubscriberSeries with id {row}")
    assert rows(account, number) == []
    assert enrol(account, number, "21").status_code == 403
    (count,) = account.call("GET", f"/contacts/{number}/automationEntryCounts").json()["automationEntryCounts"]
    assert count["contactEntryCount"] == "1"


def test_who_is_deleted_and_made_anew_was_in_none() -> None:
    account = MailAccount()
    number = account.contact_id("a@example.com")
    enrol(account, number, "21")
    account.call("DELETE", f"/contacts/{number}")
    assert account.call("GET", "/contactAutomations").json()["contactAutomations"] == []
    assert account.call("GET", f"/contacts/{number}/contactAutomations").status_code == 404
    assert account.call("GET", f"/contacts/{number}/automationEntryCounts").status_code == 404
    assert enrol(account, account.contact_id("a@example.com"), "21").status_code == 201
