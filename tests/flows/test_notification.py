"""The message of a failed run: sent once, with no word of any customer, and of no effect on the run."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError
from caspio_sync.sandbox.faults import Fault
from tests.flows.orders import PLACED, line_of, order, shop
from tests.flows.world import World


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


def test_a_run_that_is_done_sends_nothing(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    assert world.ended().code == 0
    assert receiver.messages == []


def test_a_blocked_run_sends_one_message_without_keys_or_values(world: World, receiver: Receiver) -> None:
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


def test_a_failed_run_tells_its_class(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    world.break_braze(Fault(kind="status", path="/users/track", status=500))
    assert world.ended().code == 4
    assert "Error, exit code 4" in receiver.messages[0]["message"]
    assert "the next run goes on" in receiver.messages[0]["message"]


def test_a_run_that_could_not_be_opened_is_told_too(world: World, receiver: Receiver) -> None:
    world.sync()
    assert world.ended().code == 2
    (message,) = receiver.messages
    assert "Run: it could not be opened" in message["message"]
    assert "caspio-sync check customers" in message["message"]


def test_a_run_refused_for_another_one_is_no_failure(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    with world.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "another run")
        assert world.ended().code == 2
        ledger.release_lease(lease)
    assert receiver.messages == []


@pytest.mark.parametrize("place", ["refuses", "nowhere", "no address", "slow"])
def test_a_message_that_cannot_be_delivered_changes_nothing(
    world: World, receiver: Receiver, place: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    receiver.status = 500 if place == "refuses" else 200
    receiver.delay = 2.0 if place == "slow" else 0.0
    monkeypatch.setattr("caspio_sync.observe.notification.PATIENCE_SECONDS", 0.5 if place == "slow" else 20.0)
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


def test_a_bug_is_told_without_its_words(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(3)
    world.sync()

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("c1@example.com is odd")

    monkeypatch.setattr("caspio_sync.engine.comparing.compare", broken)
    ended = world.ended()
    assert ended.code == 1
    assert "ValueError at" in ended.message
    assert "odd" not in ended.message
    (message,) = receiver.messages
    assert "UnexpectedError, exit code 1" in message["message"]
    assert "bug" in message["message"]
    assert "odd" not in message["message"]


def titles(receiver: Receiver) -> list[tuple[str, str]]:
    return [(each["title"].removeprefix("caspio-sync: customers "), each["type"]) for each in receiver.messages]


def fail(world: World) -> None:
    world.break_braze(Fault(kind="status", path="/users/track", status=500))
    assert world.ended().code == 4
    world.break_braze()


def test_a_failure_every_minute_is_told_once_and_so_is_its_end(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    for _ in range(3):
        fail(world)
        world.clock.advance(60)
    assert titles(receiver) == [("failed", "failure")]
    for _ in range(2):
        assert world.ended().code == 0
    assert titles(receiver) == [("failed", "failure"), ("recovered", "success")]
    over = receiver.messages[-1]["message"]
    assert "Over: runs failed, for" in over
    assert "3 sent" in over
    with world.ledger() as ledger:
        assert ledger.open_incidents("customers") == []


def test_what_comes_and_goes_is_told_again_after_an_hour(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    fail(world)
    for number in range(4):
        assert world.ended().code == 0
        world.caspio.update_rows("Customers", {"FirstName": f"N{number}"}, "CustomerNo='c1'")
        world.clock.advance(120)
        fail(world)
    assert titles(receiver) == [("failed", "failure"), ("recovered", "success")]
    world.clock.advance(3600)
    fail(world)
    assert titles(receiver)[2:] == [("failed", "failure")]


def test_a_message_that_was_not_delivered_is_sent_by_the_next_run(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    receiver.status = 500
    fail(world)
    receiver.status = 200
    fail(world)
    fail(world)
    assert len(receiver.messages) == 2


def test_a_run_by_hand_of_chosen_rows_ends_no_incident(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync()
    fail(world)
    assert world.ended(limit=1).code == 0
    assert titles(receiver) == [("failed", "failure")]


def test_missed_freshness_is_told_and_its_end(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync(world.SYNC + "freshness: 5m\n")
    world.run()
    world.caspio.update_rows("Customers", {"FirstName": "Changed"}, "CustomerNo='c1'")
    world.clock.advance(900)
    assert world.ended().code == 0
    assert titles(receiver) == [("is late", "warning")]
    assert "changes waited up to 15 min" in receiver.messages[0]["message"]
    world.clock.advance(60)
    world.run()
    assert titles(receiver) == [("is late", "warning"), ("recovered", "success")]


def test_a_run_that_is_refused_notices_that_the_one_under_way_takes_too_long(world: World, receiver: Receiver) -> None:
    world.people(3)
    world.sync(world.SYNC + "freshness: 5m\n")
    world.run()
    world.clock.advance(900)
    with world.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "another run")
        assert world.ended().code == 2
        assert world.ended().code == 2
        ledger.release_lease(lease)
    assert titles(receiver) == [("is late", "warning")]


def test_too_many_rows_set_aside_are_told_with_where_to_look(world: World, receiver: Receiver) -> None:
    world.customers([world.person(number, **({"Email": "bad"} if number <= 3 else {})) for number in range(1, 41)])
    world.sync()
    assert world.ended().code == 0
    assert titles(receiver) == [("has many rows not taken", "warning")]
    text = receiver.messages[0]["message"]
    assert "3 of the last 40 rows judged (8%)" in text
    assert "caspio-sync quarantine list customers" in text
    assert "bad" not in text
    world.caspio.update_rows("Customers", {"FirstName": "Changed"}, "CustomerNo<>'c1'")
    world.clock.advance(60)
    for number in (1, 2, 3):
        world.caspio.update_rows("Customers", {"Email": "sound@example.com"}, f"CustomerNo='c{number}'")
    assert world.ended().code == 0
    assert titles(receiver)[1:] == [("recovered", "success")]


def test_orders_that_wait_for_their_lines_are_told_to_nobody(world: World, receiver: Receiver) -> None:
    numbers = range(1, 301)
    quiet = PLACED.replace("{count: LineCount}", "{quiet: 60s}")
    shop(world, [order(number) for number in numbers], [line_of(number, 1) for number in numbers], quiet)
    for _ in range(4):
        world.run("placed")
        world.clock.advance(61)
    assert world.verdicts("placed") == {"sent": 300}
    assert receiver.messages == []


def test_a_share_is_of_as_many_runs_as_it_takes() -> None:
    from caspio_sync.engine.incidents import lately

    few = {"sent": 4, "quarantined": 1}
    assert lately([few] * 10) == (4, 20)
    assert lately([few, {"sent": 90, "rejected": 10}, {"sent": 1}]) == (11, 105)
    assert lately([few]) == (1, 5)


def test_without_a_ledger_to_keep_it_a_file_does(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync()  # no table
    assert not world.ledger_file.exists()
    assert world.ended().code == 2
    assert world.ended().code == 2
    assert len(receiver.messages) == 1
    assert not world.ledger_file.exists()
    world.clock.advance(3600)
    assert world.ended().code == 2
    assert len(receiver.messages) == 2


def notified(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["notify", *arguments])


def test_a_test_message_is_sent_when_asked_for(world: World, receiver: Receiver) -> None:
    assert notified().stdout == "Messages go out by JSON. `caspio-sync notify --test` sends one.\n"
    assert receiver.messages == []
    assert notified("--test").stdout == "JSON took the message; look whether it is there.\n"
    assert [each["title"] for each in receiver.messages] == ["caspio-sync: a test"]


@pytest.mark.parametrize("place", ["refuses", "none", "no address"])
def test_a_test_message_that_does_not_arrive_is_an_error(
    world: World, receiver: Receiver, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 500
    if place != "refuses":
        monkeypatch.setenv("CASPIO_SYNC_NOTIFY_URL", "" if place == "none" else "nothing://MARKED-PASSWORD")
    error = notified("--test").exception
    assert isinstance(error, CaspioSyncError)
    words = {"refuses": "JSON did not take", "none": "is not set", "no address": "no address that Apprise knows"}
    assert words[place] in str(error)
    assert "MARKED" not in str(error)
