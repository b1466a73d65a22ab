"""The page as an ASGI application: what `caspio-sync ui` serves. It reads, and changes nothing."""

import contextlib
import logging
import re
import threading
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from caspio_sync.dashboard.access import Door
from caspio_sync.dashboard.pages import SPANS, STATIC, Pages, UnknownPlaceError, enter_page, refusal_page
from caspio_sync.dashboard.person import Story, Tell
from caspio_sync.errors import CaspioSyncError, UnexpectedError

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 10_000  # of a form
_PK = re.compile(r"[0-9]{1,18}")
_PERSON, _ENTER = "/person", "/enter"
_HEADERS = {
    # Nothing is loaded from elsewhere, no page stands in another one's frame, and no script in a page runs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, browsers say of a form's post that it comes from nowhere
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Dashboard:
    """The page; `app` is the ASGI application.

    Args:
        pages: makes what is shown.
        door: who may look.
        tell: tells of a person; called by one request at a time.
    """

    def __init__(self, pages: Pages, door: Door, tell: Tell) -> None:
        self._pages, self._door, self._tell = pages, door, tell
        self._telling = threading.Lock()
        self.app = Starlette(
            routes=[
                Route("/", self._overview),
                Route("/sync/{name}", self._sync),
                Route("/run/{run}", self._run),
                Route(_PERSON, self._person, methods=["GET", "POST"]),
                Route(_ENTER, self._enter, methods=["GET", "POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[Middleware(BaseHTTPMiddleware, dispatch=self._guarded)],
            lifespan=self._live,
        )

    @contextlib.asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        with contextlib.suppress(CaspioSyncError):  # each page says it
            await run_in_threadpool(self._pages.warm)
        yield

    async def _guarded(self, request: Request, handle: RequestResponseEndpoint) -> Response:
        """The answer, if the request is let in; whatever goes wrong is a page of its own."""
        path = request.url.path
        if (refused := self._door.refusal(request)) is not None:
            response: Response = _refused(HTTPStatus.FORBIDDEN, "Not from here", refused)
        elif self._needs_token(path) and not self._door.has_entered(request):
            to = _PERSON if path == _PERSON else "/"
            response = RedirectResponse(f"{_ENTER}?to={to}", HTTPStatus.SEE_OTHER)
        else:
            response = await self._answered(request, handle)
        response.headers.update(_HEADERS)
        response.headers["Cache-Control"] = "no-cache" if path.startswith("/static/") else "no-store"
        return response

    def _needs_token(self, path: str) -> bool:
        if path == _ENTER or path.startswith("/static/"):
            return False
        return path == _PERSON or not self._door.is_local

    async def _answered(self, request: Request, handle: RequestResponseEndpoint) -> Response:
        try:
            return await handle(request)
        except UnknownPlaceError as error:
            return _refused(HTTPStatus.NOT_FOUND, "Not there", str(error))
        except CaspioSyncError as error:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be read", str(error))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as error:  # noqa: BLE001 - a traceback's last line may quote a customer
            bug = UnexpectedError.of(error)
            _LOG.error("%s", bug)
            return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "A bug", str(bug))

    # `def`, so that a page which waits for the database keeps no other one waiting.

    def _overview(self, _request: Request) -> Response:
        return HTMLResponse(self._pages.overview())

    def _sync(self, request: Request) -> Response:
        asked = request.query_params.get("days", "")
        days = next((each for each in SPANS if str(each) == asked), SPANS[0])
        return HTMLResponse(self._pages.sync(request.path_params["name"], days))

    def _run(self, request: Request) -> Response:
        return HTMLResponse(self._pages.run(request.path_params["run"]))

    async def _person(self, request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else {}
        return await run_in_threadpool(self._told, form)

    def _told(self, form: dict[str, str]) -> Response:
        sync, key, pk = form.get("sync", ""), form.get("key", ""), form.get("pk", "").strip()
        values = form.get("values") == "shown"
        story: Story | None = None
        error = ""
        if form and not key.strip():
            error = "The key is empty; give the value of the row's identity field."
        elif pk and not _PK.fullmatch(pk):
            error = "A PK_ID is a whole number."
        elif form:
            try:
                with self._telling:
                    story = self._tell(sync, key, int(pk) if pk else None, values)
            except CaspioSyncError as failure:
                error = str(failure)
        return HTMLResponse(self._pages.person(sync=sync, key=key, pk=pk, values=values, story=story, error=error))

    async def _enter(self, request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else dict(request.query_params)
        to = form.get("to") if form.get("to") in {"/", _PERSON} else "/"
        if request.method != "POST":
            return HTMLResponse(enter_page(to=to, wrong=False))
        if not self._door.takes(form.get("token", "")):
            return HTMLResponse(enter_page(to=to, wrong=True), HTTPStatus.FORBIDDEN)
        response = RedirectResponse(str(to), HTTPStatus.SEE_OTHER)
        response.set_cookie(
            self._door.cookie,
            self._door.ticket,
            httponly=True,
            samesite="strict",
            secure=self._door.is_encrypted,
        )
        return response


async def _form(request: Request) -> dict[str, str]:
    """What a form holds, each name once.

    Raises:
        HTTPException: it is longer than any of ours.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _refused(status: HTTPStatus, title: str, text: str) -> Response:
    return HTMLResponse(refusal_page(title, text), status)
