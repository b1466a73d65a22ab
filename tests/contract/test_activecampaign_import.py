"""ActiveCampaign, sections 6 and 7: imports, their own limits, how they end, and the tags that they make."""

from typing import Any

import pytest

from tests.contract.conftest import MailAccount


def people(count: int) -> list[dict[str, Any]]:
    return [{"email": f"c{number}@example.com"} for number in range(count)]


def test_an_import_is_queued_and_settled_later() -> None:
    account = MailAccount(import_seconds=5)
    field = account.field()
    known = account.contact_id("c0@example.com")
    rows = [{**each, "first_name": "Ann", "fields": [{"id": int(field), "value": "Gold"}]} for each in people(2)]
    answer = account.queue(*rows)
    assert (answer.status_code, answer.json()["Success"], answer.json()["queued_contacts"]) == (200, 1, 2)
    batch = answer.json()["batchId"]
    assert account.info(batch)["status"] == "waiting"
    account.clock.advance(5)
    told = account.info(batch)
    assert (told["status"], told["success"][0], told["failure"]) == ("completed", known, [])
    assert account.sandbox.contacts()["c1@example.com"]["fields"] == {"Level": "Gold"}
    assert account.call("GET", "/import/info").json()["message"] == "'batchId' is a required field."


def test_the_order_of_success_means_nothing() -> None:
    orders = []
    for import_order in ("input", "reversed"):
        account = MailAccount(import_order=import_order)
        orders.append(account.info(account.queue(*people(3)).json()["batchId"])["success"])
    assert orders[0] == orders[1][::-1]


@pytest.mark.parametrize(("import_ends", "status"), [("never", "active"), ("failed", "failed")])
def test_a_job_may_be_lost(import_ends: str, status: str) -> None:
    account = MailAccount(import_ends=import_ends)
    assert account.info(account.queue(*people(2)).json()["batchId"])["status"] == status
    assert account.sandbox.contacts() == {}


@pytest.mark.parametrize("import_index", [0, 1])
def test_one_bad_contact_refuses_all_of_them(import_index: int) -> None:
    account = MailAccount(import_index=import_index)
    answer = account.queue(*people(2), {"email": "nobody"})
    (reason,) = answer.json()["failureReasons"]
    assert (answer.status_code, reason["contact"]) == (400, 2 + import_index)
    assert account.sandbox.contacts() == {}


def test_an_import_is_bounded_in_contacts_and_bytes() -> None:
    account = MailAccount(import_bytes=10_000)
    assert account.queue(*people(251)).status_code == 400
    assert account.queue({"email": "a@example.com", "first_name": "x" * 10_000}).status_code == 400
    assert MailAccount().queue(*people(250)).status_code == 200


def test_too_many_imports_are_refused_with_400() -> None:
    account = MailAccount(imports_a_minute=2, single_imports_a_minute=1)
    answers = [account.queue(*people(2)) for _ in range(3)] + [account.queue(*people(1)) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200, 400, 200, 400]
    assert (answers[2].json()["message"], type(answers[2].json()["failureReasons"][0])) == ("Rate limit exceeded.", str)
    account.clock.advance(60)
    assert account.queue(*people(2)).status_code == 200


def test_an_import_never_subscribes_again_who_has_left() -> None:
    account = MailAccount()
    account.contact_id("c0@example.com")
    account.sandbox.set_status("c0@example.com", "Newsletter", "2")
    account.queue(*({**each, "subscribe": [{"listid": 11}]} for each in people(2)))
    account.queue({"email": "c1@example.com", "unsubscribe": [{"listid": 12}]})
    held = {email: each["lists"] for email, each in account.sandbox.contacts().items()}
    assert held == {"c0@example.com": {"Newsletter": "2"}, "c1@example.com": {"Newsletter": "1", "Offers": "2"}}


def test_who_is_excluded_is_skipped() -> None:
    account = MailAccount(excluded=frozenset({"c1@example.com"}))
    told = account.info(account.queue(*people(2)).json()["batchId"])
    assert (len(told["success"]), told["failure"]) == (1, ["c1@example.com"])


def test_tags_are_made_and_applied_once() -> None:
    account = MailAccount()
    for _ in range(2):
        account.queue({"email": "a@example.com", "tags": ["VIP", "VIP"]})
        account.sandbox.settle()
    assert account.sandbox.contacts()["a@example.com"]["tags"] == ["VIP"]


def test_automations_run_unless_they_are_excluded() -> None:
    account = MailAccount()
    account.queue({"email": "a@example.com"}, exclude_automations=True)
    account.queue({"email": "b@example.com"})
    assert {email: each["automations"] for email, each in account.sandbox.contacts().items()} == {
        "a@example.com": 0,
        "b@example.com": 1,
    }
