"""The feed of Caspio's webhooks: `POST /caspio/{sync}` tells which rows to read again (Caspio, 5).

A message proves itself by the secret in its body, by an HMAC-SHA256 of its bytes, or, as a step of a triggered action
can send neither, by the secret as the last part of the path or in the header `X-Webhook-Secret`. Whoever proves nothing
is answered 401 and leaves no trace but a count.

200: on the disk, or nothing to keep. 400: it is no message. 401: not proven. 404: no such sync. 413: over 10 MB. 503:
the disk, or too much waits. Caspio counts 4xx and 5xx as errors and may call again (5.5); what is lost is found by the
next sweep.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import CaspioSyncError, UnexpectedError
from caspio_sync.feeds import SignatureForm, WebhookFeed
from caspio_sync.hints import Message
from caspio_sync.receiver.access import HeldBodies, RefusedPostError, is_one_of, signature_bytes
from caspio_sync.receiver.messages import UnreadableMessageError, message_of, read_posted
from caspio_sync.receiver.told_rows import told_by, with_rows
from caspio_sync.sealed import Sealer

_LOG = logging.getLogger(__name__)
PATH = "/caspio"
SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 - a header's name
BODY_LIMIT = 10_000_000  # what Caspio sends at the most (5.3)
STALE_AFTER = timedelta(hours=1)
_TOGETHER = 200  # messages a commit
_MOST_WAITING = 20_000
_FAILING_SECONDS = 60.0

Keep = Callable[[Sequence[Message]], Sequence[str]]


class _Waiting(NamedTuple):
    message: Message
    done: asyncio.Future[str]


class CaspioFeed:
    """Takes messages for the syncs that have a feed.

    Args:
        feeds: secrets and table by sync.
        keep: writes messages down, and says what became of each; called in a thread, by one at a time.
        form: how messages are signed.
        sealer: encrypts rows of feeds that keep them; None: none are kept.
        clock: tells which messages are stale.
        body_limit: bytes of one message.
        registry: where its counter goes.
    """

    def __init__(
        self,
        feeds: Mapping[str, WebhookFeed],
        *,
        keep: Keep,
        form: SignatureForm,
        sealer: Sealer | None = None,
        clock: Clock | None = None,
        body_limit: int = BODY_LIMIT,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._feeds = feeds
        self._keep = keep
        self._form = form
        self._sealer = sealer
        self._clock = clock or SystemClock()
        self._limit = body_limit
        self._bodies = HeldBodies()
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self._told: set[tuple[str, str]] = set()
        self._failing = False
        self._failed_at = float("-inf")
        self.messages = Counter(
            "caspio_sync_webhook_messages",
            "Messages of Caspio's webhooks: kept, duplicate, stale (the sweep's), other_table, empty, unreadable.",
            ["sync", "outcome"],
            registry=registry,
        )

    @property
    def failing(self) -> bool:
        """Whether what came last, within a minute, could not be written.

        Later it may be tried again: where a proxy lets nothing through to whoever is not healthy, no message would come
        that tells of the end of it.
        """
        return self._failing and self._clock.monotonic() < self._failed_at + _FAILING_SECONDS

    async def __call__(self, request: Request) -> Response:
        """Answer a post; see above."""
        sync = request.path_params["sync"]
        feed = self._feeds.get(sync)
        if feed is None:
            raise RefusedPostError(HTTPStatus.NOT_FOUND, "there is no feed of this name")
        body = await self._bodies.read(request, self._limit)  # unproven: the secret may be within
        given = [request.path_params.get("secret", ""), request.headers.get(SECRET_HEADER, "")]
        signed = self._is_signed(request, body, feed.secrets)
        proven = signed or is_one_of(given, feed.secrets)
        try:
            posted = read_posted(body, request.headers.get("content-type", ""), request.url.query)
        except UnreadableMessageError as error:
            status = HTTPStatus.BAD_REQUEST if proven else HTTPStatus.UNAUTHORIZED
            raise RefusedPostError(status, str(error) if proven else _UNPROVEN) from None
        if not proven and not is_one_of(posted.secrets, feed.secrets):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, _UNPROVEN)
        now, of_table = self._clock.now(), (feed.table or "").lower()
        message = message_of(posted, sync, table=feed.table, now=now, oldest=STALE_AFTER, beside=feed.beside)
        # Of a table that is not named, or not known, a row may be another one's with fields of the same names.
        if feed.payload and self._sealer is not None and posted.text("objectname").lower() == of_table != "":
            # A secret in path or header, or a parameter, says who posts, and not that Caspio wrote the body.
            told = told_by(body)
            if signed or is_one_of([told.secret], feed.secrets):
                message = with_rows(message, told, [each.get_secret_value() for each in feed.secrets], self._sealer)
        outcome = await self._kept(message)
        self.messages.labels(sync, outcome).inc()
        self._tell(sync, outcome)
        return JSONResponse({"message": outcome})

    def _is_signed(self, request: Request, body: bytes, secrets: Sequence[SecretStr]) -> bool:
        """Whether the signature is right; False where there is none.

        Raises:
            RefusedPostError: there is one, and it is wrong: what is in the body then proves nothing any more.
        """
        form = self._form
        given = request.headers.get(form.header, "").strip() if form.header else ""
        if not given:
            return False
        digest = signature_bytes(given.removeprefix(form.prefix), form.encoding)
        keys = (each.get_secret_value().encode() for each in secrets)
        matches = [hmac.compare_digest(digest, hmac.new(key, body, hashlib.sha256).digest()) for key in keys]
        if not any(matches):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, _UNPROVEN)
        return True

    async def _kept(self, message: Message) -> str:
        """What became of a message, once that is on the disk."""
        if len(self._waiting) >= _MOST_WAITING:
            raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, "too many messages wait for the disk", retry_after=1)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        outcome: str = await done
        return outcome

    async def _write(self) -> None:
        """Write what waits, and what has come meanwhile, together."""
        while self._waiting:
            group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            failure: CaspioSyncError | None = None
            outcomes: Sequence[str] = [""] * len(group)
            try:
                outcomes = await run_in_threadpool(self._keep, [each.message for each in group])
            except CaspioSyncError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - whatever it is, these are not kept and the next may be
                failure = UnexpectedError.of(error)
            if failure is not None:
                self._failed_at = self._clock.monotonic()
                if not self._failing:
                    _LOG.error("messages of webhooks are answered 503: %s", failure)
            self._failing = failure is not None
            for each, outcome in zip(group, outcomes, strict=True):
                if each.done.done():  # its sender has gone
                    continue
                if failure is None:
                    each.done.set_result(outcome)
                else:  # its words name the file, which is nobody's business outside
                    text = "the inbox cannot be written"
                    each.done.set_exception(RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=30))

    def _tell(self, sync: str, outcome: str) -> None:
        """Say once a feed that messages come of which nothing is kept; no value, for a name may be anything."""
        if outcome in _WORDS and (sync, outcome) not in self._told:
            self._told.add((sync, outcome))
            _LOG.warning("webhook of %s: %s", sync, _WORDS[outcome])


_UNPROVEN = "neither its secret nor its signature is ours"
_WORDS = {
    "stale": f"messages of changes over {STALE_AFTER} ago are left to the sweep; are the clocks right?",
    "other_table": "messages of another table than the sync's; nothing of them is kept",
    "empty": "messages without a row",
    "unreadable": "messages without a PK_ID; the payload has to hold it",
}


def paths() -> Iterator[str]:
    """The addresses of the feed, with and without a slash at the end."""
    for path in (f"{PATH}/{{sync}}", f"{PATH}/{{sync}}/{{secret}}"):
        yield path
        yield f"{path}/"
