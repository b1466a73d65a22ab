"""The sender in a process of its own answers as the one in this process, and never outlives its work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.delivery.process import ProcessSender
from caspio_sync.delivery.requests import Request, fill_requests
from caspio_sync.delivery.sender import Answer, InlineSender, Sender, SenderLimits
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.profiles import ProfileSink
from caspio_sync.destinations.braze.requests import TRACK
from caspio_sync.errors import ConfigurationError, StoppedError, TransientError
from caspio_sync.sandbox.server import SandboxProcesses

# By probability and by the emulator's own rules; both senders meet the same kinds of faults, whatever the order.
PLAN = """
seed: 3
faults:
  - {kind: status, path: /users/track, status: 503, probability: 0.1}
  - {kind: reset_before, path: /users/track, probability: 0.05}
  - {kind: reset_after, path: /users/track, probability: 0.05}
  - {kind: refuse, path: /users/track, nth: [5], header: x-ratelimit-retry-after, seconds: 1}
"""
LIMITS = SenderLimits(8, 3000, 3.0)


@pytest.fixture(scope="module")
def braze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcesses]:
    plan = tmp_path_factory.mktemp("faults") / "faults.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    with SandboxProcesses(kinds=["braze"], faults={"braze": plan}) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def slow_braze() -> Iterator[SandboxProcesses]:
    with SandboxProcesses(kinds=["braze"], braze={"latency_ms": 20}) as sandbox:
        yield sandbox


def requests_of(objects: int, *, first_number: int = 1, per_request: int = 20) -> list[Request]:
    texts = pl.Series([_object(number) for number in range(objects)])
    return list(fill_requests(texts, envelope=TRACK, first_number=first_number, objects_per_request=per_request))


def _object(number: int) -> str:
    address = "not an address" if number % 50 == 7 else f"c{number}@example.com"
    return f'{{"external_id":"c{number}","email":"{address}","orders":{number},"_update_existing_only":false}}'


def inline(sandbox: SandboxProcesses) -> InlineSender:
    client = BrazeClient(endpoint=sandbox.braze_url, api_key=SecretStr(sandbox.braze_key))
    return InlineSender(TrackEndpoint(client), limits=LIMITS)


def process_sender(address: str, key: str) -> ProcessSender:
    arguments = {"endpoint": address, "api_key": key, "clients": LIMITS.connections}
    return ProcessSender(ProfileSink.endpoint_place, arguments, limits=LIMITS, envelopes=[TRACK])


@asynccontextmanager
async def in_process(sandbox: SandboxProcesses, key: str | None = None) -> AsyncIterator[ProcessSender]:
    sender = process_sender(sandbox.braze_url, key or sandbox.braze_key)
    try:
        yield sender
    finally:
        await sender.close()


async def taken(requests: Iterable[Request]) -> AsyncIterator[Request]:
    for request in requests:
        yield request


async def answers_of(sender: Sender, requests: Iterable[Request]) -> list[Answer]:
    return sorted([answer async for answer in sender.send(taken(requests))], key=lambda answer: answer.number)


def said(answers: list[Answer]) -> list[tuple[object, ...]]:
    """All of an answer but how many calls it took, which the faults decide."""
    return [(each.number, each.start, each.count, each.status, each.rejected, each.unknown) for each in answers]


def pid_of(sender: ProcessSender) -> int:
    assert sender.process is not None
    return sender.process.pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_both_senders_give_the_same_answers_under_faults(braze: SandboxProcesses) -> None:
    requests = requests_of(600)

    async def both() -> tuple[list[Answer], list[Answer]]:
        here = inline(braze)
        expected = await answers_of(here, requests)
        await here.close()
        async with in_process(braze) as sender:
            return expected, await answers_of(sender, requests)

    expected, answers = asyncio.run(both())
    assert said(answers) == said(expected)
    assert sum(len(answer.rejected) for answer in answers) == 12
    assert sum(answer.calls for answer in answers) > len(requests)
    state = httpx.get(f"{braze.braze_url}/sandbox/profiles", timeout=10).text
    assert state.count("\n") == 588


def test_one_process_serves_batch_after_batch(slow_braze: SandboxProcesses) -> None:
    async def play() -> tuple[int, int, list[int], bool]:
        async with in_process(slow_braze) as sender:
            await answers_of(sender, requests_of(40))
            first = pid_of(sender)
            second = await answers_of(sender, requests_of(40, first_number=3))
            pid = pid_of(sender)
        return first, pid, [answer.number for answer in second], is_running(pid)

    first, pid, numbers, running = asyncio.run(play())
    assert (pid, numbers, running) == (first, [3, 4], False)


def test_two_batches_at_once_get_their_own_answers(slow_braze: SandboxProcesses) -> None:
    async def play() -> list[list[Answer]]:
        async with in_process(slow_braze) as sender:
            batches = (requests_of(100), requests_of(60, first_number=100))
            return list(await asyncio.gather(*(answers_of(sender, batch) for batch in batches)))

    first, second = asyncio.run(play())
    assert [answer.number for answer in first] == [1, 2, 3, 4, 5]
    assert [answer.number for answer in second] == [100, 101, 102]


def test_no_requests_give_no_answers(slow_braze: SandboxProcesses) -> None:
    async def play() -> list[Answer]:
        async with in_process(slow_braze) as sender:
            return await answers_of(sender, [])

    assert asyncio.run(play()) == []


def test_a_wrong_key_is_a_configuration_error(slow_braze: SandboxProcesses) -> None:
    async def play() -> None:
        async with in_process(slow_braze, key="wrong-key") as sender:
            with pytest.raises(ConfigurationError, match="REST API key") as caught:
                await answers_of(sender, requests_of(100))
            assert "wrong-key" not in str(caught.value)

    asyncio.run(play())


def test_a_child_that_is_killed_while_sending_is_a_transient_error(slow_braze: SandboxProcesses) -> None:
    async def kill_at_the_first_answer(sender: ProcessSender) -> None:
        async for _ in sender.send(taken(requests_of(2000, per_request=1))):
            os.kill(pid_of(sender), signal.SIGKILL)

    async def play() -> None:
        async with in_process(slow_braze) as sender:
            with pytest.raises(TransientError, match="sender process ended") as caught:
                await kill_at_the_first_answer(sender)
            assert caught.value.ambiguous
            assert len(await answers_of(sender, requests_of(20))) == 1  # the next batch has a new one

    asyncio.run(asyncio.wait_for(play(), 20))


def test_a_child_that_is_killed_between_batches_is_replaced(slow_braze: SandboxProcesses) -> None:
    async def play() -> None:
        async with in_process(slow_braze) as sender:
            await answers_of(sender, requests_of(20))
            os.kill(pid_of(sender), signal.SIGKILL)
            assert sender.process is not None
            await sender.process.wait()
            assert len(await answers_of(sender, requests_of(20))) == 1

    asyncio.run(asyncio.wait_for(play(), 20))


def test_requests_that_cannot_be_made_end_the_sending(slow_braze: SandboxProcesses) -> None:
    def broken() -> Iterator[Request]:
        yield from requests_of(20)
        raise ValueError("no more")

    async def play() -> None:
        async with in_process(slow_braze) as sender:
            with pytest.raises(ValueError, match="no more"):
                await answers_of(sender, broken())

    asyncio.run(asyncio.wait_for(play(), 20))


def test_answers_that_nobody_waits_for_any_more_end_the_process(slow_braze: SandboxProcesses) -> None:
    async def play() -> int:
        async with in_process(slow_braze) as sender:
            async with aclosing(sender.send(taken(requests_of(2000, per_request=1)))) as answers:
                await anext(answers)
                pid = pid_of(sender)
            assert not is_running(pid)
            return pid

    assert asyncio.run(play())


def test_closing_twice_or_before_the_first_request_is_harmless(slow_braze: SandboxProcesses) -> None:
    async def play() -> None:
        async with in_process(slow_braze) as sender:
            await sender.close()
            await answers_of(sender, requests_of(20))
            await sender.close()

    asyncio.run(play())


def test_the_key_is_not_among_the_arguments_of_the_process(slow_braze: SandboxProcesses) -> None:
    def arguments(sender: ProcessSender) -> bytes:
        return Path(f"/proc/{pid_of(sender)}/cmdline").read_bytes()

    async def play() -> bytes:
        async with in_process(slow_braze) as sender:
            await answers_of(sender, requests_of(20))
            return arguments(sender)

    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc on this system")
    assert slow_braze.braze_key.encode() not in asyncio.run(play())


@pytest.mark.parametrize(("asked_first", "bodies", "unknown"), [(False, 3, 3), (True, 1, 0)])
def test_what_is_not_brazes_answer_stops_the_process_too(*, asked_first: bool, bodies: int, unknown: int) -> None:
    asked: list[bytes] = []

    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        asked.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def play() -> list[Answer]:
        answers: list[Answer] = []
        server = await asyncio.start_server(gateway, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sender = process_sender(f"http://127.0.0.1:{port}", "0123456789")
        if asked_first:
            sender.ask_first()

        async def collect() -> None:
            async for answer in sender.send(taken(requests_of(600))):
                answers.append(answer)  # noqa: PERF401 - the error comes in the midst

        try:
            with pytest.raises(StoppedError, match="known to be Braze's own"):
                await collect()
        finally:
            await sender.close()
            server.close()
        return answers

    answers = asyncio.run(play())
    assert len(asked) == bodies
    assert [(answer.foreign, bool(answer.unknown)) for answer in answers] == [(True, True)] * unknown
    assert (b'{"attributes":[]}' in asked) is asked_first


def test_a_sender_that_is_stopped_lets_nothing_more_leave(slow_braze: SandboxProcesses) -> None:
    async def stopped(sender: Sender) -> list[Answer]:
        async def given() -> AsyncIterator[Request]:
            for request in requests_of(4_000):
                yield request

        sender.take_share(0.0)
        asyncio.get_running_loop().call_later(1.0, sender.stop)
        asyncio.get_running_loop().call_later(1.0, sender.take_share, 1.0)
        return [answer async for answer in sender.send(given())]

    async def both() -> None:
        async with in_process(slow_braze) as sender:
            with pytest.raises(StoppedError, match="nothing more is sent: the run is to end"):
                await stopped(sender)
        own = inline(slow_braze)
        with pytest.raises(StoppedError, match="nothing more is sent: the run is to end"):
            await stopped(own)
        await own.close()

    before = httpx.get(f"{slow_braze.braze_url}/sandbox/state").json()
    asyncio.run(both())
    assert httpx.get(f"{slow_braze.braze_url}/sandbox/state").json() == before
