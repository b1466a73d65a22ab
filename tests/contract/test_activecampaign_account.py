"""ActiveCampaign, sections 1, 2 and 3: who may ask, pages, errors, the account's one rate."""

import httpx
import pytest

from tests.contract.conftest import MailAccount


def test_the_key_is_that_of_a_user() -> None:
    answer = MailAccount().call("GET", "/users/me")
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, "1")  # ids are texts


@pytest.mark.parametrize(
    ("bad_key", "status", "kind"),
    [
        ("forbidden", 403, "application/json"),
        ("errors", 403, "application/json"),
        ("page", 200, "text/html; charset=utf-8"),
    ],
)
def test_a_bad_key_is_refused_in_each_way_that_was_seen(bad_key: str, status: int, kind: str) -> None:
    answer = MailAccount(bad_key=bad_key).call("GET", "/users/me", key="another")
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)


def test_each_key_of_the_account_is_taken() -> None:
    account = MailAccount(keys=frozenset({"one", "two"}))
    assert [account.call("GET", "/users/me", key=key).status_code for key in ("one", "two", "three")] == [200, 200, 403]


def test_an_inactive_account_is_402() -> None:
    assert MailAccount(account_active=False).call("GET", "/users/me").status_code == 402


def test_a_403_may_pass_by_itself() -> None:
    account = MailAccount(forbidden_at=frozenset({1}))
    assert [account.call("GET", "/users/me").status_code for _ in range(2)] == [403, 200]


def test_a_body_is_json() -> None:
    assert MailAccount().call("POST", "/contact/sync", content=b"a=b").status_code == 415
    assert MailAccount().call("POST", "/contact/sync", json=[]).status_code == 400


@pytest.mark.parametrize(("totals", "total"), [("text", "3"), ("number", 3)])
def test_totals_are_text_or_numbers(totals: str, total: object) -> None:
    account = MailAccount(totals=totals)
    for number in range(3):
        account.sync(f"c{number}@example.com")
        account.field(f"F{number}")
    for path in ("/contacts", "/fields"):
        assert account.call("GET", path).json()["meta"]["total"] == total
    assert account.call("GET", "/lists").json()["meta"]["total"] == ("2" if totals == "text" else 2)


def test_pages_hold_20_by_default_and_100_at_most() -> None:
    account = MailAccount(calls_per_second=1000)
    for number in range(130):
        account.sync(f"c{number}@example.com")

    def emails(**query: object) -> list[str]:
        return [each["email"] for each in account.call("GET", "/contacts", params=query).json()["contacts"]]

    assert [len(emails()), len(emails(limit=500)), len(emails(limit=100, offset=100))] == [20, 100, 30]
    first = account.call("GET", "/contacts", params={"limit": 100}).json()["contacts"]
    rest = account.call("GET", "/contacts", params={"limit": 100, "id_greater": first[-1]["id"]}).json()["contacts"]
    assert len({each["id"] for each in first + rest}) == 130


def test_brackets_may_be_encoded_or_not() -> None:
    account = MailAccount()
    account.field("Member Level")
    for query in (b"filters[perstag]=MEMBER_LEVEL", b"filters%5Bperstag%5D=MEMBER_LEVEL"):
        url = httpx.URL("/fields").copy_with(raw_path=b"/api/3/fields?" + query)
        assert len(account.call("GET", str(url.copy_with(raw_path=b"/fields?" + query))).json()["fields"]) == 1


def test_what_is_missing_is_404_in_the_words_of_the_model() -> None:
    account = MailAccount()
    answer = account.call("GET", "/contacts/99")
    assert (answer.status_code, answer.json()) == (404, {"message": "No Result found for Subscriber with id 99"})
    gone = account.call("DELETE", "/contacts/99")
    assert (gone.status_code, gone.json()["message"]) == (404, "No result found for contact with id 99")
    lists = account.call("DELETE", "/lists/99")
    assert (lists.status_code, lists.json()["message"]) == (403, "No Result found for _List with id 99")


def test_five_calls_a_second_are_taken_whoever_makes_them() -> None:
    account = MailAccount(retry_after=7)
    answers = [account.call("GET", "/users/me", wait=0.05) for _ in range(6)]
    assert [each.status_code for each in answers] == [200] * 5 + [429]
    assert (answers[0].headers["ratelimit-limit"], answers[4].headers["ratelimit-remaining"]) == ("5", "0")
    assert answers[5].headers["retry-after"] == "7"
    assert account.call("GET", "/users/me", wait=1.0).status_code == 200


def test_the_rate_is_a_switch() -> None:
    account = MailAccount(calls_per_second=2)
    assert [account.call("GET", "/users/me", wait=0.01).status_code for _ in range(3)] == [200, 200, 429]
