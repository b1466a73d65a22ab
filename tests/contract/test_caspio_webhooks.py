"""The emulator against sections 5.1 to 5.6 of the Caspio page: outgoing webhooks, what they hear, and what they post."""

import asyncio
import base64
import hashlib
import hmac
from typing import Any

import httpx
import orjson
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from tests.contract.conftest import API, a_filled_account, talk

HOOKS = f"{API}outgoingWebhooks"
URL = "https://receiver.example/caspio/customers"
HOOK = {"Name": "caspio-sync customers", "OutgoingUrls": [URL]}
INSERT, UPDATE, DELETE = "table.recordInsert", "table.recordUpdate", "table.recordDelete"


class Heard:
    """An account with one webhook, and what its URL was sent."""

    def __init__(self, *types: str, event: dict[str, Any] | None = None, urls: int = 1, **switches: Any) -> None:
        self.account = a_filled_account(4, **switches)
        self.posts: list[httpx.Request] = []
        self.answers: list[int] = []
        self.account.deliveries.transport = httpx.MockTransport(self._answer)
        hook = {**HOOK, "OutgoingUrls": [f"{URL}{number or ''}" for number in range(urls)]}
        self.hook = send(self.account, "POST", json=hook).json()
        for kind in types or (INSERT, UPDATE, DELETE):
            made = self.add(EventType=kind, ObjectName="T", **(event or {}))
            assert made.status_code == 201, made.text
            self.event = made.json()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.posts.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 200)

    def add(self, **event: Any) -> httpx.Response:
        return send(self.account, "POST", f"{HOOKS}/{self.hook['Id']}/events", json=event)

    def deliver(self) -> list[dict[str, Any]]:
        """What has been posted since the last time, once all of it was."""
        start = len(self.posts)
        asyncio.run(self.account.deliveries.deliver())
        return [orjson.loads(each.content) for each in self.posts[start:]]

    def counters(self) -> tuple[int, int, int]:
        shown = send(self.account, "GET", f"{HOOKS}/{self.hook['Id']}").json()
        return shown["Messages"], shown["Calls"], shown["Errors"]


def send(account: CaspioSandbox, method: str, url: str = HOOKS, **arguments: Any) -> httpx.Response:
    answer: httpx.Response = talk(account, lambda client: client.request(method, url, **arguments))
    return answer


# ---- 5.6 management


def test_the_secret_is_shown_once_and_lists_are_bare() -> None:
    account = a_filled_account(1)
    made = send(account, "POST", json=HOOK)
    assert made.status_code == 201
    assert set(made.json()) == {
        *("Id", "Name", "Description", "OutgoingUrls", "CallThrottling", "Secret", "DateCreated", "CreatedBy"),
    }
    listed = send(account, "GET").json()
    assert isinstance(listed, list)
    assert listed[0]["Id"] == made.json()["Id"]
    assert len(listed[0]["Id"]) == 6
    one = send(account, "GET", f"{HOOKS}/{made.json()['Id']}").json()
    assert (one["Events"], one["Messages"], one["Calls"], one["Errors"]) == (0, 0, 0, 0)
    assert "Secret" not in {**listed[0], **one}


@pytest.mark.parametrize(
    "body",
    [
        {**HOOK, "OutgoingUrls": ["https://other.example/"]},  # the name is in use
        {**HOOK, "Name": "another"},  # the URL is
        {**HOOK, "Name": "another", "OutgoingUrls": ["http://other.example/"]},
        {**HOOK, "Name": "another", "OutgoingUrls": ["https://a.example/", "https://b.example/"]},  # the plan
        {**HOOK, "Name": "another", "OutgoingUrls": ["https://a.example/"], "CallThrottling": 11},
        {"Name": "another"},
        {"Name": "", "OutgoingUrls": ["https://a.example/"]},
        {**HOOK, "Name": "another", "OutgoingUrls": ["https://a.example/"], "Colour": "red"},
    ],
)
def test_what_a_webhook_may_not_be_is_a_400(body: dict[str, Any]) -> None:
    account = a_filled_account(1)
    assert send(account, "POST", json=HOOK).status_code == 201
    assert send(account, "POST", json=body).status_code == 400
    assert len(send(account, "GET").json()) == 1


def test_a_plan_with_multicast_takes_several_urls_and_a_lower_plan_fewer_calls() -> None:
    account = a_filled_account(1, webhook_multicast=True, webhook_calls_per_second=4)
    made = send(account, "POST", json={**HOOK, "OutgoingUrls": [URL, f"{URL}2"]})
    assert (made.status_code, made.json()["CallThrottling"]) == (201, 4)


