"""ActiveCampaign, sections 4, 5, 8 and 16: contacts, custom fields and their values, lists, deleting."""

from typing import Any

import pytest

from tests.contract.conftest import MailAccount


def test_sync_makes_and_changes_by_the_address_without_case_and_blanks() -> None:
    account = MailAccount()
    made = account.sync("Ann@Example.com ", firstName="Ann", phone="+1")
    assert (made.status_code, made.json()["contact"]["email"]) == (201, "ann@example.com")
    changed = account.sync("ann@example.com", firstName="Anna")
    assert (changed.status_code, changed.json()["contact"]["id"]) == (200, made.json()["contact"]["id"])
    assert account.sandbox.contacts()["ann@example.com"]["phone"] == "+1"  # what is not named stays


def test_a_change_may_be_answered_201_as_well() -> None:
    account = MailAccount(updated_status=201)
    assert {account.sync("a@example.com").status_code for _ in range(2)} == {201}


@pytest.mark.parametrize("bad_email_status", [422, 400])
def test_an_address_that_is_none_is_refused(bad_email_status: int) -> None:
    answer = MailAccount(bad_email_status=bad_email_status).sync("nobody")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (bad_email_status, "email_invalid")
    assert error["source"] == {"pointer": "/data/attributes/email"}


def test_creating_a_known_address_is_a_duplicate() -> None:
    account = MailAccount()
    answers = [account.call("POST", "/contacts", json={"contact": {"email": "a@example.com"}}) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 422]
    assert answers[1].json()["errors"][0]["code"] == "duplicate"


def test_an_address_changes_by_id_and_never_to_one_that_is_taken() -> None:
    account = MailAccount()
    first, second = account.contact_id("a@example.com"), account.contact_id("b@example.com")
    taken = account.call("PUT", f"/contacts/{first}", json={"contact": {"email": "B@example.com"}})
    assert (taken.status_code, taken.json()["errors"][0]["code"]) == (422, "duplicate")
    assert account.call("PUT", f"/contacts/{first}", json={"contact": {"email": "c@example.com"}}).status_code == 200
    assert {key: each["id"] for key, each in account.sandbox.contacts().items()} == {
        "c@example.com": first,
        "b@example.com": second,
    }


@pytest.mark.parametrize(("no_match", "status"), [("empty", 200), ("missing", 404)])
def test_a_search_that_finds_nobody(no_match: str, status: int) -> None:
    answer = MailAccount(no_match=no_match).call("GET", "/contacts", params={"email": "nobody@example.com"})
    assert (answer.status_code, answer.json().get("contacts")) == (status, [] if status == 200 else None)


@pytest.mark.parametrize("empty_clears", [True, False])
def test_an_empty_text_clears_or_is_ignored(empty_clears: bool) -> None:
    account = MailAccount(empty_clears=empty_clears)
    field = account.field()
    account.sync("a@example.com", firstName="Ann", fieldValues=[{"field": field, "value": "Gold"}])
    account.sync("a@example.com", firstName="", fieldValues=[{"field": field, "value": ""}])
    held = account.sandbox.contacts()["a@example.com"]
    assert (held.get("firstName"), held["fields"]) == ((None, {}) if empty_clears else ("Ann", {"Level": "Gold"}))


def test_a_contact_is_read_with_what_hangs_on_it() -> None:
    account = MailAccount()
    field = account.field()
    number = account.sync("a@example.com", fieldValues=[{"field": field, "value": "||Yoga||"}]).json()["contact"]["id"]
    account.call("POST", "/contactLists", json={"contactList": {"list": "11", "contact": number, "status": "1"}})
    told = account.call("GET", f"/contacts/{number}").json()
    assert [(each["field"], each["value"]) for each in told["fieldValues"]] == [(field, "||Yoga||")]  # as it was sent
    assert [(each["list"], each["status"]) for each in told["contactLists"]] == [("11", "1")]
    assert len({number, field, "11", told["contactLists"][0]["id"]}) == 4  # sequences begin apart


@pytest.mark.parametrize("made_field", ["object", "list"])
def test_a_field_is_answered_in_either_shape_and_its_tag_derived(made_field: str) -> None:
    account = MailAccount(made_field=made_field)
    account.field("Member Level")
    account.field("Plan", perstag="My Plan")
    listed = account.call("GET", "/fields").json()["fields"]
    assert [each["perstag"] for each in listed] == ["MEMBER_LEVEL", "MYPLAN"]


@pytest.mark.parametrize(("titles_ignore_case", "status"), [(True, 422), (False, 201)])
def test_a_title_is_taken_once_perhaps_without_case(titles_ignore_case: bool, status: int) -> None:
    account = MailAccount(titles_ignore_case=titles_ignore_case)
    account.field("Plan")
    answer = account.call("POST", "/fields", json={"field": {"title": "PLAN", "type": "text"}})
    assert answer.status_code == status
    same = account.call("POST", "/fields", json={"field": {"title": "Plan", "type": "text"}})
    assert (same.status_code, same.json()["errors"][0]["code"]) == (422, "duplicate")


def test_a_field_is_of_a_type_there_is() -> None:
    assert MailAccount().call("POST", "/fields", json={"field": {"title": "A", "type": "number"}}).status_code == 422


