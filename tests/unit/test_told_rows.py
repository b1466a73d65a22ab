"""Rows that messages tell whole: which are kept, encrypted, and for how long; and which cells have one reading."""

import contextlib
import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from caspio_sync.engine.told_rows import is_plain
from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.receiver.told_rows import MOST_BYTES, told_by
from caspio_sync.schemas import CaspioField
from caspio_sync.sealed import Sealer, new_key
from tests.unit.webhook_service import OLD, SECRET, HookService, message

KEY, OTHER = new_key(), new_key()
SEALER = Sealer(SecretStr(KEY))
FEEDS = {"customers": WebhookFeed(table="Customers", secrets=(SECRET, OLD), payload=True)}
FORM = SignatureForm(header="X-Signature")
TEMPLATE = {
    "messageId": "m1",
    "eventType": "table.recordInsert",
    "objectName": "Customers",
    "secret": SECRET,
    "PK_ID": "7",
    "Email": "x@example.com",
}


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[HookService]:
    service = HookService(tmp_path, sealer=SEALER, feeds=FEEDS, form=FORM)
    yield service
    service.close()


def added(*keys: Any, **words: Any) -> dict[str, Any]:
    return message(*keys, **{"eventType": "table.recordInsert", **words})


def test_rows_that_were_added_are_kept_encrypted_until_they_are_read(hooks: HookService) -> None:
    hooks.send(added(1, 2), message(3), message(4, eventType="table.recordDelete"))
    assert hooks.rows(SEALER) == {
        1: {"PK_ID": 1, "Email": "c1@example.com"},
        2: {"PK_ID": 2, "Email": "c2@example.com"},
    }
    assert hooks.keys() == [1, 2, 3, 4]
    for hidden in (SECRET, "example.com", "Email"):
        assert hidden not in hooks.stored()
    first = hooks.hints.waiting("customers", limit=1)[0]
    hooks.hints.mark_read([first.number])
    assert set(hooks.rows(SEALER)) == {2}
    assert hooks.stored().count("gAAAA") == 1


def test_nobody_takes_them_and_they_go_before_their_hints(hooks: HookService) -> None:
    hooks.send(added(1))
    hooks.clock.advance(timedelta(days=6).total_seconds())
    hooks.hints.purge(payload_days=7)
    assert set(hooks.rows(SEALER)) == {1}
    hooks.clock.advance(timedelta(days=2).total_seconds())
    hooks.hints.purge(payload_days=7)
    assert (hooks.rows(SEALER), hooks.keys()) == ({}, [1])


def test_all_of_them_are_forgotten_and_the_hints_stay(hooks: HookService) -> None:
    hooks.send(added(1, 2))
    assert hooks.hints.forget_payloads() == 2
    assert (hooks.rows(SEALER), hooks.keys()) == ({}, [1, 2])


def test_only_what_proves_the_body_has_its_rows_believed(hooks: HookService) -> None:
    bare = {name: value for name, value in added(1).items() if name != "secret"}
    assert hooks.post(f"/caspio/customers/{SECRET}", json=bare).status_code == 200
    assert hooks.post(json=bare | {"messageId": "b"}, headers={"X-Webhook-Secret": SECRET}).status_code == 200
    assert hooks.post(f"/caspio/customers?secret={SECRET}", json=bare | {"messageId": "c"}).status_code == 200
    assert hooks.post(data={**TEMPLATE, "messageId": "d"}).status_code == 200
    assert hooks.rows(SEALER) == {}
    assert len(hooks.keys()) == 4
    body = orjson.dumps(bare | {"messageId": "e"})
    signature = hmac.new(OLD.encode(), body, hashlib.sha256).hexdigest()
    assert hooks.post(content=body, headers={"X-Signature": signature}).status_code == 200
    assert set(hooks.rows(SEALER)) == {1}


def test_a_template_without_data_is_the_row_and_its_secret_is_struck_out(hooks: HookService) -> None:
    hooks.post(json=TEMPLATE)
    assert hooks.rows(SEALER) == {7: {"PK_ID": "7", "Email": "x@example.com"}}


