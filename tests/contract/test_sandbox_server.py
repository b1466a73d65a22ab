"""The emulators as processes: they answer on the loopback interface, break connections on demand, and end with their parent."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import orjson
import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.server import SandboxProcesses, listen, serve

HEADERS = {"Authorization": "Bearer sandbox-key"}
PLAN = """
faults:
  - {kind: reset_before, nth: [1]}
  - {kind: reset_after, nth: [2]}
  - {kind: truncate, nth: [3]}
"""


@pytest.fixture(scope="module")
def braze() -> Iterator[SandboxProcesses]:
    with SandboxProcesses(kinds=["braze"], braze={"burst_limit": 5}) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcesses]:
    path = tmp_path_factory.mktemp("faults") / "faults.yaml"
    path.write_text(PLAN, encoding="utf-8")
    with SandboxProcesses(kinds=["braze"], faults={"braze": path}) as sandbox:
        yield sandbox


def track(sandbox: SandboxProcesses) -> httpx.Response:
    payload = {"attributes": [{"external_id": "c"}]}
    return httpx.post(f"{sandbox.braze_url}/users/track", json=payload, headers=HEADERS, timeout=5)


def requests_seen(sandbox: SandboxProcesses) -> int:
    return int(httpx.get(f"{sandbox.braze_url}/sandbox/counters", timeout=5).json()["requests"])


def test_served_emulator_answers_with_the_behaviour_asked_for(braze: SandboxProcesses) -> None:
    answer = track(braze)
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (201, "5")


def test_served_emulator_listens_on_the_loopback_interface(braze: SandboxProcesses) -> None:
    assert braze.braze_url.startswith("http://127.0.0.1:")


def test_resets_and_cut_answers_break_the_socket(faulty: SandboxProcesses) -> None:
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        track(faulty)
    assert requests_seen(faulty) == 0
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        track(faulty)
    assert requests_seen(faulty) == 1
    with pytest.raises(httpx.RemoteProtocolError):
        track(faulty)
    assert track(faulty).status_code == 201


def test_leaving_the_block_stops_the_process() -> None:
    with SandboxProcesses(kinds=["braze"]) as sandbox:
        url = sandbox.braze_url
    assert sandbox.pids() == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_emulator_ends_when_its_parent_is_gone() -> None:
    command = [sys.executable, "-m", "caspio_sync.sandbox.server", "braze", "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert orjson.loads(process.stdout.readline())["kind"] == "braze"
        process.stdin.close()
        started = time.monotonic()
        process.wait(timeout=10)
        assert time.monotonic() - started < 5


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen(0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_behaviour_that_does_not_hold_is_told_before_serving() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        serve("braze", behaviour={"colour": "red"})


def test_taken_port_is_told(braze: SandboxProcesses) -> None:
    port = int(braze.braze_url.rsplit(":", 1)[1])
    with pytest.raises(ConfigurationError, match=f"port {port}"):
        serve("braze", port=port)


def test_process_that_does_not_start_is_told() -> None:
    with (
        pytest.raises(ConfigurationError, match="braze sandbox did not start"),
        SandboxProcesses(kinds=["braze"], braze={"colour": "red"}),
    ):
        pass


def test_a_view_that_cannot_be_made_is_told_before_serving() -> None:
    with pytest.raises(ConfigurationError, match="Nowhere"):
        serve("caspio", rows=1, views=["Big=SELECT No FROM Nowhere"])
