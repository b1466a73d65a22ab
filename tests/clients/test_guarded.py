"""Nothing that a sync file names leads inside, whatever DNS, an answer or the environment says of it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import httpx
import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.guarded import guarded, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
        "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "fec0::1", "::7f00:1", "::a00:1", "::ffff:0:7f00:1",
        "64:ff9b:1::7f00:1", "5f00::1",
    ],
)  # fmt: skip
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


class Inside(BaseHTTPRequestHandler):
    """A service of this machine, which writes down that it was asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of the service."""
    Inside.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Inside)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(url: str) -> None:
    async def once() -> None:
        async with guarded() as transport:
            extensions = {"timeout": httpx.Timeout(5).as_dict()}
            await transport.handle_async_request(httpx.Request("GET", url, extensions=extensions))

    asyncio.run(once())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_refused_however_it_is_written(port: int, host: str) -> None:
    with pytest.raises((ConfigurationError, httpx.ConnectError, httpx.InvalidURL)) as caught:
        ask(f"http://{host}:{port}/")
    assert Inside.asked == []
    if isinstance(caught.value, ConfigurationError):
        assert "allow_private: true" in str(caught.value)


def test_a_name_is_judged_by_every_address_it_has(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One public address among those of a name makes none of the others good."""
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(ConfigurationError, match=r"warehouse\.example\.com is on this machine"):
        ask(f"http://warehouse.example.com:{port}/")
    assert Inside.asked == []


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere when it is asked for again is not asked for again."""
    asked = []
    connected = []

    def first_public_then_inside(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]

    async def connect_tcp(_: Any, host: str, *__: Any, **___: Any) -> Any:
        connected.append(host)
        raise __import__("httpcore").ConnectError("nobody")

    monkeypatch.setattr(socket, "getaddrinfo", first_public_then_inside)
    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", connect_tcp)
    with pytest.raises(httpx.ConnectError):
        ask("http://warehouse.example.com/")
    assert (asked, connected) == (["warehouse.example.com"], ["93.184.216.34"])


def test_a_proxy_of_the_environment_is_no_way_around(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    with pytest.raises(ConfigurationError):
        ask("http://localhost:9/")
    assert Inside.asked == []
