"""The feed of Caspio's webhooks: what proves a message, what is kept of it, and what a stranger can do."""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from caspio_sync.errors import LedgerFullError
from caspio_sync.feeds import SignatureForm
from caspio_sync.hints import Hints, Message
from caspio_sync.receiver.webhooks import BODY_LIMIT
from tests.unit.webhook_service import OLD, SECRET, HookService, message


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[HookService]:
    service = HookService(tmp_path)
    yield service
    service.close()


def signed(body: bytes, form: SignatureForm, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    text = digest.hex() if form.encoding == "hex" else base64.b64encode(digest).decode()
    return {"Content-Type": "application/json", form.header: form.prefix + text}


# ---- what is kept


def test_every_row_of_a_message_is_a_hint_and_nothing_of_it_is_kept(hooks: HookService) -> None:
    assert hooks.send(message(1, 2, 2, 500)) == ["kept"]
    assert hooks.keys() == [1, 2, 500]
    kept = hooks.stored()
    assert SECRET not in kept
    assert "example.com" not in kept
    assert "m1x7qd" not in kept


def test_one_message_of_500_rows(hooks: HookService) -> None:
    assert hooks.send(message(*range(1, 501))) == ["kept"]
    assert hooks.keys() == list(range(1, 501))


def test_what_comes_again_within_14_days_is_a_duplicate_and_an_event_id_says_nothing(hooks: HookService) -> None:
    first, second = message(1), message(1)
    assert first["eventId"] == second["eventId"]
    assert sorted(hooks.send(first, first, second)) == ["duplicate", "kept", "kept"]
    hooks.hints.mark_read(each.number for each in hooks.hints.waiting("customers", limit=10))
    assert hooks.send(first) == ["duplicate"]
    hooks.clock.advance(timedelta(days=13).total_seconds())
    assert hooks.hints.purge(payload_days=7) == 0
    later = {**first, "eventDate": f"{hooks.clock.now():%Y-%m-%dT%H:%M:%S}"}
    assert hooks.send(later) == ["duplicate"]
    hooks.clock.advance(timedelta(days=2).total_seconds())
    assert hooks.hints.purge(payload_days=7) == 2
    assert hooks.send({**later, "eventDate": None}) == ["kept"]


def test_a_message_that_brings_one_more_row_is_kept(hooks: HookService) -> None:
    first = message(1)
    assert hooks.send(first) == ["kept"]
    assert hooks.send({**first, "data": [{"PK_ID": 1}, {"PK_ID": 2}]}) == ["kept"]
    assert hooks.keys() == [1, 2]


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ({"objectName": "Orders"}, "other_table"),
        ({"objectName": "customers"}, "kept"),  # Caspio's names are the same in any case
        ({"objectName": None}, "kept"),
        ({"eventDate": "2026-03-02T10:59:59"}, "stale"),
        ({"eventDate": "2026-03-02T11:00:01"}, "kept"),
        ({"eventDate": "2026-03-02T18:00:00"}, "kept"),  # a clock that is ahead
        ({"eventDate": "yesterday"}, "kept"),
        ({"eventType": "table.recordDelete"}, "kept"),
        ({"eventType": "table.somethingNew"}, "kept"),
        ({"data": []}, "empty"),
        ({"data": None}, "empty"),
        ({"data": [{"Id": 7}]}, "unreadable"),  # a renamed field
        ({"data": {"PK_ID": 7}}, "kept"),
        ({"data": [{"PK_ID": "7"}]}, "kept"),
        ({"data": [{"PK_ID": 7.0}]}, "kept"),
        ({"data": [{"PK_ID": True}]}, "unreadable"),
        ({"data": [{"PK_ID": -7}]}, "unreadable"),
        ({"data": [{"PK_ID": 2**63}]}, "unreadable"),
        ({"data": [{"PK_ID": "1, 2"}]}, "unreadable"),
        ({"data": [7]}, "empty"),
        ({"messageId": "\x00" * 5000}, "kept"),
        ({"messageId": 7}, "kept"),
    ],
)
def test_what_a_message_may_say(hooks: HookService, words: dict[str, Any], outcome: str) -> None:
    assert hooks.send(message(7, **words)) == [outcome]
    assert hooks.keys() == ([7] if outcome == "kept" else [])
    assert hooks.heard() == {outcome: 1}


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b'{"secret":"%s","data":[{"PK_ID":1,"Name":"\\ud83d"}]}', [1]),  # half an emoji
        (b'{"secret":"%s","data":[{"PK_ID":1,"Score":NaN,"Note":"a\tb\x00\xff"}]}', [1]),
        (b'{"secret":"%s","data":[{"PK_ID":1}],"data":[{"PK_ID":2}]}', [1, 2]),
        (b'{"secret":"%s","data":[{"PK_ID":1,"PK_ID":2}]}', [1, 2]),
        (b'\xef\xbb\xbf{"secret":"%s","data":[{"PK_ID":1}]}', [1]),
        (b'{"Secret":"%s","Data":[{"pk_id":1}]}', [1]),
        (b'{"secret":"%s","PK_ID":1}', [1]),
    ],
)
def test_what_is_not_quite_json_still_tells_its_rows(hooks: HookService, body: bytes, keys: list[int]) -> None:
    assert hooks.raw(body.replace(b"%s", SECRET.encode())).status_code == 200
    assert hooks.keys() == keys


