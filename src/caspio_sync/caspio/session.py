"""Calls to Caspio with a token that renews itself: pacing, repeating, counting."""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlencode

import httpx
from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.wire.answers import parsed
from caspio_sync.wire.http import USER_AGENT, ConnectionPool, RefusedError, refusal
from caspio_sync.wire.pacing import Pace, Patience, Quota

BUDGET_SECONDS = 60.0  # for a call: tries and the waits between them, not the wait for its turn
RENEW_EARLY_SECONDS = 60.0
_LONGEST_LIFE_SECONDS = 366 * 86_400.0  # of a token
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what a header can carry (RFC 6750)
_LARGE_BYTES = 65_536  # of an answer: less is read sooner than a thread begins
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 15.0

_REMEDIES = {
    HTTPStatus.UNAUTHORIZED.value: "check the client id and secret of the web services profile",
    HTTPStatus.FORBIDDEN.value: "give the web services profile the right to this object, and look at its IP list",
    HTTPStatus.NOT_FOUND.value: "check the name of the table, view or field, and the integration URL",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value: "a proxy on the way takes the Content-Type header away",
}

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Call:
    """A request before its token.

    Args:
        method: "GET", or a write.
        url: the whole address.
        doing: what it is for, in the words of an error.
        content: body of a write.
        content_type: of the body.
    """

    method: str
    url: str
    doing: str
    content: bytes | None = None
    content_type: str = "application/json"

    @property
    def is_read(self) -> bool:
        """Whether making it twice has no effect."""
        return self.method == "GET"


@dataclass(slots=True)
class _Budget:
    """Seconds that a call may still take."""

    left: float = BUDGET_SECONDS


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float  # by the monotonic clock


