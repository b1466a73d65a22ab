"""`caspio-sync receive` as a user starts it: a real process, posts over a real socket, and its sudden end."""

import http.client
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from caspio_sync.engagement.events import read_events
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.sandbox.server import SandboxProcesses
from tests.e2e.cluster import until
from tests.postgresql import PostgreSQL

ROOT = Path(__file__).parents[2]
TOKEN = "c2FuZGJveC10b2tlbg=="
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Process:
    """`receive` in a folder, on a free port."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.home = folder / ".caspio-sync"
        self.inbox_url = environment.get("CASPIO_SYNC_LEDGER_URL", f"sqlite:///{self.home / 'inbox.db'}")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "CASPIO_SYNC_RECEIVER_TOKEN": TOKEN,
            **environment,
        }
        command = [sys.executable, "-m", "caspio_sync", "receive", "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        self.url = next((word for word in self.said.split() if word.startswith("http")), "").rstrip(";")

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.said += self.process.stdout.read()
        self.process.stdout.close()
        return code

    def ids(self) -> set[str]:
        with Inbox.open(self.inbox_url) as inbox:
            frames = [read_events([(post.seq, post.lines) for post in part]) for part in inbox.posts(0)]
        return {each for frame in frames for each in frame["event_id"]}


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    if process.process.poll() is None:
        process.end(signal.SIGKILL)


def a_post(name: str) -> bytes:
    return orjson.dumps(
        {"events": [{"event_type": "t", "id": f"{name}-{n}", "time": 1_785_000_000} for n in range(100)]}
    )


WEBHOOKS = '{"customers": {"table": "Customers", "secrets": ["d2c1f7a09b3e4c5d"]}}'


def test_no_message_of_a_webhook_that_was_answered_200_is_lost_by_kill_9(tmp_path: Path) -> None:
    process = Process(tmp_path, CASPIO_SYNC_WEBHOOKS=WEBHOOKS, CASPIO_SYNC_RECEIVER_TOKEN="")
    taken: list[int] = []

    def post(start: int) -> None:
        with httpx.Client(trust_env=False) as client:
            for number in range(start, start + 100_000):
                told = {"secret": "d2c1f7a09b3e4c5d", "messageId": f"m-{number}", "data": [{"PK_ID": number}]}
                try:
                    answer = client.post(process.url.replace("/currents", "/caspio/customers"), json=told)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    taken.append(number)

    senders = [threading.Thread(target=post, args=(start,)) for start in (1, 1_000_001, 2_000_001)]
    for each in senders:
        each.start()
    try:
        until("messages taken", lambda: len(taken) > 100)
    finally:
        code = process.end(signal.SIGKILL)
        for each in senders:
            each.join(timeout=10)
    assert code == -signal.SIGKILL
    with Hints.open(process.inbox_url) as hints:
        kept = {each.source_pk for each in hints.waiting("customers", limit=1_000_000)}
    assert set(taken) <= kept


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_answered_before_a_kill_is_in_the_inbox(
    tmp_path: Path, database: str, seed: int, request: pytest.FixtureRequest
) -> None:
    """Several senders at once; the process is killed in the middle, started again, and sent the rest."""
    environment = {}
    if database == "postgresql":
        environment["CASPIO_SYNC_LEDGER_URL"] = str(request.getfixturevalue("postgresql_ledger"))
    process = Process(tmp_path, **environment)
    answered: set[str] = set()

    def send(sender: int) -> None:
        with httpx.Client(headers=BEARER, trust_env=False) as client:
            for number in range(10_000):
                try:
                    answer = client.post(process.url, content=a_post(f"{sender}.{number}"))
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    answered.update(f"{sender}.{number}-{n}" for n in range(100))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(6)]
    for thread in senders:
        thread.start()
    while len(answered) < 2_000:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    for thread in senders:
        thread.join()
    again = Process(tmp_path, **environment)
    try:
        assert answered <= again.ids()
        assert httpx.post(again.url, content=a_post("later"), headers=BEARER, trust_env=False).status_code == 200
        assert "later-99" in again.ids()
    finally:
        again.end(signal.SIGTERM)


def test_while_its_database_is_away_it_refuses_and_then_takes_the_same_post(
    tmp_path: Path, postgresql_server: PostgreSQL, postgresql_ledger: str
) -> None:
    """Braze sends what was answered with a 503 again."""
    process = Process(tmp_path, CASPIO_SYNC_LEDGER_URL=postgresql_ledger)
    try:
        with httpx.Client(headers=BEARER, trust_env=False, timeout=60) as client:
            assert client.post(process.url, content=a_post("a")).status_code == 200
            postgresql_server.stop()
            away = client.post(process.url, content=a_post("b"))
            postgresql_server.start()
            assert away.status_code == 503
            until("the database", lambda: client.post(process.url, content=a_post("b")).status_code == 200)
        assert process.ids() == {f"{name}-{n}" for name in "ab" for n in range(100)}
    finally:
        process.end(signal.SIGTERM)


def test_it_ends_politely_and_leaves_no_log_beside_the_file(receiving: Process) -> None:
    assert httpx.post(receiving.url, content=a_post("a"), headers=BEARER, trust_env=False).status_code == 200
    assert receiving.end(signal.SIGTERM) == 0
    assert not (receiving.home / "inbox.db-wal").exists()
    with sqlite3.connect(receiving.home / "inbox.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert len(receiving.ids()) == 100


@pytest.mark.parametrize("size", [11_000_000, 60_000_000])
def test_a_post_that_is_too_large_hears_the_answer(receiving: Process, size: int) -> None:
    """Braze sends smaller posts on a 413, and the same again on a connection that breaks off."""
    large = a_post("x")[:-2] + b"," * size + b"]}"
    # A client that reads nothing before it has written everything; a connection closed meanwhile is an error to it.
    connection = http.client.HTTPConnection(receiving.url.split("/")[2], timeout=60)
    connection.request("POST", "/currents", body=large, headers=BEARER)
    assert connection.getresponse().status == 413
    connection.close()
    assert httpx.post(receiving.url, content=a_post("x"), headers=BEARER, trust_env=False).status_code == 200


def test_log_and_answers_hold_no_person_and_no_token(receiving: Process) -> None:
    secret: list[Any] = [{"event_type": "new.Type", "id": 5, "user": {"external_user_id": "findme"}}]
    secret += [{"event_type": "new.Type", "id": "1", "time": 1, "user": {"external_user_id": "findme"}}]
    for headers in (BEARER, {"Authorization": "Bearer findme"}):
        answer = httpx.post(receiving.url, json={"events": secret}, headers=headers, trust_env=False)
        assert "findme" not in answer.text
    receiving.end(signal.SIGTERM)
    assert "new.Type" in receiving.said
    assert "findme" not in receiving.said
    assert TOKEN not in receiving.said


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CASPIO_SYNC_RECEIVER_TOKEN": ""}, "CASPIO_SYNC_RECEIVER_TOKEN: not set (bearer token of Braze Currents"),
        ({"CASPIO_SYNC_RECEIVER_TOKEN": "short"}, "CASPIO_SYNC_RECEIVER_TOKEN: 16 characters or more"),
        ({"CASPIO_SYNC_LEDGER_URL": "mysql://x/y"}, "neither SQLite nor PostgreSQL"),
    ],
)
def test_it_does_not_start_half_configured(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    process = Process(tmp_path, **environment)
    assert process.process.wait(timeout=30) == 2
    assert process.process.stdout is not None
    said = " ".join((process.said + process.process.stdout.read()).split())
    process.process.stdout.close()
    assert told in said


def test_a_taken_port_is_told(receiving: Process, tmp_path: Path) -> None:
    port = receiving.url.split(":")[2].split("/")[0]
    command = [sys.executable, "-m", "caspio_sync", "receive", "--port", port]
    environment = {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "CASPIO_SYNC_RECEIVER_TOKEN": TOKEN,
        "PATH": os.environ["PATH"],
    }
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, "cannot listen" in ended.stdout + ended.stderr) == (2, True)


def test_the_sandbox_sends_what_became_of_its_messages(receiving: Process) -> None:
    """As the demo does it: two processes, a stream with duplicates in disorder, every event in the inbox."""
    with (
        SandboxProcesses(kinds=["braze"], braze={"currents": True}) as sandbox,
        httpx.Client(trust_env=False) as client,
    ):
        headers = {"Authorization": f"Bearer {sandbox.braze_key}"}
        people = [{"external_id": f"c-{number}", "email": f"c{number}@example.com"} for number in range(50)]
        client.post(f"{sandbox.braze_url}/users/track", json={"attributes": people}, headers=headers).raise_for_status()
        at = "2026-01-01T10:00:00+00:00"
        messages = [
            {"kind": kind, "external_id": each["external_id"], "at": at, "campaign_id": "cmp-1"}
            for each in people
            for kind in ("email.Delivery", "email.Open", "email.Click")
        ]
        asked = {"campaigns": {"cmp-1": "Autumn"}, "messages": messages, "states": []}
        told = client.post(f"{sandbox.braze_url}/sandbox/messages", json=asked).raise_for_status().json()
        assert told == {"waiting": 150}
        wrong = client.post(
            f"{sandbox.braze_url}/sandbox/currents", json={"url": receiving.url, "token": "wrong"}
        ).json()
        assert (wrong["state"], wrong["waiting"]) == ("suspended", 150)
        connector = {"url": receiving.url, "token": TOKEN, "behaviour": {"duplicates": 0.5, "events_a_post": 20}}
        right = client.post(f"{sandbox.braze_url}/sandbox/currents", json=connector, timeout=60).json()
        assert (right["state"], right["events"], right["waiting"]) == ("active", 150, 0)
        assert client.post(f"{sandbox.braze_url}/sandbox/messages", json={"messages": [{}]}).status_code == 400
    assert len(receiving.ids()) == 150
