"""What both APIs share: connections, time limits, and the one place where a status becomes an error class."""

import asyncio
import ipaddress
import logging
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from caspio_sync.errors import CallError, ConfigurationError, PermanentError, TransientError
from caspio_sync.wire.answers import disowned, foreign, parsed
from caspio_sync.wire.body import bound
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.masking import masked, shown

USER_AGENT = "caspio-sync"
# What answers a client instead of the network.
Transport = httpx.AsyncBaseTransport
MAX_CONNECTIONS = 16  # a client: beyond it the pool scans all connections for every request and slows down eightfold
CONNECT_SECONDS = 10.0
DAY_SECONDS = 86_400.0
CA_VARIABLE = "REQUESTS_CA_BUNDLE"
_MOST_REQUESTS = 10**9  # a limit beyond it is no limit of either vendor
_LOGGED = 4  # of httpx's line: method, address, version, status; the words of the status are the other side's


class _WithoutValues(logging.Filter):
    """httpx logs every address at INFO, where a condition can name customers, and the status line as it came."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                each.copy_with(query=None, userinfo=b"")
                if isinstance(each, httpx.URL)
                else ""
                if place >= _LOGGED
                else each
                for place, each in enumerate(record.args)
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutValues())

_RETRYABLE = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_CONFIGURATION = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
)
# The request did not leave: repeating it cannot have an effect twice.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
# As HTTP writes a number of seconds or requests; float() would also read "1_0", "nan" and digits of other scripts.
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the headers of an answer say of its rate window; None where they say nothing usable.

    Args:
        limit: requests a window.
        remaining: requests left in this window.
        reset_seconds: seconds from the answer until requests may start again.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class RefusedError(PermanentError):
    """An answer that refuses the request for good.

    Args:
        message: as for `CallError`.
        status: HTTP status.
        message_text: the answer's own words, bounded, values masked; "" where it gave none.
        rate: the answer's rate window.
    """

    def __init__(self, message: str, *, status: int, message_text: str, rate: RateLimit) -> None:
        super().__init__(message, status=status)
        self.message_text = message_text
        self.rate = rate


class UnavailableError(TransientError):
    """An answer that asks to come again; `rate` is the answer's rate window."""

    def __init__(
        self, message: str, *, status: int, retry_after: float | None, rate: RateLimit, ambiguous: bool = False
    ) -> None:
        super().__init__(message, status=status, retry_after=retry_after, ambiguous=ambiguous)
        self.rate = rate


def refusal(
    response: httpx.Response,
    doing: str,
    *,
    now: datetime,
    remedies: Mapping[int, str] | None = None,
    ambiguous_5xx: bool = False,
) -> CallError | ConfigurationError:
    """The error a refusing answer amounts to; returned, so that the caller keeps `raise … from`.

    Args:
        response: a read answer that is no success.
        doing: what was tried, such as "reading table Customers".
        now: the present instant, for waits given as dates, where the answer has no Date header.
        remedies: by status, what a person can do about it.
        ambiguous_5xx: whether a server's failure leaves open that the request took effect; 503 never does.

    Returns:
        `UnavailableError` for 408, 425, 429 and 5xx; `ForeignAnswerError` for a redirect, and for what is not the
        vendor's; `ConfigurationError` for 401, 403, 404 and 415; `RefusedError` for the rest.
    """
    status = response.status_code
    said = message_text(response)
    method, path = response.request.method, response.request.url.path
    what = f"{doing}: {status} from {method} {path}{f': {said}' if said else ''}"
    rate = rate_limit(response.headers, now=now)
    if status in _RETRYABLE or response.is_server_error:
        wait = retry_after(response.headers, status=status, now=now)
        asked = f"; it asks to come again in {wait:.0f} s" if wait else ""
        ambiguous = ambiguous_5xx and response.is_server_error and status != HTTPStatus.SERVICE_UNAVAILABLE
        return UnavailableError(f"{what}{asked}", status=status, retry_after=wait, rate=rate, ambiguous=ambiguous)
    if (why := disowned(response)) is not None:
        return foreign(response, doing, why)
    if status in _CONFIGURATION:
        remedy = (remedies or {}).get(status, "check the address and the credentials")
        return ConfigurationError(f"{what}; {remedy}")
    return RefusedError(what, status=status, message_text=said, rate=rate)


