"""The ASGI service that is posted to: one service, one route for each sender.

`POST /currents` takes what Braze Currents sends (Braze, 11.1). Its answers are what makes Braze send again what has to
be sent again, and nothing else: see `_currents`. `POST /caspio/{sync}` takes what Caspio's webhooks send: see
`webhooks.py`. `POST /activecampaign/{secret}` takes what ActiveCampaign's send: see `_activecampaign`. `POST
/in/{name}` takes what any system sends: see `posts.py`.
"""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.destinations.activecampaign.hooks import HOOKS, read_hook
from caspio_sync.destinations.braze.currents import CurrentsPost, UnreadablePostError, read_post
from caspio_sync.engagement.events import Malformed, Post, event_lines
from caspio_sync.errors import CaspioSyncError, UnexpectedError
from caspio_sync.inbox import Inbox
from caspio_sync.receiver import webhooks
from caspio_sync.receiver.access import Bearer, RefusedPostError, is_one_of, read_body
from caspio_sync.receiver.commit import QUEUE_BYTES, GroupCommit, QueueFullError
from caspio_sync.receiver.metrics import ReceiverMetrics
from caspio_sync.receiver.posts import PATH as POSTS_PATH
from caspio_sync.receiver.posts import PostsFeed
from caspio_sync.receiver.posts import paths as posts_paths
from caspio_sync.receiver.recent import RecentIds

_LOG = logging.getLogger(__name__)
BODY_LIMIT = 10_000_000
CURRENTS = "currents"
_PATH = "/currents"
_HOOKS_PATH = "/activecampaign"
_HOOK_BYTES = 1_000_000
_FORM = "application/x-www-form-urlencoded"
_ELSEWHERE = "other"  # every path that is not ours, as the metrics call it: whoever asks shall not make labels
_VERSION = "1"  # Braze-Currents-Version; the page says it is always 1
_NAMED_AT_MOST = 100  # new types and fields that are logged by name

Endpoint = Callable[[Request], Awaitable[Response]]


class Feed(Protocol):
    """An endpoint of its own that writes what it takes."""

    @property
    def failing(self) -> bool:
        """Whether what came last could not be written."""

    async def __call__(self, request: Request) -> Response:
        """Answer a post."""


