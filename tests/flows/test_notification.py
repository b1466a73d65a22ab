"""The message of a failed run: sent once, with no word of any customer, and of no effect on the run."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("without_prefect")


class Receiver:
    """A local HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status, self.delay = 200, 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append(json.loads(body))
                time.sleep(receiver.delay)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://user:MARKED-PASSWORD@127.0.0.1:{self.server.server_address[1]}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    """Apprise's plugins import what Python 3.11 deprecates."""
    import warnings

    import apprise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apprise.Apprise().add("json://127.0.0.1")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver()
    monkeypatch.setenv("CASPIO_SYNC_NOTIFY_URL", made.url)
    yield made
    made.close()


def test_a_run_that_is_done_sends_nothing(world: Any, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    assert world.ended().code == 0
    assert receiver.messages == []


def test_a_blocked_run_sends_one_message_without_keys_or_values(world: Any, receiver: Receiver) -> None:
    world.customers([world.person(number, Email="bad") for number in range(1, 31)])
    world.sync()
    ended = world.ended()
    assert ended.code == 3
    (message,) = receiver.messages
    text = f"{message['title']} {message['message']}"
    assert message["title"] == "caspio-sync: customers blocked"
    assert message["type"] == "failure"
    for part in (
        "Sync: customers",
        f"Run: {ended.report.run}",
        "State: blocked",
        "GateBlockedError, exit code 3",
        "30 read",
    ):
        assert part in text
    assert "caspio-sync status customers" in text
    assert not any(part in text for part in ("bad", "Name1", "c30", "MARKED-PASSWORD", "sandbox-secret"))


def test_a_failed_run_tells_its_class(world: Any, receiver: Receiver) -> None:
    from caspio_sync.sandbox.faults import Fault

    world.people(3)
    world.sync()
    world.break_braze(Fault(kind="status", path="/users/track", status=500))
    assert world.ended().code == 4
    assert "Error, exit code 4" in receiver.messages[0]["message"]
    assert "the next run goes on" in receiver.messages[0]["message"]


def test_a_run_that_could_not_be_opened_is_told_too(world: Any, receiver: Receiver) -> None:
    world.sync()
    assert world.ended().code == 2
    (message,) = receiver.messages
    assert "Run: it could not be opened" in message["message"]
    assert "caspio-sync check customers" in message["message"]


def test_a_run_refused_for_another_one_is_no_failure(world: Any, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    with world.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "another run")
        assert world.ended().code == 2
        ledger.release_lease(lease)
    assert receiver.messages == []


@pytest.mark.parametrize("place", ["refuses", "nowhere", "no address", "slow"])
def test_a_message_that_cannot_be_delivered_changes_nothing(
    world: Any, receiver: Receiver, place: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    receiver.status = 500 if place == "refuses" else 200
    receiver.delay = 2.0 if place == "slow" else 0.0
    monkeypatch.setattr("caspio_sync.run.notification.PATIENCE_SECONDS", 0.5 if place == "slow" else 20.0)
    url = {"nowhere": "json://user:MARKED-PASSWORD@127.0.0.1:9", "no address": "nothing://MARKED-PASSWORD"}
    monkeypatch.setenv("CASPIO_SYNC_NOTIFY_URL", url.get(place, receiver.url))
    world.customers([world.person(number, Email="bad") for number in range(1, 31)])
    world.sync()
    ended = world.ended()
    assert (ended.code, ended.report.state) == (3, "blocked")
    assert "the notification could not be delivered" in ended.report.notes[-1]
    assert "the gate blocked" in ended.message
    assert "MARKED-PASSWORD" not in caplog.text
    with world.ledger() as ledger:
        assert ledger.last_run("customers").state == "blocked"


def test_a_bug_is_told_without_its_words(world: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(3)
    world.sync()

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("c1@example.com is odd")

    monkeypatch.setattr("caspio_sync.run.steps.compare", broken)
    ended = world.ended()
    assert ended.code == 1
    assert "ValueError at" in ended.message
    assert "odd" not in ended.message
    (message,) = receiver.messages
    assert "UnexpectedError, exit code 1" in message["message"]
    assert "bug" in message["message"]
    assert "odd" not in message["message"]
