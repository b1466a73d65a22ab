"""The endpoints of the Braze emulator that send messages, against section 13 of the reference."""

from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.braze.behaviour import ORDER_CAMPAIGN, ORDER_CANVAS, ORDER_MAIL, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.contract.conftest import a_workspace, call, track
from tests.virtual_clock import VirtualClock

CAMPAIGN, CANVAS = "/campaigns/trigger/send", "/canvas/trigger/send"
MAIL = f"/transactional/v1/campaigns/{ORDER_MAIL}/send"


def people(count: int = 2, clock: VirtualClock | None = None, **behaviour: Any) -> BrazeSandbox:
    sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), clock or VirtualClock())
    for number in range(1, count + 1):
        track(sandbox, {"external_id": f"c-{number}", "email": f"c{number}@example.com"})
    return sandbox


def trigger(sandbox: BrazeSandbox, *recipients: Any, path: str = CAMPAIGN, **more: Any) -> httpx.Response:
    named = {"campaign_id": ORDER_CAMPAIGN} if path == CAMPAIGN else {"canvas_id": ORDER_CANVAS}
    return call(sandbox, path=path, json={**named, "recipients": list(recipients), **more})


def to(number: int, **more: Any) -> dict[str, Any]:
    return {"external_user_id": f"c-{number}", **more}


def test_a_campaign_goes_to_each_recipient_with_properties_of_its_own() -> None:
    sandbox = people()
    answer = trigger(
        sandbox, to(1, trigger_properties={"a": 2}), to(2), trigger_properties={"a": 1, "b": 1}, send_id="s"
    )
    assert answer.status_code == 201
    assert answer.json().keys() == {"dispatch_id", "message"}
    assert [(each.of, each.who, each.properties, each.send_id) for each in sandbox.messages] == [
        (ORDER_CAMPAIGN, "c-1", {"a": 2, "b": 1}, "s"),
        (ORDER_CAMPAIGN, "c-2", {"a": 1, "b": 1}, "s"),
    ]
    assert len({each.dispatch_id for each in sandbox.messages}) == 1


def test_nothing_is_deduplicated_between_requests_and_one_in_a_request() -> None:
    sandbox = people()
    for _ in range(2):
        trigger(sandbox, to(1, trigger_properties={"n": 1}), to(1, trigger_properties={"n": 2}))
    assert [each.properties for each in sandbox.messages] == [{"n": 2}, {"n": 2}]


def test_who_is_not_there_is_passed_over_without_a_word() -> None:
    sandbox = people()
    assert trigger(sandbox, to(9)).status_code == 201
    assert (
        trigger(sandbox, to(9, send_to_existing_only=False, attributes={"email": "n@example.com"})).status_code == 201
    )
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize(
    "recipient",
    [
        {"user_alias": {"alias_name": "n", "alias_label": "l"}},
        {"email": "c1@example.com", "prioritization": ["most_recently_updated"]},
    ],
)
def test_other_identifiers(recipient: dict[str, Any]) -> None:
    sandbox = people()
    alias = {"alias_name": "n", "alias_label": "l"}
    track(sandbox, {"user_alias": alias, "_update_existing_only": False, "first_name": "A"})
    assert trigger(sandbox, recipient).status_code == 201
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize(
    "recipients",
    [
        [],
        [to(1)] * 51,
        [{}],
        [{"external_user_id": ""}],
        [{"external_user_id": 7}],
        [{"external_user_id": "c-1", "email": "c1@example.com"}],
        [{"email": "c1@example.com"}],
        [{"email": "c1@example.com", "prioritization": ["identified", "unidentified"]}],
        [to(1, prioritization=["identified"])],
        [to(1, trigger_properties=[1])],
        [to(1, trigger_properties={"a": "x" * 52_000})],
        [to(1, context={})],
        [to(1, send_to_existing_only=False)],
        ["c-1"],
    ],
)
def test_recipients_that_are_refused(recipients: list[Any]) -> None:
    sandbox = people()
    assert trigger(sandbox, *recipients).status_code == 400
    assert sandbox.messages == []


@pytest.mark.parametrize(
    "more",
    [
        {"campaign_id": "unknown"},
        {"campaign_id": None},
        {"broadcast": True},
        {"segment_id": "s"},
        {"send_id": "ü"},
        {"send_id": "x" * 65},
        {"trigger_properties": "x"},
    ],
)
def test_requests_that_are_refused(more: dict[str, Any]) -> None:
    sandbox = people()
    assert trigger(sandbox, to(1), **more).status_code == 400
    assert sandbox.messages == []