def test_without_the_right_to_all_objects_webhooks_are_refused() -> None:
    account = a_filled_account(1, all_objects=False)
    assert send(account, "GET").status_code == 403
    assert send(account, "POST", json=HOOK).status_code == 403


def test_changing_and_deleting_a_webhook_and_its_events() -> None:
    heard = Heard(UPDATE)
    own = f"{HOOKS}/{heard.hook['Id']}"
    assert send(heard.account, "PUT", own, json={}).status_code == 400
    changed = send(heard.account, "PUT", own, json={"Name": "renamed", "CallThrottling": 3})
    assert (changed.status_code, changed.json()["Name"], changed.json()["CallThrottling"]) == (200, "renamed", 3)
    assert send(heard.account, "PUT", own, json={"Enabled": False}).json()["Status"] == "Inactive"
    event = f"{own}/events/{heard.event['Id']}"
    shown = send(heard.account, "GET", event).json()
    assert (shown["Type"], shown["Status"], shown["ObjectName"]) == (UPDATE, "Inactive", "T")
    assert {"ObjectId", "Messages", "Calls", "Errors"} <= set(shown)
    assert "EventType" not in shown
    assert send(heard.account, "PUT", event, json={"Enabled": True}).status_code == 400  # it needs both names again
    both = {"EventType": UPDATE, "ObjectName": "t", "Enabled": True}
    assert send(heard.account, "PUT", event, json=both).json()["Status"] == "Active"
    assert send(heard.account, "DELETE", event).status_code == 204
    assert send(heard.account, "GET", event).status_code == 404
    assert send(heard.account, "DELETE", own).status_code == 204
    assert send(heard.account, "GET", own).status_code == 404
    assert send(heard.account, "PATCH", HOOKS).status_code == 405


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"EventType": INSERT, "ObjectName": "T"}, 400),  # there is one
        ({"EventType": "table.recordRead", "ObjectName": "T"}, 400),
        ({"EventType": UPDATE, "ObjectName": "Nowhere"}, 404),
        ({"EventType": UPDATE, "ObjectName": "T", "ObjectFields": ["Nothing"]}, 404),
        ({"EventType": UPDATE, "ObjectName": "T", "EventSources": ["Somebody"]}, 400),
        ({"EventType": DELETE, "ObjectName": "T", "ObjectFields": ["City"]}, 400),
        ({"EventType": UPDATE, "ObjectName": "T", "ObjectFields": ["City"]}, 201),
    ],
)
def test_what_an_event_may_be(event: dict[str, Any], status: int) -> None:
    assert Heard(INSERT).add(**event).status_code == status


def test_updates_of_different_fields_have_an_event_each() -> None:
    heard = Heard(UPDATE, event={"ObjectFields": ["City"]})
    assert heard.add(EventType=UPDATE, ObjectName="T", ObjectFields=["Orders"]).status_code == 201
    assert heard.add(EventType=UPDATE, ObjectName="T", ObjectFields=["City", "Spend"]).status_code == 400
    assert heard.add(EventType=UPDATE, ObjectName="T").status_code == 400
    heard.account.datasheet.update("T", {"City": "Bath"}, "PK_ID=1")
    assert [each["eventId"] for each in heard.deliver()] == [heard.event["Id"]]


# ---- 5.2 what fires


def test_a_person_and_rest_are_heard_and_no_import_is() -> None:
    heard = Heard()
    heard.account.insert_rows("T", [{"No": "imported"}])
    heard.account.update_rows("T", {"City": "Bath"}, "PK_ID=1")
    heard.account.datasheet.replace("T", {"City": "Ely"}, "PK_ID=1")
    assert heard.deliver() == []
    heard.account.datasheet.insert("T", {"No": "typed"})
    send(heard.account, "POST", f"{API}tables/T/records", json={"No": "posted"})
    heard.account.datasheet.update("T", {"City": "Hull"}, "PK_ID<=2")
    heard.account.datasheet.delete("T", "PK_ID=3")
    assert [(each["eventType"], each["data"][0]["PK_ID"]) for each in heard.deliver()] == [
        (INSERT, 6),
        (INSERT, 7),
        (UPDATE, 1),
        (UPDATE, 2),
        (DELETE, 3),
    ]
    heard.account.datasheet.delete_all("T")
    assert heard.deliver() == []
    assert heard.counters() == (5, 5, 0)


