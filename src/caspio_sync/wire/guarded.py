"""The network for addresses that a sync file names: nowhere inside, and no way around that by DNS.

A file that may name any host could have a run call a cloud's metadata service, or what listens on this machine. So the
addresses of a host are judged when it is connected to, and the connection goes to the very address that was judged: a
name that leads elsewhere a moment later leads nowhere. No proxy of the environment is asked, which would look hosts up
by itself, and redirects are not followed: where one leads is nobody's to choose but the file's.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.http import CONNECT_SECONDS, MAX_CONNECTIONS, certificates

# Where clouds tell machines their secrets, at addresses that count as public: Azure's host (Azure, 168.63.129.16), and
# Oracle's, of a block that is for protocols (RFC 6890), which older libraries let pass in part.
_OF_CLOUDS = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))
# All that is given out (IANA, IPv6 address space). What lies beside it counts as public in older libraries, or does in
# all of them: site-local addresses, those of IPv4 in their old form, a network's own translation (RFC 8215).
_INTERNET = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an address of IPv4
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Whether an address is one of the internet: none of this machine, of a private network, of a link, of a cloud."""
    return all(
        each.is_global
        and not each.is_multicast
        and not any(each in network for network in _OF_CLOUDS)
        and (each.version == 4 or each in _INTERNET or each in _NAT64)
        for each in _meant(ipaddress.ip_address(address.partition("%")[0]))
    )


def _meant(address: _Address) -> Iterable[_Address]:
    """An address, and those of IPv4 that are written in it: routers may lead to these."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo or ()
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        yield from (each for each in (address.ipv4_mapped, address.sixtofour, nat64, *teredo) if each is not None)


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the host up, judge every address that it has, and connect to one of these.

        Raises:
            ConfigurationError: one of them is not public.
            httpcore.ConnectError: it has none, or none of them answers.
        """
        try:
            async with asyncio.timeout(timeout or CONNECT_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not all(map(is_public, addresses)):
            raise ConfigurationError(
                f"{host} is on this machine, in a private network or a cloud's own service: nothing was sent there. "
                "Where that is meant, write `allow_private: true` into the sync file"
            )
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """As the backend below."""
        await self._inner.sleep(seconds)


def guarded(*, connections: int = MAX_CONNECTIONS) -> httpx.AsyncBaseTransport:
    """A transport that connects to public addresses alone, whatever proxies the environment names."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    made = httpx.AsyncHTTPTransport(verify=certificates(), trust_env=False, limits=limits)
    pool = made._pool  # noqa: SLF001 - pinned: httpx hands no network backend on
    assert isinstance(pool, httpcore.AsyncConnectionPool)
    pool._network_backend = _Guarded(pool._network_backend)  # noqa: SLF001 - as above
    return made
