"""The receiver over real sockets, under what a stranger can do before a token is looked at."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.protocol import GuardedProtocol
from tests.unit.receiver_service import TOKEN, body, events

KB = 1024
POST = b"POST /currents HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"


class Short(GuardedProtocol):
    """The limits in a size that a test can wait for; the machine may be busy."""

    most_connections = 8
    request_seconds = 1.5


@contextlib.asynccontextmanager
async def served(inbox: Inbox, protocol: type[asyncio.Protocol]) -> AsyncIterator[int]:
    """A receiver on a free port of loopback."""
    app = Receiver(inbox, tokens=[SecretStr(TOKEN)], body_limit=300 * KB).app
    config = uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="on", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    await running


def talk(protocol: type[asyncio.Protocol], said: Callable[[int], Awaitable[Any]]) -> tuple[Any, list[str]]:
    """What comes of talking to a receiver, and the events that it has kept."""

    async def live(inbox: Inbox) -> Any:
        async with asyncio.timeout(60), served(inbox, protocol) as port:
            return await said(port)

    with Inbox.open("sqlite://") as inbox:
        found = asyncio.run(live(inbox))
        lines = b"".join(post.lines for part in inbox.posts(0) for post in part)
    return found, [line.decode() for line in lines.splitlines()]


async def ask(port: int, *pieces: bytes, pause: float = 0.0, whole: bool = False) -> bytes:
    """Write pieces, and read until the other side closes, or (`whole`) the end of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while some := await reader.read(KB):
            answer += some
            if whole and b"}" in answer:
                break
    writer.close()
    return answer


def good(count: int = 1, start: int = 0, *, close: bool = True) -> bytes:
    content = body(*events(count, start))
    closing = b"Connection: close\r\n" if close else b""
    return POST + closing + b"Content-Length: %d\r\n\r\n" % len(content) + content


async def chunked(port: int, pieces: int, size: int) -> bytes:
    chunk = b"%x\r\n" % size + b" " * size + b"\r\n"
    return await ask(port, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * pieces, pause=0.01)


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ((b"GET / HTTP/1.1\r\nX: ", *[b"a" * 60 * KB] * 3), b"HTTP/1.1 431 "),  # one header without end
        ((b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 20 * KB + b"\r\n"] * 5), b"HTTP/1.1 431 "),
        ((b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",), b"HTTP/1.1 431 "),  # whole, in one write
        ((b"GET /" + b"a" * 70 * KB + b" HTTP/1.1\r\n\r\n",), b"HTTP/1.1 431 "),
        ((b"GET / HTTP/1.1\r\nX: " + b"a" * 60 * KB + b"\r\nConnection: close\r\n\r\n",), b"HTTP/1.1 404 "),
        ((good(),), b"HTTP/1.1 200 "),
        ((b"\x16\x03\x01 TLS\r\n\r\n",), b"HTTP/1.1 400 "),
        ((POST + b"Content-Length: 99999999999999999999\r\n\r\n",), b"HTTP/1.1 400 "),
        ((POST + b"Content-Length: -1\r\n\r\n",), b"HTTP/1.1 400 "),
    ],
)
def test_heads(pieces: tuple[bytes, ...], answer: bytes) -> None:
    found, _ = talk(GuardedProtocol, lambda port: ask(port, *pieces))
    assert found.startswith(answer)


@pytest.mark.parametrize(
    "pieces",
    [
        (),  # nothing at all
        (b"POST /curr",),
        (POST,),
        (POST + b"Content-Length: 10\r\n\r\n12345",),  # a length that lies
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",),
        (good(close=False) + b"POST /curr",),  # after a good one
    ],
)
def test_what_stays_half_sent_is_closed(pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found, _ = talk(Short, lambda port: ask(port, *pieces))
    started = b"Content-Length: 10" in b"".join(pieces) or b"chunked" in b"".join(pieces)
    assert started or b" 408 " in found
    assert sum("no whole request within" in each.message for each in caplog.records) == 1


def test_slow_senders_and_endless_bodies_do_not_keep_others_out(caplog: pytest.LogCaptureFixture) -> None:
    async def attacked(port: int) -> list[bytes]:
        drip = [ask(port, *[b"X: a\r\n"] * 100, pause=0.1) for _ in range(7)]
        dripping = [asyncio.create_task(each) for each in drip]
        await asyncio.sleep(0.2)
        kept = [await ask(port, good(3, 3 * number)) for number in range(3)]
        endless = await chunked(port, 40, 32 * KB)
        await asyncio.gather(*dripping)
        return [*kept, endless, await ask(port, good(1, 100))]

    (*kept, endless, after), lines = talk(Short, attacked)
    assert [each[:13] for each in (*kept, after)] == [b"HTTP/1.1 200 "] * 4
    assert endless.startswith(b"HTTP/1.1 413 ")
    assert len(lines) == 10
    assert any("no whole request within" in each.message for each in caplog.records)


def test_more_connections_than_there_may_be(caplog: pytest.LogCaptureFixture) -> None:
    async def crowded(port: int) -> tuple[bytes, bytes]:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(Short.most_connections)]
        refused = await ask(port, good())
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.3)
        return refused, await ask(port, good())

    (refused, taken), lines = talk(Short, crowded)
    assert refused.startswith(b"HTTP/1.1 503 ") or refused == b""  # closed before what was written was read
    assert taken.startswith(b"HTTP/1.1 200 ")
    assert len(lines) == 1
    assert any("more than 8 connections" in each.message for each in caplog.records)


def test_requests_one_after_the_other_and_all_at_once() -> None:
    """Kept alive and pipelined, large bodies among them: no head is taken for a longer one than it is."""
    posts = [good(400, 400 * number, close=number == 4) for number in range(5)]
    found, lines = talk(GuardedProtocol, lambda port: ask(port, b"".join(posts)))
    assert found.count(b"HTTP/1.1 200 ") == 5
    assert len(lines) == 2000
