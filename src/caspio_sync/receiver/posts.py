"""The feed of posts: `POST /in/{name}` takes JSON of any system, for the syncs whose source it is.

Who posts proves it as CASPIO_SYNC_POSTS says for the path: by Standard Webhooks, by an HMAC-SHA256 of the body, by a
bearer token or by a password. Whoever proves nothing is answered 401 and leaves no trace but a count.

200: on the disk, or there already. 400: no JSON object, or without the id that the path asks for. 401: not proven. 404:
no such path. 413: over 10 MB, or over 10,000 records. 503: the disk, or too much waits; whoever posts has to come
again.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import CaspioSyncError
from caspio_sync.feeds import PostFeed, signing_key
from caspio_sync.json_documents import UnreadableJsonError, json_text, read_json
from caspio_sync.json_paths import Path
from caspio_sync.posts import DUPLICATE, KEPT, Posted, Posts
from caspio_sync.receiver.access import Bearer, HeldBodies, RefusedPostError, is_one_of, signature_bytes
from caspio_sync.receiver.commit import GroupCommit, QueueFullError
from caspio_sync.sealed import Sealer

PATH = "/in"
BODY_LIMIT = 10_000_000
TOLERANCE_SECONDS = 300  # of a signature's time, either way (Standard Webhooks; its libraries take the same)
_MOST_ID = 1_000
_MOST_RECORDS = 10_000
_AT_ONCE_BYTES = 65_536
_NO_RECORD = "a record of it is no JSON object"
_SECONDS = re.compile(r"[0-9]{1,12}")


class Record(NamedTuple):
    """One record of a post."""

    id_digest: bytes | None
    body: bytes


class Received(NamedTuple):
    """A post that has proven itself; its records are kept all, or none of them."""

    path: str
    records: tuple[Record, ...]


Keep = Callable[[Sequence[Received]], Sequence[str]]


def keeping(store: Posts, sealer: Sealer, check: Callable[[], None]) -> Keep:
    """Keeps what was received, sealed.

    Args:
        store: where.
        sealer: seals it.
        check: raises where there is no room.
    """

    def keep(received: Sequence[Received]) -> Sequence[str]:
        check()
        records = [(each.path, record) for each in received for record in each.records]
        outcomes = iter(store.add([Posted(path, one.id_digest, sealer.seal(one.body)) for path, one in records]))
        told = [list(islice(outcomes, len(each.records))) for each in received]
        return [KEPT if KEPT in each else DUPLICATE for each in told]

    return keep


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
        records = functools.partial(_records, request, body, feed, path)
        # A large one would keep all others waiting while it is read.
        received = Received(path, records() if len(body) < _AT_ONCE_BYTES else await run_in_threadpool(records))
        outcome = await self._kept(received, len(body)) if received.records else DUPLICATE
        self.outcomes.labels(path, outcome).inc()
        return JSONResponse({"message": outcome})

    async def _kept(self, received: Received, size: int) -> str:
        assert self._commit is not None
        try:
            return await self._commit.add(received, size)
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


def _records(request: Request, body: bytes, feed: PostFeed, path: str) -> tuple[Record, ...]:
    """What is to be kept of a post.

    Raises:
        RefusedPostError: it is no JSON; a record is no object, or the id that the path asks for is not there.
    """
    try:
        document = read_json(body)
    except UnreadableJsonError as error:
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, str(error)) from None
    place = feed.records_path
    found = [document] if place is None else list(place.found(document))
    if place is not None and not found and not _is_empty(document, place):
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, f"it has no list at {feed.records}")
    if len(found) > _MOST_RECORDS:
        raise RefusedPostError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it has more than {_MOST_RECORDS:,} records")
    if not all(isinstance(each, dict) for each in found):
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, "a post is one JSON object" if place is None else _NO_RECORD)
    ids = [_id(request, each, feed) for each in found]
    if place is None:
        return (Record(_digest(path, ids[0]), body),)
    if feed.id is None:  # the header is of them all
        ids = [None if each is None else f"{each}\0{number}" for number, each in enumerate(ids)]
    return tuple(Record(_digest(path, told), json_text(each).encode()) for told, each in zip(ids, found, strict=True))


def _is_empty(document: Any, place: Path) -> bool:
    """Whether the list is there, and nothing in it."""
    last = max(at for at, step in enumerate(place.steps) if step is None)
    return any(each == [] for each in Path("", place.steps[:last]).found(document))


def _id(request: Request, record: Any, feed: PostFeed) -> str | None:
    """What tells a record from another; None where the path asks for nothing."""
    place = feed.id_path
    if place is None and feed.known_by is None:
        return None
    found: Any = request.headers.get(feed.known_by or "") if place is None else next(place.found(record), None)
    if not isinstance(found, str) or not found or len(found) > _MOST_ID:
        text = f"it has no id of up to {_MOST_ID:,} characters at {feed.id_place}"
        raise RefusedPostError(HTTPStatus.BAD_REQUEST, text)
    return str(found)


def _digest(path: str, number: str | None) -> bytes | None:
    if number is None:
        return None
    return hashlib.blake2b(f"{path}\0{number}".encode("utf-8", "replace"), digest_size=16).digest()


def paths() -> Iterator[str]:
    """The addresses of the feed, with and without a slash at the end."""
    yield from (f"{PATH}/{{name}}", f"{PATH}/{{name}}/")
