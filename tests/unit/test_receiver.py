"""The receiver: what it answers, and what is in the inbox when it has."""

import asyncio
import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from caspio_sync.engagement.events import Post
from caspio_sync.errors import CaspioSyncError
from caspio_sync.inbox import Inbox
from caspio_sync.receiver import app
from caspio_sync.receiver.recent import RecentIds
from tests.unit.receiver_service import BEARER, TOKEN, Service, body, events


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        yield opened


@pytest.fixture
def service(inbox: Inbox) -> Service:
    return Service(inbox)


# Who may post.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
    ],
)
@pytest.mark.parametrize("content", [b"", body(), body(*events(1)), b"{"])
def test_a_missing_or_forged_token_is_told_so_whatever_the_body(
    service: Service, headers: dict[str, str], content: bytes
) -> None:
    assert service.post(content, headers).status_code == 401
    assert service.ids() == []


def test_the_old_token_is_good_while_there_is_one(inbox: Inbox) -> None:
    service = Service(inbox, tokens=[SecretStr("new-token-0123456789"), SecretStr(TOKEN)])
    assert service.post(body(*events(1))).status_code == 200
    assert service.post(body(), {"authorization": "bearer new-token-0123456789"}).status_code == 200


@pytest.mark.parametrize("content", [b"", b" \n", body()])
def test_an_empty_post_is_taken_and_nothing_is_kept(service: Service, content: bytes) -> None:
    assert service.post(content).status_code == 200
    assert service.inbox.waiting(0).posts == 0


# What is taken.


def test_a_post_is_in_the_inbox_when_it_is_answered(service: Service) -> None:
    assert service.post(body(*events(100))).status_code == 200
    assert service.ids() == [f"e-{number}" for number in range(100)]
    assert service.inbox.waiting(0)[:2] == (1, 100)


def test_the_answer_waits_for_the_commit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    committed: list[int] = []
    add = service.inbox.add

    def slow(posts: list[Post]) -> None:
        add(posts)
        committed.append(len(posts))

    monkeypatch.setattr(service.inbox, "add", slow)
    assert service.post(body(*events(3))).status_code == 200
    assert committed == [1]


def test_a_burst_is_committed_in_few_commits_and_all_of_it_is_answered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    add = service.inbox.add

    def grouped(posts: Any) -> None:
        groups.append(len(posts))
        add(posts)

    monkeypatch.setattr(service.inbox, "add", grouped)

    async def burst(client: httpx.AsyncClient) -> list[int]:
        posts = [client.post("/currents", content=body(*events(5, 5 * n)), headers=BEARER) for n in range(60)]
        return [answer.status_code for answer in await asyncio.gather(*posts)]

    assert service.run(burst) == [200] * 60
    assert sum(groups) == 60
    assert len(groups) < 30
    assert sorted(service.ids()) == sorted(f"e-{number}" for number in range(300))


def test_a_compressed_post(service: Service) -> None:
    gzipped = gzip.compress(body(*events(3)))
    assert service.post(gzipped, BEARER | {"Content-Encoding": "gzip"}).status_code == 200
    assert len(service.ids()) == 3
    assert service.post(gzipped[:-9], BEARER | {"Content-Encoding": "gzip"}).status_code == 415
    assert service.post(b"x", BEARER | {"Content-Encoding": "gzip"}).status_code == 415
    assert service.post(b"x", BEARER | {"Content-Encoding": "br"}).status_code == 415
    bomb = gzip.compress(b" " * 20_000_000)
    assert service.post(bomb, BEARER | {"Content-Encoding": "gzip"}).status_code == 413


# What is not.


@pytest.mark.parametrize("content", [b"{", b"null", b'{"events":7}'])
def test_what_is_no_post_is_refused_for_good(service: Service, content: bytes) -> None:
    assert service.post(content).status_code == 400
    assert service.inbox.waiting(0).posts == 0


def test_eleven_megabytes_are_too_many(service: Service) -> None:
    large = events(1)[0] | {"properties": {"url": "x" * 11_000_000}}
    assert service.post(body(large)).status_code == 413
    assert service.ids() == []


def test_a_new_version_of_currents_is_sent_again_until_we_know_it(service: Service) -> None:
    answer = service.post(body(*events(1)), BEARER | {"Braze-Currents-Version": "2"})
    assert answer.status_code == 501
    assert service.post(body(*events(1)), BEARER | {"Braze-Currents-Version": "1"}).status_code == 200


