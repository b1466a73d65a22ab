"""The feed of posts: `POST /in/{name}` takes one JSON object of any system, for the syncs whose source it is.

Who posts proves it as CASPIO_SYNC_POSTS says for the path: by Standard Webhooks, by an HMAC-SHA256 of the body, by a
bearer token or by a password. Whoever proves nothing is answered 401 and leaves no trace but a count.

200: on the disk, or there already. 400: no JSON object, or without the id that the path asks for. 401: not proven. 404:
no such path. 413: over 10 MB. 503: the disk, or too much waits; whoever posts has to come again.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import CaspioSyncError
from caspio_sync.feeds import PostFeed, signing_key
from caspio_sync.json_documents import UnreadableJsonError, read_json
from caspio_sync.receiver.access import Bearer, HeldBodies, RefusedPostError, is_one_of, signature_bytes
from caspio_sync.receiver.commit import GroupCommit, QueueFullError

PATH = "/in"
BODY_LIMIT = 10_000_000
TOLERANCE_SECONDS = 300  # of a signature's time, either way (Standard Webhooks; its libraries take the same)
_MOST_ID = 1_000
_SECONDS = re.compile(r"[0-9]{1,12}")


class Received(NamedTuple):
    """A post that has proven itself."""

    path: str
    id_digest: bytes | None
    body: bytes


Keep = Callable[[Sequence[Received]], Sequence[str]]


class PostsFeed:
    """Takes posts for the paths that have a feed.

    Args:
        feeds: what whoever posts is known by, by path.
        keep: writes posts down, and says what became of each; called in a thread, by one at a time.
        clock: by which signatures are of now.
        body_limit: bytes of one post.
        registry: where its counter goes.
    """

    def __init__(
        self,
        feeds: Mapping[str, PostFeed],
        *,
        keep: Keep,
        clock: Clock | None = None,
        body_limit: int = BODY_LIMIT,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._feeds = feeds
        self._keep = keep
        self._clock = clock or SystemClock()
        self._limit = body_limit
        self._bodies = HeldBodies()
        self._commit: GroupCommit[Received, str] | None = None
        self.outcomes = Counter(
            "caspio_sync_posted", "Posts by path: kept, duplicate.", ["path", "outcome"], registry=registry
        )

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Posts are taken within."""
        async with GroupCommit(self._keep) as self._commit:
            yield

    @property
    def failing(self) -> bool:
        """Whether what came last could not be written."""
        return self._commit is not None and self._commit.failure is not None

    async def __call__(self, request: Request) -> Response:
        """Answer a post; see above."""
        path = f"{PATH}/{request.path_params['name']}"
        feed = self._feeds.get(path)
        if feed is None:
            raise RefusedPostError(HTTPStatus.NOT_FOUND, "nobody posts to this path")
        if feed.proof in {"bearer", "basic"} and not _is_known(request, feed):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, _UNPROVEN)
        body = await self._bodies.read(request, self._limit)
        if feed.proof == "hmac" and not _is_signed(request, body, feed):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, _UNPROVEN)
        if feed.proof == "standard_webhooks" and not self._is_signed_now(request, body, feed):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, _UNPROVEN)
        received = Received(path, _digest(path, _id(request, body, feed)), body)
        outcome = await self._kept(received)
        self.outcomes.labels(path, outcome).inc()
        return JSONResponse({"message": outcome})

    async def _kept(self, received: Received) -> str:
        assert self._commit is not None
        try:
            return await self._commit.add(received, len(received.body))
        except QueueFullError as error:
            raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=1) from None
        except CaspioSyncError:  # it names the file, which is nobody's business outside
            text = "posts cannot be written"
            raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=30) from None

    def _is_signed_now(self, request: Request, body: bytes, feed: PostFeed) -> bool:
        """By the specification of Standard Webhooks: id, time and body, by one of several signatures."""
        number, time = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        if not number or not _SECONDS.fullmatch(time):
            return False
        if abs(int(time) - self._clock.now().timestamp()) > TOLERANCE_SECONDS:
            return False
        signed = b".".join([number.encode("latin-1"), time.encode(), body])
        ours = [hmac.digest(signing_key(each.get_secret_value()), signed, "sha256") for each in feed.secrets]
        words = (
            each.partition(",") for each in request.headers.get("webhook-signature", "").split()[:_MOST_SIGNATURES]
        )
        given = [signature_bytes(text, "base64") for version, _, text in words if version == "v1"]
        matches = [hmac.compare_digest(each, own) for each in given for own in ours]
        return any(matches)


_UNPROVEN = "it is not proven who posts"
_MOST_SIGNATURES = 10


def _is_known(request: Request, feed: PostFeed) -> bool:
    """Whether the token, or name and password, are ours."""
    if feed.proof == "bearer":
        return Bearer(feed.secrets).admits(request)
    scheme, _, pair = request.headers.get("authorization", "").strip().partition(" ")
    try:
        user, colon, password = base64.b64decode(pair.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    right = [is_one_of([password], feed.secrets), hmac.compare_digest(user.encode(), feed.user.encode())]
    return scheme.lower() == "basic" and bool(colon) and all(right)


def _is_signed(request: Request, body: bytes, feed: PostFeed) -> bool:
    given = request.headers.get(feed.header, "").strip()
    if not given.startswith(feed.prefix):
        return False
    digest = signature_bytes(given.removeprefix(feed.prefix), feed.encoding)
    ours = [hmac.digest(each.get_secret_value().encode(), body, "sha256") for each in feed.secrets]
    matches = [hmac.compare_digest(digest, each) for each in ours]
    return any(matches)


def _id(request: Request, body: bytes, feed: PostFeed) -> str | None:
    """What tells the post from another; None where the path asks for nothing.

    Raises:
        RefusedPostError: it is no JSON object, or the id that the path asks for is not there.
    """
    try:
        document = read_json(body)
    except UnreadableJsonError as error:
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, str(error)) from None
    if not isinstance(document, dict):
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, "a post is one JSON object")
    place = feed.id_path
    if place is None and feed.known_by is None:
        return None
    found: Any = request.headers.get(feed.known_by or "") if place is None else next(place.found(document), None)
    if not isinstance(found, str) or not found or len(found) > _MOST_ID:
        raise RefusedPostError(
            HTTPStatus.BAD_REQUEST, f"it has no id of up to {_MOST_ID:,} characters at {feed.id_place}"
        )
    return str(found)


def _digest(path: str, number: str | None) -> bytes | None:
    if number is None:
        return None
    return hashlib.blake2b(f"{path}\0{number}".encode("utf-8", "replace"), digest_size=16).digest()


def paths() -> Iterator[str]:
    """The addresses of the feed, with and without a slash at the end."""
    yield from (f"{PATH}/{{name}}", f"{PATH}/{{name}}/")