@pytest.mark.parametrize("table", [None, "Customers"])
def test_a_row_of_a_table_that_is_not_named_or_not_known_is_announced_alone(tmp_path: Path, table: str | None) -> None:
    """A secret may be that of a webhook of several tables, and another one may have fields of the same names."""
    feeds = {"customers": WebhookFeed(table=table, secrets=(SECRET,), payload=True)}
    service = HookService(tmp_path, sealer=SEALER, feeds=feeds)
    with contextlib.closing(service):
        service.send(added(1, objectName="Former_Customers" if table is None else ""))
        assert (service.rows(SEALER), service.keys()) == ({}, [1])


def test_a_row_in_which_a_secret_stands_is_not_kept(hooks: HookService) -> None:
    hooks.send(added(data=[{"PK_ID": 1, "Note": f"a {OLD}"}, {"PK_ID": 2, "Note": ""}]))
    assert (set(hooks.rows(SEALER)), hooks.keys()) == ({2}, [1, 2])


def test_a_feed_that_keeps_none_and_a_receiver_without_a_key_keep_none(tmp_path: Path) -> None:
    for name, sealer, payload in (("a", None, True), ("b", SEALER, False)):
        (tmp_path / name).mkdir()
        feeds = {"customers": FEEDS["customers"].model_copy(update={"payload": payload})}
        service = HookService(tmp_path / name, sealer=sealer, feeds=feeds)
        service.send(added(1))
        assert (service.rows(SEALER), service.keys()) == ({}, [1])
        service.close()


@pytest.mark.parametrize(
    "rows",
    [
        b'{"PK_ID": 1, "A": 1, "a": 2}',
        b'{"PK_ID": 1, "A": NaN}',
        b'{"PK_ID": 1, "A": 1e999}',
        b'{"PK_ID": 1, "A": "\\ud83d"}',
        b'{"PK_ID": 1, "A": 99999999999999999999999}',
        b'{"PK_ID": 1, "A": 1}, {"PK_ID": 1, "A": 2}',
        b'{"PK_ID": 1, "A": "' + b"x" * MOST_BYTES + b'"}',
        b'{"A": 1}',
        b'{"PK_ID": 0}',
        b"[1]",
        b'{"PK_ID": 1, "A": "\xff"}',
    ],
)
def test_what_is_not_plain_tells_nothing(rows: bytes) -> None:
    assert told_by(b'{"secret": "x", "data": [' + rows + b"]}").rows == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b'{"data": null}', b'{"data": {}}', b"a=1"])
def test_what_is_no_message_tells_nothing(body: bytes) -> None:
    assert told_by(body).rows == {}


@pytest.mark.parametrize(
    ("kind", "plain", "other"),
    [
        ("STRING", ["", "a", None], [1, 1.5, True, {}, []]),
        ("NUMBER", [1, -2.5, "12", "-0.25", "1.2345", "", None], ["1.234", "1,5", "1e3", " 1", "$1", True, "NaN", {}]),
        ("INTEGER", [1, "17850", ""], ["17.850", False, "x"]),
        ("YES/NO", [True, False, "true", "0"], [None, "", "yes", 1, "wahr"]),
        (
            "DATE/TIME",
            ["2026-03-02T12:00:00", "2026-03-02 12:00:00.5", "", None],
            ["02/03/2026", "2026-03-02", 1, "2026-03-02T12:00:00Z"],
        ),
        ("TIMESTAMP", ["2026-03-02T12:00:00"], ["", None, "2026-03-02T12:00:00+01:00"]),
        ("LIST-STRING", [{"2": "blue"}, {}], [None, "", "blue", ["blue"]]),
        ("FILE", [], ["/a.png", ""]),
    ],
)
def test_which_cells_have_one_reading(kind: str, plain: list[Any], other: list[Any]) -> None:
    field = CaspioField("A", kind, time_zone="UTC")
    assert [is_plain(field, value) for value in (*plain, *other)] == [True] * len(plain) + [False] * len(other)


def test_a_stamp_in_a_zone_that_messages_may_tell_otherwise_is_read() -> None:
    assert not is_plain(CaspioField("A", "TIMESTAMP", time_zone="Pacific Standard Time"), "2026-03-02T12:00:00")