def test_a_canvas_has_context_and_says_when_it_is_paused() -> None:
    sandbox = people(paused_canvases={"paused"})
    assert trigger(sandbox, to(1, context={"a": 1}), path=CANVAS).json().keys() == {"dispatch_id", "message"}
    assert trigger(sandbox, to(1, canvas_entry_properties={"a": 1}), path=CANVAS).status_code == 201
    paused = trigger(sandbox, to(1), path=CANVAS, canvas_id="paused")
    assert (paused.status_code, "notice" in paused.json()) == (201, True)
    assert trigger(sandbox, to(1), path=CANVAS, trigger_properties={}).status_code == 400
    assert [each.of for each in sandbox.messages] == [ORDER_CANVAS, ORDER_CANVAS]


def mail(sandbox: BrazeSandbox, *, path: str = MAIL, **body: Any) -> httpx.Response:
    return call(sandbox, path=path, json={"recipient": {"external_user_id": "c-1"}, **body})


def test_a_transactional_mail_of_one_send_id_is_sent_once_a_day() -> None:
    clock = VirtualClock()
    sandbox = people(clock=clock)
    for _ in range(3):
        answer = mail(sandbox, external_send_id="orders-1", trigger_properties={"a": 1})
        assert (answer.status_code, answer.json()["status"]) == (201, "sent")
    mail(sandbox, external_send_id="orders-2")
    mail(sandbox)
    mail(sandbox)
    assert [each.send_id for each in sandbox.messages] == ["orders-1", "orders-2", None, None]
    clock.advance(24 * 3600 + 1)
    mail(sandbox, external_send_id="orders-1")
    assert len(sandbox.messages) == 5


@pytest.mark.parametrize(
    "body",
    [
        {"external_send_id": "a b"},
        {"external_send_id": ""},
        {"recipient": None},
        {"recipient": {"email": "c1@example.com"}},
        {"recipient": {"external_user_id": "c-1", "user_alias": {"alias_name": "n", "alias_label": "l"}}},
        {"recipients": []},
        {"trigger_properties": 1},
    ],
)
def test_transactional_mails_that_are_refused(body: dict[str, Any]) -> None:
    sandbox = people()
    assert mail(sandbox, **body).status_code == 400
    assert mail(sandbox, path=f"/transactional/v1/campaigns/{ORDER_CAMPAIGN}/send").status_code == 400
    assert sandbox.messages == []


def test_messages_without_a_campaign() -> None:
    sandbox = people()
    body = {"external_user_ids": ["c-1", "c-9"], "messages": {"webhook": {"url": "https://example.com"}}}
    assert call(sandbox, path="/messages/send", json=body).status_code == 201
    assert [each.who for each in sandbox.messages] == ["c-1"]
    wrongs: tuple[dict[str, Any], ...] = (
        {"messages": {}},
        {"messages": {"fax": {}}},
        {"external_user_ids": []},
        {"external_user_ids": ["c"] * 51},
    )
    for wrong in wrongs:
        assert call(sandbox, path="/messages/send", json={**body, **wrong}).status_code == 400


@pytest.mark.parametrize("path", [CAMPAIGN, CANVAS, MAIL, "/messages/send"])
def test_each_needs_a_permission_of_its_own(path: str) -> None:
    sandbox = a_workspace(keys={"sandbox-key": {"users.track"}})
    assert call(sandbox, path=path, json={}).status_code == 403
    assert call(a_workspace(), path=path, json={}).status_code == 400


def test_which_campaigns_and_canvases_there_are_is_the_workspace_s_own() -> None:
    sandbox = people(api_campaigns={"mine": "Mine"}, api_canvases={}, transactional_campaigns={"receipt": "Receipt"})
    assert trigger(sandbox, to(1)).status_code == 400
    assert trigger(sandbox, to(1), campaign_id="mine").status_code == 201
    assert trigger(sandbox, to(1), path=CANVAS).status_code == 400
    assert mail(sandbox).status_code == 400
    assert mail(sandbox, path="/transactional/v1/campaigns/receipt/send").status_code == 201


def test_broadcasts_draw_from_a_limit_of_their_own() -> None:
    sandbox = people(broadcasts_per_minute=1)
    body = {"campaign_id": ORDER_CAMPAIGN, "broadcast": True}
    assert [call(sandbox, path=CAMPAIGN, json=body).status_code for _ in range(2)] == [201, 429]
    assert trigger(sandbox, to(1)).status_code == 201
