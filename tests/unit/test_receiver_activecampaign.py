"""The feed of ActiveCampaign's webhooks: who may post, what is answered, and what is on the disk by then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.engagement.events import read_events
from caspio_sync.errors import CaspioSyncError
from caspio_sync.inbox import Inbox
from tests.unit.receiver_service import Service
from tests.virtual_clock import VirtualClock

SECRET, OLD = "n4-secret_of_the-path_0123456789", "the-one-before_0123456789abcdef"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def form(**more: str) -> bytes:
    told = {
        "type": "unsubscribe",
        "date_time": "2026-03-02T06:00:00-06:00",
        "list": "6",
        "contact[email]": "a@b.example",
    }
    return urlencode({**told, **more}).encode()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox.open(f"sqlite:///{tmp_path}/inbox.db", clock=VirtualClock()) as made:
        yield made


@pytest.fixture
def service(inbox: Inbox) -> Service:
    return Service(inbox, activecampaign=[SecretStr(SECRET), SecretStr(OLD)], clock=VirtualClock())


def post(service: Service, body: bytes = b"", *, path: str = SECRET, **more: Any) -> httpx.Response:
    sent = {"content": body or form(), "headers": FORM, **more}
    answer: httpx.Response = service.run(lambda client: client.post(f"/activecampaign/{path}", **sent))
    return answer


def test_a_post_is_answered_once_it_is_on_the_disk(service: Service, inbox: Inbox) -> None:
    assert post(service).status_code == 200
    (part,) = inbox.posts(0)
    (kept,) = part
    (event,) = read_events([(kept.seq, kept.lines)]).rows(named=True)
    assert (kept.source, event["email"], event["group_id"], event["state"]) == (
        "activecampaign",
        "a@b.example",
        "6",
        "unsubscribed",
    )


@pytest.mark.parametrize("path", [SECRET, OLD, f"{SECRET}/"])
def test_either_secret_is_good_with_and_without_a_slash(service: Service, path: str) -> None:
    assert post(service, path=path).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("wrong", 401), (f"{SECRET}x", 401), ("%00", 401), ("", 404)])
def test_whoever_does_not_know_it_leaves_nothing(service: Service, inbox: Inbox, path: str, status: int) -> None:
    answer = post(service, path=path)
    assert (answer.status_code, list(inbox.posts(0))) == (status, [])
    assert SECRET not in answer.text


def test_without_a_secret_there_is_no_feed(inbox: Inbox) -> None:
    assert post(Service(inbox)).status_code == 404


def test_what_comes_twice_is_kept_once(service: Service, inbox: Inbox) -> None:
    assert [post(service).status_code, post(service).status_code] == [200, 200]
    assert len(service.ids()) == 1
    assert service.metric("caspio_sync_events_total", path="/activecampaign", outcome="duplicate") == 1


def test_what_cannot_be_read_is_kept_and_not_asked_for_again(service: Service, inbox: Inbox) -> None:
    assert post(service, b"type=open").status_code == 200
    assert [each.reason for each in inbox.malformed()] == ["it bears no type, or no date_time"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {"Content-Type": "application/json"}}, 415),
        ({"content": b"x=" + b"y" * 1_000_001}, 413),
        ({"headers": {**FORM, "Content-Encoding": "br"}}, 415),
    ],
)
def test_what_is_no_form_of_theirs_is_refused(service: Service, more: dict[str, Any], status: int) -> None:
    assert post(service, **more).status_code == status


def test_a_full_disk_is_503_and_never_410(service: Service, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise CaspioSyncError("the disk /secret/place is full")

    monkeypatch.setattr(inbox, "add", full)
    answer = post(service)
    assert (answer.status_code, "secret" in answer.text) == (503, False)
    monkeypatch.undo()
    assert post(service).status_code == 200  # what was not kept is taken when it comes again
    assert len(service.ids()) == 1


def test_the_metrics_do_not_show_the_secret(service: Service) -> None:
    post(service)
    post(service, path="wrong-secret-of-somebody")
    shown = service.run(lambda client: client.get("/metrics")).text
    assert ("/activecampaign" in shown, SECRET in shown, "wrong-secret" in shown) == (True, False, False)
