"""ActiveCampaign, section 7: tags, and the joins that say which contact has which."""

from typing import Any

import httpx
import pytest

from tests.contract.conftest import MailAccount


def make(account: MailAccount, name: str, kind: str = "contact") -> httpx.Response:
    return account.call("POST", "/tags", json={"tag": {"tag": name, "tagType": kind, "description": ""}})


def tag_id(account: MailAccount, name: str, kind: str = "contact") -> str:
    return str(make(account, name, kind).json()["tag"]["id"])


def apply(account: MailAccount, contact: str, tag: str) -> httpx.Response:
    return account.call("POST", "/contactTags", json={"contactTag": {"contact": contact, "tag": tag}})


def names(account: MailAccount, **query: Any) -> list[str]:
    return [each["tag"] for each in account.call("GET", "/tags", params=query).json()["tags"]]


def tags_of(account: MailAccount, email: str) -> Any:
    return account.sandbox.contacts()[email]["tags"]


def test_a_search_finds_parts_of_names_and_tags_of_templates() -> None:
    account = MailAccount()
    for name, kind in (("VIP", "contact"), ("Not vip", "contact"), ("vip mail", "template"), ("Other", "contact")):
        assert make(account, name, kind).status_code == 201
    assert names(account) == ["VIP", "Not vip", "vip mail", "Other"]
    assert names(account, search="vip") == ["VIP", "Not vip", "vip mail"]
    assert names(account, **{"filters[search][eq]": "VIP"}) == ["VIP"]
    assert names(account, **{"filters[search][neq]": "VIP"}) == ["Not vip", "vip mail", "Other"]
    assert names(account, **{"filters[search][starts_with]": "vip"}) == ["VIP", "vip mail"]
    assert names(account, **{"filters[search][contains]": "ther"}) == ["Other"]
    assert account.call("GET", "/tags", params={"filters[name]": "VIP"}).status_code == 400
    assert account.call("GET", "/tags", params={"limit": 1, "offset": 1}).json()["meta"] == {"total": "4"}


@pytest.mark.parametrize(("duplicate_tag", "status"), [("refused", 422), ("known", 201)])
def test_a_name_is_taken_once(duplicate_tag: str, status: int) -> None:
    account = MailAccount(duplicate_tag=duplicate_tag)
    first, again = make(account, "VIP"), make(account, "VIP")
    assert again.status_code == status
    if status == 422:
        assert again.json()["errors"][0]["code"] == "duplicate"
    else:
        assert again.json()["tag"]["id"] == first.json()["tag"]["id"]
    assert names(account) == ["VIP"]


@pytest.mark.parametrize(("tags_ignore_case", "known"), [(True, ["VIP"]), (False, ["VIP", "vip"])])
def test_case_may_make_another_tag(tags_ignore_case: bool, known: list[str]) -> None:
    account = MailAccount(tags_ignore_case=tags_ignore_case)
    make(account, "VIP")
    account.queue({"email": "a@example.com", "tags": ["vip"]})
    account.sandbox.settle()
    assert names(account) == known
    assert tags_of(account, "a@example.com") == known[-1:]


def test_a_tag_of_templates_is_none_of_contacts() -> None:
    account = MailAccount()
    template = tag_id(account, "VIP", "template")
    account.queue({"email": "a@example.com", "tags": ["VIP"]})
    account.sandbox.settle()
    assert names(account) == ["VIP", "VIP"]
    number = account.contact_id("a@example.com")
    assert template not in account.sandbox.store.contacts[number].tags
    assert apply(account, number, template).status_code == 404


def test_a_tag_has_a_name_and_a_type() -> None:
    for body in (
        {"tagType": "contact"},
        {"tag": " ", "tagType": "contact"},
        {"tag": "A"},
        {"tag": "A", "tagType": "x"},
    ):
        assert MailAccount().call("POST", "/tags", json={"tag": body}).status_code == 422


@pytest.mark.parametrize("retagged_status", [200, 201])
def test_a_join_is_one_row_and_tells_of_it_once(retagged_status: int) -> None:
    account = MailAccount(retagged_status=retagged_status)
    number, tag = account.contact_id("a@example.com"), tag_id(account, "VIP")
    before = account.sandbox.contacts()["a@example.com"]["automations"]
    answers = [apply(account, number, tag) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, retagged_status]
    joins = [each.json()["contactTag"] for each in answers]
    assert joins[0] == joins[1]
    assert (joins[0]["contact"], joins[0]["tag"]) == (number, tag)
    assert len({joins[0]["id"], number, tag}) == 3  # sequences begin apart
    assert account.sandbox.contacts()["a@example.com"]["automations"] == before + 1