@pytest.mark.parametrize(("options", "status"), [("as_sent", 201), ("strict", 422)])
def test_options_are_resources_of_their_own(options: str, status: int) -> None:
    account = MailAccount(options=options)
    field = account.field("Size", "dropdown")
    made = account.call(
        "POST", "/fieldOption/bulk", json={"fieldOptions": [{"field": field, "value": "S", "label": "S"}]}
    )
    assert made.status_code == 201
    assert account.sync("a@example.com", fieldValues=[{"field": field, "value": "S"}]).status_code == 201
    assert account.sync("b@example.com", fieldValues=[{"field": field, "value": "XXL"}]).status_code == status
    wrong = account.call("POST", "/fieldOption/bulk", json={"fieldOptions": "S"})
    assert isinstance(wrong.json()["errors"], str)


def test_a_field_is_shown_once_it_is_related() -> None:
    account = MailAccount()
    field = account.field()
    assert account.call("POST", "/fieldRels", json={"fieldRel": {"field": int(field), "relid": 0}}).status_code == 201
    assert [each["relid"] for each in account.call("GET", "/fields").json()["fieldRels"]] == ["0"]


def put_on(account: MailAccount, contact: str, on: str, status: Any) -> Any:
    return account.call(
        "POST", "/contactLists", json={"contactList": {"list": on, "contact": contact, "status": status}}
    )


@pytest.mark.parametrize("membership_status", [200, 201])
def test_a_status_is_one_row_and_loosened_without_a_question(membership_status: int) -> None:
    account = MailAccount(membership_status=membership_status)
    number = account.contact_id("a@example.com")
    answers = [put_on(account, number, "11", status) for status in ("1", 2, "1")]
    assert {each.status_code for each in answers} == {membership_status}
    assert len({each.json()["contactList"]["id"] for each in answers}) == 1
    assert answers[1].json()["contactList"]["status"] == 2  # in the type that was sent
    assert account.sandbox.contacts()["a@example.com"]["lists"] == {"Newsletter": "1"}


@pytest.mark.parametrize("bad_reference_status", [400, 422])
def test_bad_references_come_together(bad_reference_status: int) -> None:
    answer = put_on(MailAccount(bad_reference_status=bad_reference_status), "9", "9", "1")
    assert answer.status_code == bad_reference_status
    assert [each["error"] for each in answer.json()["errors"]] == ["list_not_exist", "contact_not_exist"]


def test_the_lists_are_those_of_the_account() -> None:
    account = MailAccount(lists={"31": "One"})
    assert [(each["id"], each["name"]) for each in account.call("GET", "/lists").json()["lists"]] == [("31", "One")]
    assert account.call("DELETE", "/lists/31").status_code == 200
    assert account.call("GET", "/lists").json()["lists"] == []


def test_who_is_deleted_is_gone_and_comes_back_as_another() -> None:
    account = MailAccount()
    number = account.contact_id("a@example.com")
    assert account.call("DELETE", f"/contacts/{number}").json() == {}
    assert account.call("GET", f"/contacts/{number}").status_code == 404
    assert account.contact_id("a@example.com") != number


def test_an_account_deletes_so_many_a_month() -> None:
    account = MailAccount(deletes_a_month=1)
    first, second = account.contact_id("a@example.com"), account.contact_id("b@example.com")
    assert [account.call("DELETE", f"/contacts/{each}").status_code for each in (first, second)] == [200, 422]


def test_who_has_a_status_on_a_list_is_read_by_keyset_pages() -> None:
    account = MailAccount()
    for number in range(3):
        account.sync(f"p{number}@example.com")
        for on, status in (("Newsletter", "2"), ("Offers", "1")):
            account.sandbox.set_status(f"p{number}@example.com", on, status)

    def left(on: str, after: int) -> list[str]:
        asked = {"listid": on, "status": "2", "orders[id]": "ASC", "id_greater": str(after), "limit": "2"}
        return [each["id"] for each in account.call("GET", "/contacts", params=asked).json()["contacts"]]

    first = left("11", 0)
    assert (len(first), len(left("11", int(first[-1]))), left("12", 0)) == (2, 1, [])


@pytest.mark.parametrize(("empty_dates", "never"), [("null", None), ("zeros", "0000-00-00")])
def test_a_bounced_contact_says_so_on_each_of_its_lists(empty_dates: str, never: str | None) -> None:
    account = MailAccount(empty_dates=empty_dates)
    for name in ("a", "b"):
        account.sync(f"{name}@example.com")
        account.sandbox.set_status(f"{name}@example.com", "Newsletter", "1")
    account.sandbox.bounce("a@example.com")
    sound, bounced = (
        account.call("GET", "/contacts", params={"listid": "11", "status": status}).json()["contacts"][0]
        for status in ("1", "3")
    )
    assert (sound["bounced_hard"], sound["bounced_date"]) == ("0", never)
    assert (bounced["bounced_hard"], bounced["bounced_date"][:3]) == ("1", "202")


def test_what_a_contact_has_may_come_in_pages() -> None:
    lists = {str(number): f"List {number}" for number in range(100, 125)}
    account = MailAccount(lists=lists, parts_in_pages=True)
    number = account.contact_id("a@example.com")
    for name in lists.values():
        account.sandbox.set_status("a@example.com", name, "1")
    told = [
        account.call("GET", f"/contacts/{number}/contactLists", params=query).json()["contactLists"]
        for query in ({}, {"limit": 100}, {"offset": 20}, {"offset": 30})
    ]
    assert [len(each) for each in told] == [20, 25, 5, 0]
