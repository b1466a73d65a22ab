"""The host that takes events: no part of the API, with a key of its own (ActiveCampaign, event tracking).

A call is an event, and a call that is repeated is one more: nothing here is tried twice.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.destinations.activecampaign.answers import words
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.answers import foreign, parsed
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import USER_AGENT, ConnectionPool, RateLimit, RefusedError, refusal

CONNECTIONS = 4  # five calls a second need no more
_REMEDY = "check ACTIVECAMPAIGN_EVENT_ID and ACTIVECAMPAIGN_EVENT_KEY (Website > Site Tracking > Event Tracking)"
_ADDRESS = "check ACTIVECAMPAIGN_EVENT_URL: as a rule it is left out"
_REMEDIES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED.value: _REMEDY,
    HTTPStatus.FORBIDDEN.value: _REMEDY,
    HTTPStatus.NOT_FOUND.value: _ADDRESS,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value: "a proxy on the way takes the Content-Type header away",
}
# Its messages are not documented: what speaks of these is about the account, and not about the event.
_OF_ACCOUNT = re.compile(r"(?i)\b(?:act_?id|account|keys?|auth\w*|tracking|disabled|enabled|permission|forbidden)\b")


class EventHost(Closing):
    """Takes events, one a call.

    Args:
        url: of the host.
        event_id: the account's, as it is known there.
        key: event key.
        clock: tells what `Retry-After` as a date amounts to.
        transport: answers instead of the network.
        timeout_seconds: for one call.
    """

    def __init__(  # noqa: PLR0917 - all are named by whoever makes it
        self,
        url: str,
        event_id: str,
        key: SecretStr,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._url = f"{url.strip().rstrip('/')}/event"
        self._proof = {"actid": event_id.strip(), "key": key.get_secret_value().strip()}
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": USER_AGENT}
        self._clock = clock
        self._pool = ConnectionPool(
            url=url.strip().rstrip("/"),
            clients=1,
            connections=CONNECTIONS,
            timeout_seconds=timeout_seconds,
            transport=transport,
        )
        self._taken = False

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def track(self, email: str, name: str, value: str) -> None:
        """POST /event: the person with this address did this, now; there is no other time.

        Args:
            email: of the person; an event of nobody is taken there, and belongs to nobody.
            name: of the event, at most 32 characters.
            value: what is told of it; "" for nothing.

        Raises:
            RefusedError: this event was refused; its words are masked.
            ConfigurationError: the key or the account is not taken; or the first answer is a refusal without a reason,
                which may be about either.
            TransientError: as the answer says, or there was none; the event may have been taken.
        """
        doing = "sending an event"
        event = {"event": name, **({"eventdata": value} if value else {}), "visit": orjson.dumps({"email": email})}
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=urlencode({**self._proof, **event}).encode(),
            extensions=self._pool.extensions(),
        )
        response = await self._pool.send(request, doing)
        body = parsed(response.content)
        if response.is_success:
            if not isinstance(body, dict) or "success" not in body:
                raise foreign(response, doing, "no JSON object that tells `success`")
            if str(body["success"]) in {"1", "True"}:
                self._taken = True
                return
        elif response.status_code != HTTPStatus.BAD_REQUEST or not isinstance(body, dict):
            raise refusal(response, doing, now=self._clock.now(), remedies=_REMEDIES)
        raise self._refused(response, doing, name)

    def _refused(self, response: httpx.Response, doing: str, name: str) -> Exception:
        """What a refusal of the host's own amounts to: one that is about the account must reject no event."""
        said: Any = words(response)
        what = f"{doing}: ActiveCampaign refuses it: {said or 'it gives no reason'}"
        # Its own name may be "Account opened": what is said of that is not said of the account.
        if _OF_ACCOUNT.search(said.replace(name, "")) or not (said or self._taken):
            return ConfigurationError(f"{what}; {_REMEDY}, and that event tracking is on")
        return RefusedError(
            what, status=response.status_code, message_text=said or "it gives no reason", rate=RateLimit()
        )