def test_sources_that_were_not_chosen_are_not_heard() -> None:
    heard = Heard(event={"EventSources": ["Datasheet"]})
    send(heard.account, "POST", f"{API}tables/T/records", json={"No": "posted"})
    heard.account.datasheet.insert("T", {"No": "app"}, source="DataPages")
    heard.account.datasheet.insert("T", {"No": "typed"})
    assert [each["data"][0]["No"] for each in heard.deliver()] == ["typed"]


def test_an_update_that_changes_nothing_makes_no_message() -> None:
    heard = Heard(UPDATE)
    row = heard.account.rows("T")[0]
    heard.account.datasheet.update("T", {"City": row["City"]}, "PK_ID=1")  # its timestamp moves all the same
    assert heard.deliver() == []


def test_an_inactive_event_makes_no_messages_and_what_changed_meanwhile_is_lost() -> None:
    heard = Heard(INSERT)
    send(heard.account, "PUT", f"{HOOKS}/{heard.hook['Id']}", json={"Enabled": False})
    heard.account.datasheet.insert("T", {"No": "lost"})
    send(heard.account, "PUT", f"{HOOKS}/{heard.hook['Id']}", json={"Enabled": True})
    assert heard.deliver() == []
    assert heard.counters() == (0, 0, 0)


# ---- 5.3 messages


def test_the_default_payload_and_its_types() -> None:
    heard = Heard(INSERT)
    heard.account.datasheet.insert("T", {"No": "x", "City": None, "Tags": [2], "Due": None, "Pwd": "geheim"})
    (message,) = heard.deliver()
    assert list(message) == [
        *("eventId", "messageId", "webhookId", "accountId", "secret", "eventDate", "eventType", "objectName", "data"),
    ]
    assert (message["eventId"], message["webhookId"]) == (heard.event["Id"], heard.hook["Id"])
    assert message["eventDate"] == f"{heard.account.clock.now():%Y-%m-%dT%H:%M:%S}"
    row = message["data"][0]
    assert (row["PK_ID"], row["City"], row["Due"], row["Tags"]) == (5, "", None, {"2": "blue"})
    assert "Pwd" not in row


def test_many_rows_are_a_message_each_or_one_together() -> None:
    for batch, sizes in (("each", [1, 1, 1, 1]), ("together", [4])):
        heard = Heard(UPDATE, webhook_batch=batch)
        heard.account.datasheet.update("T", {"City": "Bath"}, "PK_ID>0")
        messages = heard.deliver()
        assert [len(each["data"]) for each in messages] == sizes
        assert len({each["messageId"] for each in messages}) == len(sizes)


def test_chosen_fields_and_a_template_in_single_quotes() -> None:
    heard = Heard(INSERT, event={"CustomPayloadFields": ["No"]})
    heard.account.datasheet.insert("T", {"No": "x"})
    assert heard.deliver()[0]["data"] == [{"No": "x"}]
    template = (
        "{'messageId':'[@out-hook:messageId]','callId':'[@out-hook:callId]','secret':'[@out-hook:secret]',"
        "'data':[{'PK_ID':[@field:PK_ID],'Orders':'[@field:Orders]','City':'[@field:City]'}]}"
    )
    heard = Heard(INSERT, event={"CustomPayloadTemplate": template})
    heard.account.datasheet.insert("T", {"No": "x", "Orders": 7, "City": 'say "hi"'})
    (message,) = heard.deliver()
    assert message["data"] == [{"PK_ID": 5, "Orders": "7", "City": 'say "hi"'}]
    assert message["secret"] == heard.hook["Secret"]
    assert message["callId"] != message["messageId"]


def test_lists_are_left_out_where_a_triggered_action_stands() -> None:
    heard = Heard(INSERT, triggered_tables=["T"])
    heard.account.datasheet.insert("T", {"No": "x", "Tags": [1]})
    assert "Tags" not in heard.deliver()[0]["data"][0]


def test_a_message_of_more_than_10_megabytes_is_never_sent() -> None:
    heard = Heard(INSERT, event={"CustomPayloadTemplate": "{'data':'" + "x" * 10_000_000 + "'}"})
    heard.account.datasheet.insert("T", {"No": "x"})
    assert heard.deliver() == []
    assert heard.counters() == (1, 0, 0)


# ---- 5.4 authenticity


@pytest.mark.parametrize(
    ("encoding", "prefix", "name"), [("hex", "", "X-Caspio-Signature"), ("base64", "sha256=", "X-Hook")]
)
def test_the_signature_is_that_of_the_bytes_that_are_sent(encoding: str, prefix: str, name: str) -> None:
    heard = Heard(
        INSERT,
        webhook_signature_encoding=encoding,
        webhook_signature_prefix=prefix,
        webhook_signature_header=name,
        webhook_secret_in_payload=False,
    )
    heard.account.datasheet.insert("T", {"No": "x"})
    assert "secret" not in heard.deliver()[0]
    post = heard.posts[0]
    digest = hmac.new(heard.hook["Secret"].encode(), post.content, hashlib.sha256).digest()
    expected = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    assert post.headers[name] == prefix + expected


