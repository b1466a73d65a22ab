"""What ActiveCampaign answers, and what each answer means (ActiveCampaign, errors)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from caspio_sync.errors import CallError, ConfigurationError, PermanentError
from caspio_sync.wire.answers import foreign, parsed
from caspio_sync.wire.http import RateLimit, RefusedError, refusal
from caspio_sync.wire.masking import masked

_NOT_FOUND = "no result found"
_THROTTLED = "rate limit exceeded"
_A_MINUTE = re.compile(r"[Uu]p to (\d{1,4}) imports")
_KEY = "check ACTIVECAMPAIGN_KEY, and what the group of the user it belongs to may do"
_REMEDIES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED.value: _KEY,
    HTTPStatus.FORBIDDEN.value: _KEY,
    HTTPStatus.NOT_FOUND.value: "check ACTIVECAMPAIGN_URL: it is the API URL of Settings > Developer, without a path",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value: "a proxy on the way takes the Content-Type header away",
}


class MissingError(PermanentError):
    """Nothing has this id: told with 404, and of some things with 403 (ActiveCampaign, errors)."""


class LostAnswerError(PermanentError):
    """What was asked may have been done, or not: it must not be asked for once more before somebody has looked."""


class ForbiddenError(ConfigurationError):
    """The key is not taken, or may not do this; now and then an answer that passes by itself."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer of the account's own.

    Args:
        body: its JSON object.
        status: HTTP status.
        rate: nothing: the account's answers tell the limit that is known anyway, and no end of its window.
    """

    body: Mapping[str, Any]
    status: int
    rate: RateLimit = RateLimit()  # noqa: RUF009 - frozen


def heard(response: httpx.Response, doing: str) -> Heard:
    """The JSON object of a 2xx.

    Raises:
        ForeignAnswerError: it is none; an expired key may be answered by a page to log in, under 200.
    """
    body = parsed(response.content)
    if not isinstance(body, dict):
        raise foreign(response, doing, "no JSON object; an expired ACTIVECAMPAIGN_KEY is answered by a page as well")
    return Heard(body, response.status_code)


def refused(response: httpx.Response, doing: str, now: Any) -> CallError | ConfigurationError:
    """What an answer that is no 2xx amounts to; returned, for `raise … from`."""
    said, status = words(response), response.status_code
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN} and _NOT_FOUND in said.lower():
        return MissingError(f"{doing}: {status}: {said}", status=status)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return ConfigurationError(f"{doing}: 402: the ActiveCampaign account is inactive or not paid for; {said}")
    error = refusal(response, doing, now=now, remedies=_REMEDIES)
    if isinstance(error, RefusedError):
        what = f"{doing}: {status} from {response.request.method} {response.request.url.path}: {said or 'no reason'}"
        return RefusedError(what, status=status, message_text=said or "it gives no reason", rate=RateLimit())
    return (
        ForbiddenError(str(error))
        if status == HTTPStatus.FORBIDDEN and isinstance(error, ConfigurationError)
        else error
    )


def is_throttled(body: Mapping[str, Any]) -> bool:
    """Whether an import was refused for being one too many in a minute, which is told with 400 (bulk import)."""
    return _THROTTLED in str(body.get("message", "")).lower()


def imports_a_minute(body: Mapping[str, Any]) -> int | None:
    """How many imports the account takes a minute, as the refusal of one too many says; None where it does not."""
    found = _A_MINUTE.search(str(body.get("failureReasons") or ""))
    return int(found[1]) if found else None


def words(response: httpx.Response) -> str:
    """An answer's own words, values masked; "" where it has none. `errors` is a list, a text, or not there."""
    body = parsed(response.content)
    if not isinstance(body, dict):
        return ""
    given = body.get("errors")
    told = [given] if isinstance(given, str) else [_item(each) for each in given] if isinstance(given, list) else []
    reasons = body.get("failureReasons")
    told += [str(body[name]) for name in ("message", "error") if isinstance(body.get(name), str)]
    told += [_reason(each) for each in reasons[:3]] if isinstance(reasons, list) else []
    return masked("; ".join(dict.fromkeys(each for each in told if each)), response.request).rstrip(".")


def code(response: httpx.Response) -> str:
    """The machine's word of the first error, such as "duplicate"; "" where there is none."""
    body = parsed(response.content)
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("code") or "") if isinstance(first, dict) else ""


def _item(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    return ": ".join(str(error[name]) for name in ("title", "detail") if error.get(name))


def _reason(reason: Any) -> str:
    return str(reason.get("failureReason", "")) if isinstance(reason, dict) else str(reason)
