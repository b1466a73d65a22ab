"""Who may call, and how often: tokens of the one API profile (1.2) and the short-term limits (4.1)."""

import base64
import binascii
import random
from collections import deque
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from caspio_sync.clock import Clock
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour, Refusal

REFRESH_SECONDS = 365 * 86400
KEPT_REFRESH_TOKENS = 1000


class TokenRefusal(Exception):  # noqa: N818 - an answer of the emulated API, not an error of ours
    """A 400 of the token endpoint; its body is OAuth's, not Caspio's (INF)."""


class Tokens:
    """Access and refresh tokens of the profile.

    Args:
        behaviour: credentials and lifetime.
        clock: measures the lifetime.
    """

    def __init__(self, behaviour: CaspioBehaviour, clock: Clock) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._random = random.Random(behaviour.seed)  # noqa: S311 - the emulator's tokens guard nothing
        self._access: dict[str, float] = {}
        self._refresh: dict[str, float] = {}

    @property
    def issued(self) -> list[str]:
        """Every token that may still be used."""
        return [*self._access, *self._refresh]

    def expire(self) -> None:
        """End every access token now."""
        self._access.clear()

    def valid(self, authorization: str) -> bool:
        """Whether an Authorization header carries a living access token."""
        scheme, _, token = authorization.partition(" ")
        until = self._access.get(token.strip()) if scheme.lower() == "bearer" else None
        return until is not None and self._clock.monotonic() < until

    def grant(self, body: bytes, authorization: str) -> dict[str, Any]:
        """The answer of POST /oauth/token; the body is read as a form whatever its Content-Type says.

        Raises:
            TokenRefusal: wrong credentials or grant type.
        """
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        given = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        grant = form.get("grant_type")
        if grant not in {"client_credentials", "refresh_token"}:
            raise TokenRefusal("unsupported_grant_type")
        if given != (self._behaviour.client_id, self._behaviour.client_secret):
            raise TokenRefusal("invalid_client")
        now = self._clock.monotonic()
        if grant == "refresh_token" and self._refresh.pop(form.get("refresh_token", ""), -1.0) < now:
            raise TokenRefusal("invalid_grant")
        return self._pair(now)

    def _pair(self, now: float) -> dict[str, Any]:
        access, refresh = (f"{self._random.getrandbits(256):064x}" for _ in range(2))
        self._access[access] = now + self._behaviour.token_seconds
        self._refresh[refresh] = now + REFRESH_SECONDS
        # Only the newest 1,000 refresh tokens of a profile stay valid (1.2).
        if len(self._refresh) > KEPT_REFRESH_TOKENS:
            del self._refresh[next(iter(self._refresh))]
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self._behaviour.token_seconds,
            "refresh_token": refresh,
        }


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


class CallLimits:
    """The rolling window and the burst limit; refused calls do not count towards them (INF).

    Args:
        behaviour: the limits.
        clock: measures the windows.
    """

    def __init__(self, behaviour: CaspioBehaviour, clock: Clock) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._limits = [
            (limit, seconds, deque[float]())
            for limit, seconds in (
                (behaviour.calls_per_window, behaviour.window_seconds),
                (behaviour.calls_per_second, 1.0),
            )
            if limit is not None
        ]

    def take(self) -> None:
        """Count one call.

        Raises:
            Refusal: 429 with the text `api-calls-rate`.
        """
        now = self._clock.monotonic()
        for limit, seconds, taken in self._limits:
            while taken and taken[0] <= now - seconds:
                taken.popleft()
            if len(taken) >= limit:
                raise TooManyCalls((taken[0] if taken else now) + seconds - now)
        for _limit, _seconds, taken in self._limits:
            taken.append(now)


class TooManyCalls(Refusal):
    """429, and the seconds after which a call is taken again."""

    def __init__(self, wait: float) -> None:
        message = "The rate limit was exceeded (api-calls-rate). Try again later."
        super().__init__(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests", message)
        self.wait = wait