class Receiver:
    """The service; `app` is the ASGI application, which opens and closes nothing but its own thread.

    Args:
        inbox: where everything goes.
        tokens: bearer tokens of Currents, each good; two while one is being replaced.
        body_limit: bytes of one post.
        queue_bytes: of the posts that wait for the disk.
        caspio: takes what Caspio's webhooks post; None where no sync has a feed.
        activecampaign: secrets, each good as the last part of the path to which ActiveCampaign's webhooks post.
        posts: takes what any system posts; None where nobody may.
        clock: tells when a post arrived.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        tokens: Sequence[SecretStr],
        body_limit: int = BODY_LIMIT,
        queue_bytes: int = QUEUE_BYTES,
        caspio: Feed | None = None,
        activecampaign: Sequence[SecretStr] = (),
        posts: PostsFeed | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._inbox = inbox
        self._hook_secrets = tuple(activecampaign)
        self._clock = clock or SystemClock()
        self._bearer = Bearer(tokens)
        self.body_limit = body_limit
        self._queue_bytes = queue_bytes
        self._caspio = caspio
        self._posts = posts
        self._recent = RecentIds()
        self._named: set[str] = set()
        self.metrics = ReceiverMetrics()
        self._unhealthy: str | None = None
        currents, hooks = self._counted(_PATH, self._currents), self._counted(_HOOKS_PATH, self._activecampaign)
        hook_paths = [f"{_HOOKS_PATH}/{{secret}}", f"{_HOOKS_PATH}/{{secret}}/"] if self._hook_secrets else []
        self.app = Starlette(
            routes=[
                # Both forms, as a redirect would lead to http:// behind a proxy that ends TLS.
                *(Route(path, currents, methods=["POST"]) for path in (_PATH, f"{_PATH}/")),
                *([] if caspio is None else self._webhooks(caspio)),
                *(Route(path, hooks, methods=["POST"]) for path in hook_paths),
                *([] if posts is None else self._any_system(posts)),
                Route("/healthz", self._health),
                Route("/metrics", self._tell),
            ],
            exception_handlers={HTTPException: self._elsewhere},
            lifespan=self._live,
        )
        self.app.router.redirect_slashes = False

    def _webhooks(self, caspio: Feed) -> list[Route]:
        endpoint = self._counted(webhooks.PATH, caspio)
        return [Route(path, endpoint, methods=["POST"]) for path in webhooks.paths()]

    def _any_system(self, posts: PostsFeed) -> list[Route]:
        endpoint = self._counted(POSTS_PATH, posts)
        return [Route(path, endpoint, methods=["POST"]) for path in posts_paths()]

    @contextlib.asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            self.commit = await stack.enter_async_context(GroupCommit(self._add, queue_bytes=self._queue_bytes))
            if self._posts is not None:
                await stack.enter_async_context(self._posts.live())
            yield

    def _add(self, posts: Sequence[Post]) -> list[None]:
        self._inbox.add(posts)
        return [None] * len(posts)

    def _counted(self, path: str, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with its answers counted and timed, whatever it raises."""

        async def counted(request: Request) -> Response:
            start = time.perf_counter()
            try:
                response = await endpoint(request)
            except RefusedPostError as refused:
                response = _answer(refused.status, str(refused), retry_after=refused.retry_after)
            except ClientDisconnect:
                response = _answer(HTTPStatus.BAD_REQUEST, "the sender broke off")
            except Exception as error:  # noqa: BLE001 - the answer makes Braze send it again, and the next may be kept
                # No trace: it would quote what was posted.
                _LOG.error("%s", UnexpectedError.of(error))
                response = _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "it could not be taken")
            self.metrics.posts.labels(path, response.status_code).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - start)
            return response

        return counted

    async def _currents(self, request: Request) -> Response:
        """A post of Braze Currents.

        200: on the disk, or nothing to keep. 401: the token, also of an empty post; Braze stops until it is set right.
        413: Braze sends smaller posts. 400: Braze sends its events one by one, and drops what is refused again, so it
        is said of a body without a list of events and never of single ones. 503 and all others: Braze sends it again.
        """
        if not self._bearer.admits(request):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or not ours")
        if request.headers.get("braze-currents-version", _VERSION) != _VERSION:
            raise RefusedPostError(HTTPStatus.NOT_IMPLEMENTED, "this version of Currents is new; update caspio-sync")
        body = await read_body(request, self.body_limit)
        if not body.strip():
            return _answer(HTTPStatus.OK, "nothing to keep")
        try:
            post = read_post(body)
        except UnreadablePostError as error:
            raise RefusedPostError(HTTPStatus.BAD_REQUEST, str(error)) from None
        self._name_new(post)
        await self._keep(_PATH, CURRENTS, post.events, post.malformed)
        return _answer(HTTPStatus.OK, "kept")

    async def _activecampaign(self, request: Request) -> Response:
        """A post of ActiveCampaign's webhooks, which is never made again: whatever can be kept is, under a 200.

        200: on the disk, also what cannot be read. 401: the path's secret is not ours. 413, 415: no form of theirs.
        503: the disk. Never 410, which switches the webhook off for good. What is lost of opt-outs, a poll finds.
        """
        if not is_one_of([request.path_params["secret"]], self._hook_secrets):
            raise RefusedPostError(HTTPStatus.UNAUTHORIZED, "the secret in the path is not ours")
        if request.headers.get("content-type", _FORM).split(";")[0].strip().lower() != _FORM:
            raise RefusedPostError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a webhook posts {_FORM}")
        body = await read_body(request, min(_HOOK_BYTES, self.body_limit))
        post = read_hook(body, self._clock.now())
        await self._keep(_HOOKS_PATH, HOOKS, post.events, post.malformed)
        return _answer(HTTPStatus.OK, "kept")

    async def _keep(
        self, path: str, source: str, events: Sequence[Mapping[str, Any]], malformed: Sequence[Malformed]
    ) -> None:
        fresh = {event["event_id"]: event for event in events if event["event_id"] not in self._recent}
        if fresh or malformed:
            lines = event_lines(fresh.values())
            try:
                size = len(lines) + sum(len(each.event) for each in malformed)
                await self.commit.add(Post(source, lines, len(fresh), tuple(malformed)), size)
            except QueueFullError as error:
                raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=1) from None
            except CaspioSyncError:  # it names the file, which is nobody's business outside
                text = "the inbox cannot be written"
                raise RefusedPostError(HTTPStatus.SERVICE_UNAVAILABLE, text, retry_after=30) from None
        # Known only now: what was not kept has to be taken when it comes again.
        self._recent.add(fresh)
        for outcome, count in (
            ("kept", len(fresh)),
            ("duplicate", len(events) - len(fresh)),
            ("malformed", len(malformed)),
        ):
            self.metrics.events.labels(path, outcome).inc(count)

    def _name_new(self, post: CurrentsPost) -> None:
        """Count and log what Braze has added since; new types and fields come monthly and are no failure (11.1)."""
        self.metrics.unknown_types.inc(bool(post.unknown_types))
        self.metrics.unknown_fields.inc(bool(post.unknown_fields))
        for name in (post.unknown_types | post.unknown_fields) - self._named:
            if len(self._named) < _NAMED_AT_MOST:
                self._named.add(name)
                _LOG.info("new in Currents, kept and not used: %r", name[:80])

    async def _health(self, _request: Request) -> Response:
        """200 while posts can be taken, else 503; why stands in the log, for it names places and users."""
        try:
            await run_in_threadpool(self._inbox.check)
            failure = self.commit.failure  # which is in the log already
        except CaspioSyncError as error:
            failure = str(error)
            if self._unhealthy is None:
                _LOG.error("/healthz is answered 503: %s", failure)
        self._unhealthy = failure
        words = {"inbox": _word(ok=failure is None)}
        if self._caspio is not None:  # its hints are in tables of their own
            words["webhooks"] = _word(ok=not self._caspio.failing)
        if self._posts is not None:
            words["posts"] = _word(ok=not self._posts.failing)
        status = HTTPStatus.SERVICE_UNAVAILABLE if _word(ok=False) in words.values() else HTTPStatus.OK
        return JSONResponse({**words, "waiting_posts": self.commit.waiting}, status)

    async def _elsewhere(self, _request: Request, error: Exception) -> Response:
        """A path that is not ours, or a verb that it does not know."""
        assert isinstance(error, HTTPException)
        self.metrics.posts.labels(_ELSEWHERE, error.status_code).inc()
        return JSONResponse({"message": error.detail}, error.status_code, error.headers)

    async def _tell(self, _request: Request) -> Response:
        self.metrics.waiting.set(self.commit.waiting)
        self.metrics.failing.set(self.commit.failure is not None)
        with contextlib.suppress(CaspioSyncError):
            self.metrics.inbox_bytes.set(await run_in_threadpool(self._inbox.size))
        self.metrics.inbox_limit.set(self._inbox.limit_bytes)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _word(*, ok: bool) -> str:
    return "ok" if ok else "failing"


def _answer(status: HTTPStatus, text: str, *, retry_after: int | None = None) -> Response:
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"message": text}, status, headers)