# ---- what proves it


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_the_secret_and_the_one_before_are_good(hooks: HookService, secret: str) -> None:
    assert hooks.send(message(1, secret=secret)) == ["kept"]


@pytest.mark.parametrize(
    "post",
    [
        {"json": message(1, secret="d2c1f7a09b3e4c5")},
        {"json": message(1, secret=None)},
        {"json": message(1, secret=[])},
        {"json": {"data": [{"PK_ID": 1}]}},
        {"content": b"not JSON at all"},
        {"content": b""},
        {"content": b"[1]"},
        {"content": b"[" * 100_000},
        {"data": {"PK_ID": "1"}},
        {"json": message(1, secret=""), "headers": {"X-Webhook-Secret": ""}},
        {"json": message(1, secret=""), "headers": {"X-Webhook-Secret": "wrong-wrong-wrong"}},
    ],
)
def test_whoever_proves_nothing_leaves_nothing_behind(hooks: HookService, post: dict[str, Any]) -> None:
    answer = hooks.post(**post)
    assert answer.status_code == 401
    assert hooks.stored() == "[]"


def test_a_sync_without_a_feed_is_no_address_and_no_verb_but_post_is_known(hooks: HookService) -> None:
    assert hooks.post("/caspio/orders", json=message(1)).status_code == 404
    assert hooks.post("/caspio", json=message(1)).status_code == 404
    assert hooks.post("/caspio/customers/", json=message(1)).status_code == 200


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_signature_proves_the_bytes_and_a_wrong_one_refuses_the_secret_beside_it(
    tmp_path: Path, encoding: Any
) -> None:
    form = SignatureForm(header="X-Caspio-Signature", encoding=encoding, prefix="sha256=")
    service = HookService(tmp_path, form=form)
    unnamed = {name: value for name, value in message(1).items() if name not in {"secret", "eventDate"}}
    body = orjson.dumps(unnamed)
    assert service.post(content=body, headers=signed(body, form)).status_code == 200
    assert service.post(content=body, headers=signed(body, form, OLD)).status_code == 200
    assert service.post(content=body, headers=signed(body, form, "another-secret")).status_code == 401
    assert service.post(content=body + b" ", headers=signed(body, form)).status_code == 401
    with_secret = orjson.dumps(message(2, eventDate=None))
    assert service.post(content=with_secret, headers=signed(body, form)).status_code == 401
    assert service.post(content=with_secret, headers={form.header: "sha256=zz"}).status_code == 401
    path = f"/caspio/customers/{SECRET}"
    assert service.post(path, content=with_secret, headers={form.header: "sha256=00"}).status_code == 401
    assert service.post(content=with_secret).status_code == 200  # not signed: the secret in it proves it
    assert service.keys() == [1, 2]
    service.close()