@pytest.mark.parametrize("unknown_tag_status", [404, 422])
def test_bad_references_are_refused(unknown_tag_status: int) -> None:
    account = MailAccount(unknown_tag_status=unknown_tag_status)
    number, tag = account.contact_id("a@example.com"), tag_id(account, "VIP")
    nobody, nothing = apply(account, "99", tag), apply(account, number, "99")
    assert (nobody.status_code, nobody.json()["errors"][0]["detail"]) == (404, "Contact not found")
    assert (nothing.status_code, nothing.json()["errors"][0]["detail"]) == (unknown_tag_status, "Tag not found")
    for body, lacks in (({"contact": number}, "tag"), ({"tag": tag}, "contact")):
        answer = account.call("POST", "/contactTags", json={"contactTag": body})
        (item,) = answer.json()["errors"]
        assert (answer.status_code, item["title"]) == (422, "Missing attribute")
        assert item["source"] == {"pointer": f"/data/attributes/{lacks}"}


def test_a_tag_is_removed_by_the_join_and_not_by_its_own_id() -> None:
    account = MailAccount()
    number, tag = account.contact_id("a@example.com"), tag_id(account, "VIP")
    apply(account, number, tag)
    wrong = account.call("DELETE", f"/contactTags/{tag}")
    assert (wrong.status_code, wrong.json()["message"]) == (404, f"No Result found for SubscriberTag with id {tag}")
    (join,) = account.call("GET", f"/contacts/{number}/contactTags").json()["contactTags"]
    assert account.call("DELETE", f"/contactTags/{join['id']}").json() == {}
    assert account.call("DELETE", f"/contactTags/{join['id']}").status_code == 404
    assert tags_of(account, "a@example.com") == []
    assert names(account) == ["VIP"]


def test_the_joins_of_all_are_read_by_pages() -> None:
    account = MailAccount()
    account.queue(*({"email": f"c{number}@example.com", "tags": ["A", "B"]} for number in range(60)))
    account.sandbox.settle()
    pages = [account.call("GET", "/contactTags", params={"limit": 500, "offset": at}).json() for at in (0, 100)]
    assert [(len(each["contactTags"]), each["meta"]["total"]) for each in pages] == [(100, "120"), (20, "120")]
    assert len({each["id"] for page in pages for each in page["contactTags"]}) == 120


@pytest.mark.parametrize(("account_joins", "status"), [(True, 200), (False, 404)])
def test_the_joins_of_all_may_not_be_told(account_joins: bool, status: int) -> None:
    account = MailAccount(account_joins=account_joins)
    for path in ("/contactTags", "/contactAutomations"):
        assert account.call("GET", path).status_code == status


def test_contacts_are_searched_by_a_tag() -> None:
    account = MailAccount()
    first, tag = account.contact_id("a@example.com"), tag_id(account, "VIP")
    account.contact_id("b@example.com")
    apply(account, first, tag)
    found = account.call("GET", "/contacts", params={"tagid": tag}).json()["contacts"]
    assert [each["email"] for each in found] == ["a@example.com"]


def test_a_tag_is_renamed_counted_and_deleted_from_all() -> None:
    account = MailAccount()
    number, tag, other = account.contact_id("a@example.com"), tag_id(account, "VIP"), tag_id(account, "Other")
    apply(account, number, tag)
    assert account.call("PUT", f"/tags/{tag}", json={"tag": {"tag": "Other"}}).status_code == 422
    assert account.call("PUT", f"/tags/{tag}", json={"tag": {"tag": ""}}).status_code == 422
    assert account.call("PUT", f"/tags/{tag}", json={"tag": {"tag": "Gold"}}).status_code == 200
    assert tags_of(account, "a@example.com") == ["Gold"]
    assert account.call("GET", f"/tags/{tag}").json()["tag"]["subscriber_count"] == "1"
    assert account.call("GET", f"/tags/{other}").json()["tag"]["subscriber_count"] == "0"
    assert account.call("DELETE", f"/tags/{tag}").json() == {}
    gone = account.call("GET", f"/tags/{tag}")
    assert (gone.status_code, gone.json()["message"]) == (404, f"No Result found for Tag with id {tag}")
    assert tags_of(account, "a@example.com") == []
    assert account.call("GET", "/contactTags").json()["contactTags"] == []


def test_who_is_deleted_has_no_tag_any_more() -> None:
    account = MailAccount()
    number, tag = account.contact_id("a@example.com"), tag_id(account, "VIP")
    apply(account, number, tag)
    account.call("DELETE", f"/contacts/{number}")
    assert account.call("GET", "/contactTags").json()["contactTags"] == []
    assert account.call("GET", f"/contacts/{number}/contactTags").status_code == 404
    account.contact_id("a@example.com")
    assert tags_of(account, "a@example.com") == []
