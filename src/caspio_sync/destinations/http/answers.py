"""What an endpoint answers, and what that means. Who answers with a page, or leads elsewhere, is somebody else."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx

from caspio_sync.destinations.http.definition import Answers, HttpSync, keyed, matches
from caspio_sync.errors import CallError, ConfigurationError
from caspio_sync.json_paths import Path
from caspio_sync.wire.answers import foreign, parsed
from caspio_sync.wire.http import RefusedError, UnavailableError, rate_limit, retry_after
from caspio_sync.wire.masking import masked, shown
from caspio_sync.wire.taken import ObjectError, Taken

_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# About the whole of what is sent, whatever the rows: until a person has changed something, none is taken.
_OF_THE_SYNC = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    }
)
_MOST_ERRORS = 1_000  # rows that one request holds


Statuses = tuple[str | int, ...]


def heard(response: httpx.Response, ok: Statuses, doing: str, *, now: datetime, of_rows: Statuses = ()) -> None:
    """Whether an answer says that what was asked is done.

    Raises:
        As `refused`, with the same `of_rows`.
    """
    told = matches(response.status_code, ok) and not _tells_apart(response.status_code, ok)
    if is_page(response) or response.is_redirect or not told:
        raise refused(response, doing, now=now, of_rows=of_rows)


def taken(response: httpx.Response, sync: HttpSync, count: int, doing: str, *, now: datetime) -> Taken:
    """What an answer to rows says.

    Args:
        response: read to its end.
        sync: says which statuses and places mean what.
        count: rows of the request.
        doing: what was tried.
        now: the present instant, where the answer has no Date header.

    Raises:
        UnavailableError: it asks to come again. `ForeignAnswerError`: it is somebody else's.
        RefusedError: the rows are refused. ConfigurationError: whatever is sent is.
    """
    answers = sync.answers
    status, where = response.status_code, sync.error_path()
    told = matches(status, answers.ok) and (where is not None or not _tells_apart(status, answers.ok))
    if not told or response.is_redirect or is_page(response):
        # Where each row has an address of its own, one that is not there is that row's matter.
        of_rows = (*answers.refused, *([404] if keyed(sync) else []))
        raise refused(response, doing, now=now, of_rows=of_rows, words=answers.reason)
    rate = rate_limit(response.headers, now=now)
    if where is None or (status == HTTPStatus.NO_CONTENT and HTTPStatus.NO_CONTENT in answers.ok):
        return Taken(status, (), rate)
    document = parsed(response.content)
    if document is None or not where.leads(document):
        why = "no JSON" if document is None else f"JSON of another form than {where.text}"
        doubt = str(foreign(response, doing, f"{why}, in which refused rows would stand"))
        return Taken(status, (), rate, doubt=doubt)
    return Taken(status, _errors(where, document, answers, count, response.request), rate)


def refused(
    response: httpx.Response,
    doing: str,
    *,
    now: datetime,
    of_rows: Statuses = (),
    words: str = "message",
) -> CallError | ConfigurationError:
    """The error that an answer amounts to which says no; returned, for `raise … from`.

    Args:
        response: read to its end.
        doing: what was tried.
        now: the present instant, for waits given as dates.
        of_rows: statuses that are about what was sent, besides those that always are.
        words: the key of its JSON that says why.
    """
    status = response.status_code
    rate = rate_limit(response.headers, now=now)
    said = _words(parsed(response.content), words, response.request)
    what = f"{doing}: {status} from {response.request.method} {shown(response.request)}{f': {said}' if said else ''}"
    if (why := _somebody_else(response)) is not None:
        return foreign(response, doing, why)
    if status == HTTPStatus.MULTI_STATUS:
        said = "207 says of each part what became of it: write where under `answers.errors`, or 207 itself under `ok`"
        return ConfigurationError(f"{what}; {said}")
    reason = said or "it gives no reason"
    if matches(status, of_rows):
        return RefusedError(what, status=status, message_text=reason, rate=rate)
    if status in _AGAIN or response.is_server_error:
        wait = retry_after(response.headers, status=status, now=now)
        ambiguous = response.is_server_error and status != HTTPStatus.SERVICE_UNAVAILABLE
        return UnavailableError(what, status=status, retry_after=wait, rate=rate, ambiguous=ambiguous)
    if status in _OF_THE_SYNC:
        return ConfigurationError(f"{what}; check `request` and `auth` of the sync file, and HTTP_SECRETS")
    return RefusedError(what, status=status, message_text=reason, rate=rate)


def _somebody_else(response: httpx.Response) -> str | None:
    """What speaks against an answer that says no being the endpoint's; None where nothing does."""
    if response.is_redirect:
        return "redirects are not followed: write the address that it leads to into the file"
    if is_page(response):
        return "a page of HTML"
    of_parts = response.status_code == HTTPStatus.MULTI_STATUS
    return None if response.is_error or of_parts else "a status that `answers` does not name"


def _tells_apart(status: int, ok: Statuses) -> bool:
    """Whether a status says that the body tells of each part (RFC 4918, 13), and the file does not name it."""
    return status == HTTPStatus.MULTI_STATUS and status not in ok


def is_page(response: httpx.Response) -> bool:
    """Whether it is a page for people: of a proxy, a portal, or a login; no endpoint for rows answers so.

    Some call their JSON a page, by the default of what they are written in: that is none.
    """
    called = "html" in response.headers.get("content-type", "").lower() and parsed(response.content) is None
    return called or response.content[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _errors(
    where: Path, document: Any, answers: Answers, count: int, request: httpx.Request
) -> tuple[ObjectError, ...]:
    """The rows that a taken request left out; one whose place cannot be read makes the others unknown."""
    found = []
    for entry in where.found(document):
        if entry is None or entry is False or entry == "":  # of a row that was taken
            continue
        index = entry.get(answers.index) if isinstance(entry, dict) else None
        index = int(index) if isinstance(index, str) and index.isdecimal() else index
        place = index - answers.first if isinstance(index, int) and not isinstance(index, bool) else None
        words = _words(entry, answers.reason, request) or "the endpoint gives no reason"
        # Of one row alone there is no doubt which it is.
        found.append(ObjectError(0 if place is None and count == 1 else place, None, words))
        if len(found) > _MOST_ERRORS:
            return (ObjectError(None, None, "more errors than rows"),)
    return tuple(found)


def _words(document: Any, key: str, request: httpx.Request) -> str:
    """What it says, on one line, values masked; "" where it says nothing under that key."""
    told = document.get(key) if isinstance(document, dict) else None
    return masked(told, request).rstrip(".") if isinstance(told, str) else ""