def test_a_service_before_73_signs_nothing() -> None:
    heard = Heard(INSERT, webhook_signature_header="", account_id="c9xyz999")
    heard.account.datasheet.insert("T", {"No": "x"})
    message = heard.deliver()[0]
    assert (message["secret"], message["accountId"]) == (heard.hook["Secret"], "c9xyz999")
    assert not [name for name in heard.posts[0].headers if "signature" in name]


# ---- 5.5 delivery


def test_what_is_refused_counts_as_an_error_and_is_tried_again_where_attempts_are_left() -> None:
    heard = Heard(INSERT, webhook_attempts=3, webhook_retry_seconds=60)
    heard.answers = [500, 404]
    began = heard.account.clock.monotonic()
    heard.account.datasheet.insert("T", {"No": "x"})
    messages = heard.deliver()
    assert len({each["messageId"] for each in messages}) == 1
    assert [each.attempt for each in heard.account.deliveries.log] == [1, 2, 3]
    assert heard.account.clock.monotonic() - began >= 60 + 120
    assert heard.counters() == (1, 3, 2)
    once = Heard(INSERT)
    once.answers = [500]
    once.account.datasheet.insert("T", {"No": "x"})
    assert len(once.deliver()) == 1


def test_every_url_of_a_webhook_gets_the_same_message() -> None:
    heard = Heard(INSERT, urls=2, webhook_multicast=True)
    heard.account.datasheet.insert("T", {"No": "x"})
    assert len({each["messageId"] for each in heard.deliver()}) == 1
    assert {str(each.url) for each in heard.posts} == {URL, f"{URL}1"}


def test_messages_are_lost_doubled_shuffled_and_late() -> None:
    lossy = Heard(INSERT, webhook_loss=0.5)
    lossy.account.datasheet.insert("T", *({"No": f"n{number}"} for number in range(100)))
    heard = lossy.deliver()
    assert 20 < len(heard) < 80
    assert len(heard) + len(lossy.account.deliveries.lost) == lossy.counters()[0] == 100
    doubling = Heard(INSERT, webhook_duplicates=1.0, webhook_disorder=True)
    doubling.account.datasheet.insert("T", *({"No": f"n{number}"} for number in range(50)))
    ids = [each["messageId"] for each in doubling.deliver()]
    assert (len(ids), len(set(ids))) == (100, 50)
    keys = [orjson.loads(each.content)["data"][0]["PK_ID"] for each in doubling.posts]
    assert keys != sorted(keys)
    late = Heard(INSERT, webhook_delay_seconds=90.0)
    began = late.account.clock.monotonic()
    late.account.datasheet.insert("T", {"No": "x"})
    late.deliver()
    assert late.account.clock.monotonic() - began >= 90


def test_no_second_has_more_calls_than_the_throttle() -> None:
    heard = Heard(INSERT, webhook_calls_per_second=5)
    began = heard.account.clock.monotonic()
    heard.account.datasheet.insert("T", *({"No": f"n{number}"} for number in range(21)))
    assert len(heard.deliver()) == 21
    assert heard.account.clock.monotonic() - began >= 4.0


# ---- the emulator's own door


def test_a_person_changes_rows_through_the_door_without_a_token_or_a_bill() -> None:
    heard = Heard()
    calls = heard.account.calls
    door = "/sandbox/datasheet/T"

    async def conversation(client: httpx.AsyncClient) -> list[int]:
        return [
            (await client.post(door, json=[{"No": "x"}, {"No": "y"}])).status_code,
            (await client.put(door, params={"where": "PK_ID=5"}, json={"City": "Bath"})).status_code,
            (await client.put(f"{door}/replace", params={"where": "PK_ID=5"}, json={"City": "Ely"})).status_code,
            (await client.delete(door, params={"where": "PK_ID=6"})).status_code,
            (await client.delete(f"{door}/all")).status_code,
            (await client.post(door, params={"source": "Nobody"}, json={})).status_code,
            (await client.patch(door)).status_code,
        ]

    assert talk(heard.account, conversation, token=False) == [200, 200, 200, 200, 200, 400, 404]
    assert [each["eventType"] for each in heard.deliver()] == [INSERT, INSERT, UPDATE, DELETE]
    assert heard.account.calls == calls