@dataclass(kw_only=True, eq=False)
class CaspioSession:
    """Makes calls in the name of one web services profile.

    Args:
        token_url: `https://{account}.caspio.com/oauth/token`.
        client_id: of the profile.
        client_secret: of the profile.
        pool: where requests leave.
        pace: when requests may leave.
        timeout_seconds: for one attempt.
        clock: all waiting goes through it.
    """

    token_url: str
    client_id: str
    client_secret: SecretStr
    pool: ConnectionPool
    pace: Pace
    timeout_seconds: float
    clock: Clock

    def __post_init__(self) -> None:
        self._token: _Token | None = None
        self._renewing = asyncio.Lock()
        self._patience = Patience("Caspio", self.clock)
        self._jitter = random.Random()  # noqa: S311 - spreads repeated calls, guards nothing
        self.calls = 0
        self.quota: Quota | None = None

    async def call(self, call: Call, read: Callable[[httpx.Response], _Answer], *, reads_long: bool = False) -> _Answer:
        """Make a call and read its answer.

        A read is repeated while another attempt may help and the 60 s last; a write only where it surely had no effect.

        Args:
            call: what to ask.
            read: makes a value of a successful answer; a TransientError it raises counts as a failed attempt.
            reads_long: whether it takes its time with a large answer, which a thread is for.

        Raises:
            TransientError: the last attempt's; with `ambiguous` a write may have taken effect.
            RefusedError: the call was refused for good.
            StoppedError: for five minutes every call was refused for being one too many.
            ConfigurationError: credentials, rights, names.
        """
        budget = _Budget()
        tries = 0
        while True:
            try:
                response = await self._authorised(call, budget)
                in_thread = reads_long and len(response.content) > _LARGE_BYTES
                answer = await asyncio.to_thread(read, response) if in_thread else read(response)
            except TransientError as error:
                if error.rate_limited:
                    self.pace.refused()
                    self._patience.refused(error)
                wait = self._backoff(tries, error.retry_after)
                if wait >= budget.left or (error.ambiguous and not call.is_read):
                    raise
            else:
                self._patience.accepted()
                return answer
            budget.left -= wait
            tries += 1
            await self.clock.sleep(wait)

    def _backoff(self, tries: int, retry_after: float | None) -> float:
        """Doubling waits, shortened at random by up to half so that parallel calls do not come back together."""
        longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0**tries)
        return max(retry_after or 0.0, longest * self._jitter.uniform(0.5, 1.0))

    async def _authorised(self, call: Call, budget: _Budget) -> httpx.Response:
        """One attempt, with a second one on a new token where the first was answered 401 (Caspio, 1.2)."""
        token = await self._current_token(budget)
        response = await self._attempt(call, budget, token)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            token = await self._current_token(budget, refused=token)
            response = await self._attempt(call, budget, token)
        if not response.is_success:
            raise refusal(
                response, call.doing, now=self.clock.now(), remedies=_REMEDIES, ambiguous_5xx=not call.is_read
            )
        return response

    async def _attempt(self, call: Call, budget: _Budget, token: _Token | None) -> httpx.Response:
        """The answer, whatever its status; waiting for its turn takes nothing from the budget."""
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if token:
            headers["Authorization"] = f"Bearer {token.text}"
        if call.content is not None:
            headers["Content-Type"] = call.content_type
        if self.quota is not None:
            await self.quota.admit()
        started = await self.pace.admit()
        try:
            response = await self._leave(call, budget, headers)
        except BaseException:
            self.pace.failed()
            raise
        else:
            self.pace.answered(started, call.doing)
            return response
        finally:
            budget.left -= self.clock.monotonic() - started

    async def _leave(self, call: Call, budget: _Budget, headers: dict[str, str]) -> httpx.Response:
        seconds = min(self.timeout_seconds, budget.left)
        if seconds <= 0:  # what came before it, such as a slow token, took all of the time
            raise TransientError(f"{call.doing}: no time left of {BUDGET_SECONDS:.0f} s, tries included")
        request = httpx.Request(
            call.method, call.url, headers=headers, content=call.content, extensions=self.pool.extensions(seconds)
        )
        self.calls += 1
        return await self.pool.send(request, call.doing, seconds=seconds)

    async def _current_token(self, budget: _Budget, refused: _Token | None = None) -> _Token:
        """The token, renewed where it is about to expire or is the refused one; by one task at a time."""
        if (token := self._usable(refused)) is not None:
            return token
        async with self._renewing:
            if (token := self._usable(refused)) is not None:
                return token
            self._token = await self._ask_token(budget)
            return self._token

    def _usable(self, refused: _Token | None) -> _Token | None:
        token = self._token
        good = token is not None and token is not refused and self.clock.monotonic() < token.renew_at
        return token if good else None

    async def _ask_token(self, budget: _Budget) -> _Token:
        """A new token by client credentials: of refresh tokens only the newest 1,000 live (Caspio, 1.2)."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret.get_secret_value(),
        }
        call = Call(
            "POST",
            self.token_url,
            "asking Caspio for a token",
            urlencode(form).encode(),
            "application/x-www-form-urlencoded",
        )
        try:
            response = await self._attempt(call, budget, None)
            if not response.is_success:
                raise refusal(response, call.doing, now=self.clock.now(), remedies=_REMEDIES)
            return self._read_token(response)
        except RefusedError as error:
            raise ConfigurationError(f"{error}; {_REMEDIES[HTTPStatus.UNAUTHORIZED]}") from error
        except TransientError as error:
            # Asking twice is harmless, and the call that needs the token has not been made.
            error.ambiguous = False
            raise

    def _read_token(self, response: httpx.Response) -> _Token:
        """The token; where its lifetime is not told, or is nonsense, it is renewed within a minute."""
        try:
            answer = parsed(response.content)
            text = answer["access_token"]
            lifetime = float(answer.get("expires_in") or BUDGET_SECONDS)
        except (KeyError, TypeError, ValueError, AttributeError):
            text, lifetime = None, BUDGET_SECONDS
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise TransientError("asking Caspio for a token: an answer without access_token", status=200)
        if not 1 <= lifetime <= _LONGEST_LIFE_SECONDS:
            lifetime = BUDGET_SECONDS
        early = min(RENEW_EARLY_SECONDS, lifetime / 2)
        return _Token(text, self.clock.monotonic() + lifetime - early)