def test_half_a_batch_malformed_keeps_the_other_half(service: Service) -> None:
    broken: list[Any] = [{"id": "x"}, 7, None, events(1)[0] | {"time": "now"}, events(1)[0] | {"user": "me"}]
    assert service.post(body(*events(5), *broken)).status_code == 200
    assert service.ids() == [f"e-{number}" for number in range(5)]
    kept_apart = service.inbox.malformed()
    assert [orjson.loads(each.event) for each in kept_apart] == broken
    assert kept_apart[3].reason == "time is no Unix time in seconds"
    assert service.metric("caspio_sync_events_total", path="/currents", outcome="malformed") == 5
    assert service.metric("caspio_sync_events_total", path="/currents", outcome="kept") == 5


def test_unknown_types_and_fields_are_kept_and_counted(service: Service) -> None:
    new = events(1)[0] | {"event_type": "users.messages.telepathy.Send", "properties": {"thought": "hm"}}
    assert service.post(body(new)).status_code == 200
    assert service.ids() == ["e-0"]
    assert service.metric("caspio_sync_unknown_type_posts_total") == 1
    assert service.metric("caspio_sync_unknown_field_posts_total") == 1


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: orjson.dumps({"events": [text, {text: 1}]})))
def test_no_body_breaks_the_service(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with Inbox.open("sqlite://") as inbox:
        assert Service(inbox).post(content).status_code in {200, 400}


# Trouble.


def test_a_full_disk_is_told_so_and_nothing_is_lost(service: Service) -> None:
    """A database that may not grow answers as one on a full disk does: SQLITE_FULL."""
    with service.inbox.writing("limit the file") as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
        connection.execute(sa.text(f"PRAGMA max_page_count={pages}"))
    noise = [
        each | {"properties": {"new": random.Random(n).randbytes(2000).hex()}} for n, each in enumerate(events(90))
    ]

    async def talk(client: httpx.AsyncClient) -> list[int]:
        full = await client.post("/currents", content=body(*noise), headers=BEARER)
        ill = await client.get("/healthz")
        assert full.headers["retry-after"] == "30"
        assert "inbox.db" not in full.text
        with service.inbox.writing("free the disk") as connection:
            connection.execute(sa.text("PRAGMA max_page_count=1000000"))
        again = await client.post("/currents", content=body(*noise), headers=BEARER)
        return [full.status_code, ill.status_code, again.status_code, (await client.get("/healthz")).status_code]

    assert service.run(talk) == [503, 503, 200, 200]
    assert len(service.ids()) == 90


@pytest.mark.parametrize(
    ("limit", "why"),
    [({"reserve_bytes": 1 << 60}, "of the disk are free"), ({"limit_bytes": 5000}, "CASPIO_SYNC_INBOX_MAX_GB")],
)
def test_a_full_place_is_told_outside_without_its_name(
    service: Service, caplog: pytest.LogCaptureFixture, limit: dict[str, int], why: str
) -> None:
    for name, value in limit.items():
        setattr(service.inbox, name, value)

    async def talk(client: httpx.AsyncClient) -> tuple[int, str]:
        refused = await client.post("/currents", content=body(*events(1)), headers=BEARER)
        assert refused.status_code == 503
        service.receiver.commit.failure = None  # as before the first post
        first, second = await client.get("/healthz"), await client.get("/healthz")
        assert first.json() == second.json() == {"inbox": "failing", "waiting_posts": 0}
        return second.status_code, (await client.get("/metrics")).text

    status, metrics = service.run(talk)
    assert status == 503
    told = [each.message for each in caplog.records if "/healthz" in each.message]
    assert len(told) == 1
    assert why in told[0]
    assert f"caspio_sync_inbox_limit_bytes {float(limit.get('limit_bytes', 0))}" in metrics
    assert service.metric("caspio_sync_inbox_bytes") > 5000


def test_a_database_that_is_down_is_told_outside_without_its_place(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise CaspioSyncError("postgresql://user:***@db.internal/caspio refused")

    monkeypatch.setattr(service.inbox, "check", fail)
    health = service.run(lambda client: client.get("/healthz"))
    assert (health.status_code, health.json()) == (503, {"inbox": "failing", "waiting_posts": 0})


@pytest.mark.parametrize("text", [b"[" * 300 + b"]" * 300, rb'"\ud83d"', b'"\x00"', b"NaN"])
def test_nothing_in_an_event_costs_the_others_of_its_post(service: Service, text: bytes) -> None:
    odd = orjson.dumps(events(1, 5)[0]).replace(b'"true"', b'"true","new":' + text)
    whole = body(*events(2)).removesuffix(b"]}") + b"," + odd + b"]}"
    assert service.post(whole).status_code == 200
    assert service.ids()[:2] == ["e-0", "e-1"]
    assert len(service.ids()) + len(service.inbox.malformed()) == 3


def test_whatever_is_raised_is_counted_and_quotes_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_body: bytes) -> None:
        raise ValueError("c0@example.com")

    monkeypatch.setattr(app, "read_post", fail)
    assert service.post(body(*events(1))).status_code == 500
    assert service.metric("caspio_sync_posts_total", path="/currents", status="500") == 1
    assert "ValueError at" in caplog.text
    assert "example.com" not in caplog.text


def test_a_full_queue_asks_to_come_again(inbox: Inbox) -> None:
    service = Service(inbox, queue_bytes=1000)
    answer = service.post(body(*events(100)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert service.post(body(*events(2))).status_code == 200


def test_a_bug_in_the_inbox_is_a_503_and_its_words_stay_inside(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_posts: list[Post]) -> None:
        raise ValueError("c0@example.com")

    monkeypatch.setattr(service.inbox, "add", fail)
    answer = service.post(body(*events(1)))
    assert (answer.status_code, answer.json()) == (503, {"message": "the inbox cannot be written"})


def test_what_was_not_kept_is_no_duplicate_when_it_comes_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [True]
    add = service.inbox.add

    def sometimes(posts: list[Post]) -> None:
        if failing:
            failing.pop()
            raise CaspioSyncError("the disk is full")
        add(posts)

    monkeypatch.setattr(service.inbox, "add", sometimes)

    async def twice(client: httpx.AsyncClient) -> list[int]:
        answers = [await client.post("/currents", content=body(*events(2)), headers=BEARER) for _ in range(2)]
        return [answer.status_code for answer in answers]

    assert service.run(twice) == [503, 200]
    assert service.ids() == ["e-0", "e-1"]


# Again and again.


def test_the_same_batch_twenty_times_in_twenty_orders_is_kept_once(service: Service) -> None:
    lot = events(100)
    orders = [random.Random(seed).sample(lot, len(lot)) for seed in range(20)]

    async def talk(client: httpx.AsyncClient) -> None:
        for order in orders:
            assert (await client.post("/currents", content=body(*order), headers=BEARER)).status_code == 200

    service.run(talk)
    assert sorted(service.ids()) == sorted(each["id"] for each in lot)
    assert service.metric("caspio_sync_events_total", path="/currents", outcome="duplicate") == 1900


def test_an_id_twice_in_one_post_is_kept_once(service: Service) -> None:
    (event,) = events(1)
    service.post(body(event, event))
    assert service.ids() == ["e-0"]


def test_only_so_many_ids_are_remembered() -> None:
    recent = RecentIds(limit=3)
    for number in range(100):
        recent.add([str(number)])
    known = [number for number in range(100) if str(number) in recent]
    assert known == list(range(known[0], 100))
    assert 3 <= len(known) <= 8


# What is told.


def test_metrics_name_no_person(service: Service) -> None:
    async def talk(client: httpx.AsyncClient) -> str:
        await client.post("/currents", content=body(*events(5)), headers=BEARER)
        await client.post("/currents", content=b"{", headers=BEARER)
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return answer.text

    text = service.run(talk)
    assert 'caspio_sync_posts_total{path="/currents",status="200"} 1.0' in text
    assert 'caspio_sync_posts_total{path="/currents",status="400"} 1.0' in text
    assert "example.com" not in text
    assert TOKEN not in text


def test_other_paths_and_verbs(service: Service) -> None:
    async def talk(client: httpx.AsyncClient) -> list[int]:
        asked = [
            ("GET", "/currents"),
            ("GET", "/"),
            ("POST", "/a@b.example"),
            ("BREW", "/metrics"),
            ("GET", "/healthz"),
        ]
        answers = [await client.request(*each) for each in asked]
        assert answers[0].headers["allow"] == "POST"
        return [answer.status_code for answer in answers]

    assert service.run(talk) == [405, 404, 404, 405, 200]
    assert service.metric("caspio_sync_posts_total", path="other", status="404") == 2
    assert service.metric("caspio_sync_posts_total", path="other", status="405") == 2


def test_a_slash_behind_the_path_is_no_other_place(service: Service) -> None:
    async def talk(client: httpx.AsyncClient) -> list[int]:
        answers = [
            await client.post("/currents/", content=body(*events(1)), headers=headers) for headers in (BEARER, {})
        ]
        answers.append(await client.get("/healthz/"))
        return [answer.status_code for answer in answers]

    assert service.run(talk) == [200, 401, 404]
    assert service.ids() == ["e-0"]
    assert service.metric("caspio_sync_posts_total", path="/currents", status="401") == 1
