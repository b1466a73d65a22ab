"""ActiveCampaign, section 10: event tracking: its host and key, names, what is saved, of whom."""

from typing import Any

import httpx
import orjson
import pytest

from caspio_sync.sandbox.activecampaign.behaviour import SANDBOX_EVENT_ID, SANDBOX_EVENT_KEY
from tests.contract.conftest import MailAccount


def track(account: MailAccount, email: str = "ann@example.com", **form: Any) -> httpx.Response:
    visit = orjson.dumps({"email": email}).decode()
    given = {"actid": SANDBOX_EVENT_ID, "key": SANDBOX_EVENT_KEY, "event": "opened", "visit": visit} | form
    return account.event({name: value for name, value in given.items() if value is not None})


def logged(account: MailAccount, number: str) -> list[tuple[str, str]]:
    rows = account.call("GET", f"/contacts/{number}/trackingLogs").json()["trackingLogs"]
    return [(row["type"], row["value"]) for row in rows]


def test_an_event_stands_in_the_log_of_its_contact() -> None:
    account = MailAccount()
    number = account.contact_id("ann@example.com")
    answer = track(account, "Ann@Example.com ", eventdata="SQL-101")
    assert (answer.status_code, answer.json()) == (200, {"success": 1, "message": "Event spawned"})
    assert logged(account, number) == [("opened", "SQL-101")]


def test_nothing_is_deduplicated_and_a_value_is_kept_to_its_length() -> None:
    account = MailAccount(event_value_chars=10)
    number = account.contact_id("ann@example.com")
    track(account, eventdata="x" * 30)
    track(account, eventdata="x" * 30)
    assert logged(account, number) == [("opened", "x" * 10)] * 2


@pytest.mark.parametrize(("event_refusal", "status"), [("success", 200), ("400", 400)])
@pytest.mark.parametrize(
    "wrong",
    [{"actid": "1"}, {"key": "another"}, {"event": "x" * 33}, {"event": None}, {"visit": "{}"}, {"visit": "ann"}],
)
def test_what_is_wrong_is_refused_in_each_way(event_refusal: str, status: int, wrong: dict[str, Any]) -> None:
    account = MailAccount(event_refusal=event_refusal)
    number = account.contact_id("ann@example.com")
    answer = track(account, **wrong)
    assert (answer.status_code, answer.json().get("success", 0)) == (status, 0)
    assert logged(account, number) == []


def test_the_key_of_the_account_is_taken() -> None:
    account = MailAccount(event_id="7", event_key="mine")
    assert track(account).json()["success"] == 0
    assert track(account, actid="7", key="mine").json()["success"] == 1


@pytest.mark.parametrize(("event_of_nobody", "success"), [("taken", 1), ("refused", 0)])
def test_an_event_of_nobody_belongs_to_nobody(event_of_nobody: str, success: int) -> None:
    account = MailAccount(event_of_nobody=event_of_nobody)
    assert track(account).json()["success"] == success
    assert logged(account, account.contact_id("ann@example.com")) == []


@pytest.mark.parametrize(("untracked", "success"), [("taken", 1), ("refused", 0)])
def test_what_is_sent_while_tracking_is_off_is_lost(untracked: str, success: int) -> None:
    account = MailAccount(tracking_enabled=False, untracked=untracked)
    number = account.contact_id("ann@example.com")
    assert account.call("GET", "/eventTracking").json() == {"eventTracking": {"enabled": False}}
    assert track(account).json()["success"] == success
    assert logged(account, number) == []
    for method in ("PUT", "POST"):
        account.call(method, "/eventTracking", json={"eventTracking": {"enabled": True}})
    track(account)
    assert logged(account, number) == [("opened", "")]


def test_names_are_made_listed_and_deleted_and_an_unknown_one_is_made_by_its_event() -> None:
    account = MailAccount(calls_per_second=100)
    made = account.call("POST", "/eventTrackingEvents", json={"eventTrackingEvent": {"name": "course done"}})
    assert (made.status_code, made.json()) == (201, {"eventTrackingEvent": {"name": "course done"}})
    track(account)
    listed = account.call("GET", "/eventTrackingEvents").json()
    assert listed == {"eventTrackingEvents": [{"name": "course done"}, {"name": "opened"}], "meta": {"total": 2}}
    assert account.call("DELETE", "/eventTrackingEvents/course%20done").status_code == 200
    assert account.call("DELETE", "/eventTrackingEvents/course%20done").status_code == 404
    long = account.call("POST", "/eventTrackingEvents", json={"eventTrackingEvent": {"name": "x" * 33}})
    assert long.status_code == 400


def test_the_host_has_a_rate_of_its_own_and_knows_one_path() -> None:
    account = MailAccount(event_calls_per_second=2)
    assert [track(account).status_code for _ in range(3)] == [200, 200, 429]
    account.sandbox.event_server = ("trackcmp.test", None)
    assert account.call("GET", "/users/me").status_code == 200
    assert account.call("GET", "http://trackcmp.test/users/me").status_code == 404
    assert account.event({}, base="http://activecampaign").status_code == 403  # the API, without a token


def test_a_body_is_a_form() -> None:
    assert MailAccount().event({}, content=b"{}", kind="application/json").status_code == 400