def test_a_step_of_a_triggered_action_proves_itself_by_path_or_header(hooks: HookService) -> None:
    """It can sign nothing, and sends a form or parameters; what it says is a hint all the same."""
    path = f"/caspio/customers/{SECRET}"
    header = {"X-Webhook-Secret": SECRET}
    assert hooks.post(path, data={"PK_ID": ["1", "2"], "Email": "x@example.com"}).status_code == 200
    assert hooks.post(f"{path}?PK_ID=3").status_code == 200
    assert hooks.post(f"{path}/", data={"PK_ID": "4", "eventType": "table.recordDelete"}).status_code == 200
    assert hooks.post(data={"PK_ID": "5"}, headers=header).status_code == 200
    assert hooks.post("/caspio/customers?PK_ID=6", headers=header).status_code == 200
    assert hooks.post(data={"PK_ID": "7", "secret": SECRET}).status_code == 200
    assert hooks.post(path, content=b"not JSON").status_code == 400
    assert hooks.keys() == [1, 2, 3, 4, 5, 6, 7]
    assert SECRET not in hooks.stored()
    assert "example.com" not in hooks.stored()


# ---- how much, and when not


def test_10_megabytes_are_taken_and_one_byte_more_is_not(hooks: HookService) -> None:
    room = BODY_LIMIT - len(orjson.dumps(message(1, Filling="")))
    assert hooks.raw(orjson.dumps(message(1, Filling="x" * room))).status_code == 200
    answer = hooks.raw(orjson.dumps(message(2, Filling="x" * (room + 1))))
    assert answer.status_code == 413
    assert hooks.keys() == [1]


def test_a_full_disk_is_a_503_that_names_no_place_and_the_message_is_taken_afterwards(tmp_path: Path) -> None:
    full = [True]

    def keep(messages: Sequence[Message]) -> Sequence[str]:
        if full[0]:
            raise LedgerFullError("Could not keep hints in sqlite:////home/somebody/inbox.db: the disk is full")
        return service.hints.add(messages)

    service = HookService(tmp_path, keep=keep)
    told = message(1, eventDate=None)
    answer = service.post(json=told)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "somebody" not in answer.text
    full[0] = False
    assert service.send(told) == ["kept"]
    service.close()


def test_health_tells_of_messages_that_cannot_be_written_until_one_may_be_tried_again(tmp_path: Path) -> None:
    full = [True]

    def keep(messages: Sequence[Message]) -> Sequence[str]:
        if full[0]:
            raise LedgerFullError("Could not keep hints in sqlite:////home/somebody/inbox.db: the disk is full")
        return service.hints.add(messages)

    service = HookService(tmp_path, keep=keep)
    well = {"inbox": "ok", "webhooks": "ok", "waiting_posts": 0}
    assert service.health() == (200, well)
    for _ in range(2):
        assert service.post(json=message(1, eventDate=None)).status_code == 503
        assert service.health() == (503, {**well, "webhooks": "failing"})
        service.clock.advance(61)  # a proxy that lets nothing through to it lets messages through again
        assert service.health() == (200, well)
    assert service.post(json=message(1, eventDate=None)).status_code == 503
    full[0] = False
    assert service.send(message(1, eventDate=None)) == ["kept"]
    assert service.health() == (200, well)
    service.close()


def test_what_was_answered_200_is_there_for_another_process(hooks: HookService) -> None:
    messages = [message(number) for number in range(1, 301)]
    assert hooks.send(*messages) == ["kept"] * 300
    with Hints.open(hooks.url) as other:
        assert sorted(each.source_pk for each in other.waiting("customers", limit=1_000)) == list(range(1, 301))
        assert other.count_waiting("customers")[0] == 300
        with other.reading("look") as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_two_receivers_take_one_message_once(hooks: HookService, tmp_path: Path) -> None:
    """Several URLs of a webhook get the same messageId each."""
    other = HookService(tmp_path)
    told = message(1)
    assert [*hooks.send(told), *other.send(told)] == ["kept", "duplicate"]
    assert hooks.keys() == [1]
    other.close()


def test_a_burst_is_queued_and_written_together(tmp_path: Path) -> None:
    sizes: list[int] = []

    def keep(messages: Sequence[Message]) -> Sequence[str]:
        sizes.append(len(messages))
        return service.hints.add(messages)

    service = HookService(tmp_path, keep=keep)
    assert set(service.send(*(message(number, eventDate=None) for number in range(1, 501)))) == {"kept"}
    assert sum(sizes) == 500
    assert len(sizes) < 100
    assert len(service.keys()) == 500
    service.close()