def message_text(response: httpx.Response) -> str:
    """The answer's own message on one bounded line, with what could be a value of ours masked.

    A vendor answers `message`, or `Code` and `Message`; a token endpoint `error`; the body may also be empty or no
    JSON (Caspio, section 4.2; Braze, 2.4).
    """
    body = parsed(response.content)
    if not isinstance(body, dict):
        return ""
    lower = {str(key).lower(): value for key, value in body.items()}
    words = [lower[key] for key in ("code", "error", "message", "error_description") if isinstance(lower.get(key), str)]
    return masked(": ".join(words), response.request).rstrip(".")


def _alone(headers: httpx.Headers, name: str) -> str:
    """A header that came once; "" where it is absent, or came twice, and nobody knows which one is meant."""
    values = headers.get_list(name)
    return values[0].strip() if len(values) == 1 else ""


def _number(headers: httpx.Headers, name: str) -> float | None:
    text = _alone(headers, name)
    return float(text) if _NUMBER.fullmatch(text) else None


def _count(headers: httpx.Headers, name: str) -> int | None:
    number = _number(headers, name)
    return None if number is None or number > _MOST_REQUESTS else int(number)


def _within_a_day(seconds: float) -> float | None:
    """A wait of more than a day is no wait any API asks for: the header is nonsense."""
    return max(0.0, seconds) if seconds <= DAY_SECONDS else None


def _server_now(headers: httpx.Headers, now: datetime) -> datetime:
    """The other side's clock where it is told: dates and epochs in its headers are meant by it."""
    return server_time(headers) or now


def server_time(headers: httpx.Headers) -> datetime | None:
    """The Date header, aware, in UTC; None where absent or unreadable."""
    return _http_date(_alone(headers, "date"))


def _http_date(text: str) -> datetime | None:
    """The instant; None for an absurd one, such as a moment of the year 9999 that is of the year 10000 in UTC."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _reset_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds until the window resets: an epoch on some contracts, seconds remaining on others (Braze, 2.2)."""
    reset = _number(headers, "x-ratelimit-reset")
    if reset is None:
        return None
    epoch = _server_now(headers, now).timestamp()
    return _within_a_day(reset if reset < epoch / 2 else reset - epoch)


def _asked_wait(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds asked for by `X-Ratelimit-Retry-After` or `Retry-After` (a number or an HTTP date)."""
    for name in ("x-ratelimit-retry-after", "retry-after"):
        seconds = _number(headers, name)
        if seconds is not None:
            return _within_a_day(seconds)
    date = _http_date(_alone(headers, "retry-after"))
    return None if date is None else _within_a_day((date - _server_now(headers, now)).total_seconds())


def rate_limit(headers: httpx.Headers, *, now: datetime) -> RateLimit:
    """The rate window that an answer announces, in every spelling of its headers (Braze, 2.2)."""
    reset = _reset_seconds(headers, now)
    return RateLimit(
        limit=_count(headers, "x-ratelimit-limit"),
        remaining=_count(headers, "x-ratelimit-remaining"),
        reset_seconds=_asked_wait(headers, now) if reset is None else reset,
    )


def retry_after(headers: httpx.Headers, *, status: int, now: datetime) -> float | None:
    """Seconds the answer asks to wait; a 429 without a wait of its own waits for its window's reset."""
    asked = _asked_wait(headers, now)
    if asked is None and status == HTTPStatus.TOO_MANY_REQUESTS:
        return _reset_seconds(headers, now)
    return asked


def is_address(url: str) -> bool:
    """Whether a host and a port can be read from it; `https://` may be left out."""
    text = url.strip() if "://" in url else f"https://{url.strip()}"
    try:
        parts = urlsplit(text)
        host = httpx.URL(text).host
        return bool(host) and parts.port != 0 and not re.search(r"[\s%]|^\.", host)
    except (ValueError, httpx.InvalidURL):
        return False


def is_in_clear(url: str) -> bool:
    """Whether what is sent there can be read on the way: http, in any spelling, to another machine."""
    try:
        return httpx.URL(url.strip()).scheme == "http" and not is_loopback(url.strip())
    except httpx.InvalidURL:
        return False  # refused by whoever connects


def is_loopback(url: str) -> bool:
    """Whether the host is this machine."""
    host = httpx.URL(url).host.removesuffix(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def certificates() -> ssl.SSLContext:
    """Whom to trust: the system's authorities, or those of SSL_CERT_FILE; and those of REQUESTS_CA_BUNDLE.

    Raises:
        ConfigurationError: the file of REQUESTS_CA_BUNDLE cannot be used.
    """
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get(CA_VARIABLE))


@cache  # reading the system's takes 20 ms
def _trusting(_instead: str | None, besides: str | None) -> ssl.SSLContext:  # OpenSSL itself reads the first
    context = ssl.create_default_context()
    if besides:
        place = Path(besides)
        try:
            context.load_verify_locations(**{"capath" if place.is_dir() else "cafile": besides})
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                f"{CA_VARIABLE} names no file of certificates that can be read; give one in PEM form, or unset it"
            ) from None
    return context


