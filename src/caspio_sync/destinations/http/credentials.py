"""How requests prove who sends them: headers, made of secrets that the settings have.

Signatures are those of Standard Webhooks, by its specification and not by its library: what is signed is one line, and
the library brings three more packages for it.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping

import httpx
from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.http.definition import Auth, ClientCredentials
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.wire.answers import foreign, parsed
from caspio_sync.wire.masking import SECRETS

_PREFIX = "whsec_"
_SECONDS, _EARLY, _LONGEST = 3600.0, 60.0, 86_400.0  # that a token lasts where it does not say; renewed before; at most
Ask = Callable[[httpx.Request, str], Awaitable[httpx.Response]]


def signature(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature` (Standard Webhooks, signature scheme).

    Args:
        secret: `whsec_` and base64.
        number: the message's id.
        timestamp: seconds since 1970.
        body: as it is sent.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = b".".join([number.encode(), str(timestamp).encode(), body])
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


class Credentials:
    """The headers that prove who sends a request.

    Args:
        auth: how.
        secrets: by name.
        place: `file:line` of `auth`, for people.
        clock: by which signatures and tokens are made.
        ask: makes the call for a token.

    Raises:
        ConfigurationError: a secret is not there, or is none of its kind.
    """

    def __init__(self, auth: Auth, secrets: Mapping[str, SecretStr], place: str, clock: Clock, ask: Ask) -> None:
        self._auth, self._clock, self._ask = auth, clock, ask
        self._secrets, self._place = secrets, place
        self._token = ""
        self._until = 0.0
        self.known = tuple(map(self._secret, auth.names))
        if auth.hmac is not None:
            _refuse_unsigned(self._secret(auth.hmac), place)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return (*self.known, self._token) if self._token else self.known

    async def headers(self, number: str, body: bytes) -> dict[str, str]:
        """Of a request.

        Args:
            number: by which the endpoint knows the request again.
            body: as it is sent.

        Raises:
            ConfigurationError: the client is not given a token.
            TransientError: whoever gives tokens does not answer.
        """
        auth = self._auth
        if auth.basic is not None:
            pair = f"{auth.basic.user}:{self._secret(auth.basic.password)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        if auth.bearer is not None:
            return {"Authorization": f"Bearer {self._secret(auth.bearer)}"}
        if auth.header is not None:
            return {auth.header.name: self._secret(auth.header.secret)}
        if auth.hmac is not None:
            now = int(self._clock.now().timestamp())
            signed = signature(self._secret(auth.hmac), number, now, body)
            return {"webhook-id": number, "webhook-timestamp": str(now), "webhook-signature": signed}
        if auth.oauth2_client_credentials is not None:
            if self._clock.monotonic() >= self._until:
                await self._renew(auth.oauth2_client_credentials)
            return {"Authorization": f"Bearer {self._token}"}
        return {}

    def refused(self) -> bool:
        """A request was answered 401: whether another token may help."""
        had, self._until = bool(self._token), 0.0
        return had and self._auth.oauth2_client_credentials is not None

    def _secret(self, name: str) -> str:
        if name not in self._secrets:
            there = ", ".join(sorted(self._secrets)) or "none"
            raise ConfigurationError(f"{self._place}: auth: HTTP_SECRETS has no such secret; there are: {there}")
        return self._secrets[name].get_secret_value()

    async def _renew(self, client: ClientCredentials) -> None:
        secret = self._secret(client.client_secret)
        form = {"grant_type": "client_credentials"} | ({"scope": client.scope} if client.scope else {})
        request = httpx.Request(
            "POST",
            client.token_url,
            data=form,
            headers={"Accept": "application/json", "Authorization": _basic(client.client_id, secret)},
            extensions={SECRETS: (secret,)},
        )
        doing = "asking for a token"
        response = await self._ask(request, doing)
        told = parsed(response.content)
        if response.status_code in {400, 401, 403} and isinstance(told, dict):
            raise ConfigurationError(
                f"{self._place}: {request.url.host} gives no token ({response.status_code}); check the client's id, "
                "its secret in HTTP_SECRETS, and its scope"
            )
        token = told.get("access_token") if isinstance(told, dict) else None
        kind = str(told.get("token_type", "bearer")).lower() if isinstance(told, dict) else ""
        if response.status_code == 429 or response.is_server_error:
            raise TransientError(f"{doing}: {response.status_code} from {request.url.host}", status=503)
        usable = isinstance(token, str) and token != "" and token.isascii() and token.isprintable()
        if not response.is_success or not usable or kind != "bearer":
            raise foreign(response, doing, "no bearer token")
        lasts = told.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int | float) and 0 < lasts < _LONGEST else _SECONDS
        self._token, self._until = str(token), self._clock.monotonic() + max(seconds - _EARLY, seconds / 2)


def _basic(user: str, password: str) -> str:
    """Of a client's id and secret, form-encoded first (RFC 6749, 2.3.1)."""
    pair = ":".join(str(httpx.QueryParams({"v": each}))[2:] for each in (user, password))
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _refuse_unsigned(secret: str, place: str) -> None:
    try:
        long_enough = len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True)) >= 24
    except (binascii.Error, ValueError):
        long_enough = False
    if not long_enough:
        raise ConfigurationError(
            f"{place}: auth: the secret of a signature is `whsec_` and base64 of 24 bytes or more (Standard Webhooks); "
            "correct it in HTTP_SECRETS"
        )