class ConnectionPool(Closing):
    """Several httpx clients of few connections each; a request goes to the one with the fewest in flight.

    Waiting happens before a client, never in its pool. Every request has a time limit for all of it: httpx's own
    limits begin anew with every byte received.

    Args:
        url: where the requests go; a proxy from the environment is not used for this machine itself.
        clients: number of httpx clients.
        connections: connections a client, at most 16.
        timeout_seconds: for one request, answer included.
        transport: answers instead of the network.
    """

    def __init__(
        self,
        *,
        url: str,
        clients: int,
        connections: int,
        timeout_seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not 1 <= connections <= MAX_CONNECTIONS:
            raise ConfigurationError(f"{connections} connections a client; set 1 to {MAX_CONNECTIONS}")
        if clients < 1:
            raise ConfigurationError(f"{clients} clients; set at least 1")
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        # For http as well: whatever the address says, no connection leaves a certificate unlooked at. On this machine
        # nobody's is taken: reading whom the system trusts takes 20 ms.
        alone = is_loopback(url) and httpx.URL(url).scheme == "http"
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if alone else certificates()
        self._make = partial(
            httpx.AsyncClient, transport=transport, limits=limits, verify=verify, trust_env=not is_loopback(url)
        )
        self._clients: dict[int, httpx.AsyncClient] = {}  # made when the first request comes to one
        self.in_flight = [0] * clients  # requests, by client
        self._free = asyncio.Semaphore(clients * connections)
        self._seconds = timeout_seconds

    def extensions(self, seconds: float | None = None) -> dict[str, Any]:
        """The time limits that a request carries."""
        seconds = self._seconds if seconds is None else seconds
        return {"timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)).as_dict()}

    async def send(self, request: httpx.Request, doing: str, *, seconds: float | None = None) -> httpx.Response:
        """One attempt; the answer is read, whatever its status, up to 64 MB unpacked.

        Raises:
            TransientError: no answer, or a cut one; `ambiguous` unless the request surely did not leave.
            ForeignAnswerError: it is larger, or packed as nobody asked for.
            ConfigurationError: the address or its certificate is wrong.
        """
        async with self._free:
            lane = self.in_flight.index(min(self.in_flight))
            self.in_flight[lane] += 1
            if lane not in self._clients:
                self._clients[lane] = self._make()
            try:
                async with asyncio.timeout(self._seconds if seconds is None else seconds):
                    response = await self._answered(self._clients[lane], request)
                    try:
                        bound(response, doing)
                        await response.aread()
                    finally:
                        await response.aclose()
                    return response
            except (TimeoutError, httpx.RequestError, httpx.InvalidURL) as error:
                # Not as its cause, which is logged: the words of httpx quote what was sent and what came.
                raise _no_answer(error, request, doing) from None
            finally:
                self.in_flight[lane] -= 1

    @staticmethod
    async def _answered(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """The answer of the transport itself.

        What a client does around it (redirects, cookies, authentication) is asked of none of ours, and takes as long as
        a sixth of the request. Which transport it is, a proxy of the environment decides.
        """
        response = await client._transport_for_url(request.url).handle_async_request(request)  # noqa: SLF001 - pinned
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()


def _no_answer(error: Exception, request: httpx.Request, doing: str) -> CallError | ConfigurationError:
    what = f"{doing}: no answer from {request.method} {shown(request)}: {type(error).__name__}"
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ConfigurationError(f"{what}; the address must begin with https:// and name a host")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigurationError(
            f"{what}: its certificate is not trusted; check the address. Where an authority of your own signs, name "
            f"its file in SSL_CERT_FILE, or in {CA_VARIABLE} to have it trusted besides the system's"
        )
    return TransientError(what, ambiguous=not isinstance(error, _NEVER_SENT))
