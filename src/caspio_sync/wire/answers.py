"""Which answers are the vendor's: the one place that says so.

A proxy, a gateway, a portal for guests or a page of maintenance answers in the vendor's name, with any status. What is
not known to be the vendor's own answer tells nothing: neither that something was taken, nor that a key is wrong.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from caspio_sync.errors import TransientError
from caspio_sync.wire.masking import masked, shown

_ACCEPTED = ("success", "queued")  # (Braze, 2.4)
_COUNT = "_processed"
# Whoever finds a body or an address too large, the vendor would as well.
_TOO_LARGE = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG})
_REASON_CHARS = 200


class ForeignAnswerError(TransientError):
    """An answer that is not known to be the vendor's; whether the request reached it is open."""


def foreign(response: httpx.Response, doing: str, why: str) -> ForeignAnswerError:
    """The error for an answer that is not the vendor's: its type, and where it leads, tell who gave it.

    Args:
        response: the answer; of a redirect the host alone is told, as addresses hold tokens.
        doing: what was tried, in the words of an error.
        why: what speaks against it, such as "no JSON object".
    """
    request = response.request
    signs = [why, f"Content-Type {masked(response.headers.get('content-type') or 'none', request)[:_REASON_CHARS]}"]
    if (location := response.headers.get("location")) is not None:
        signs.append(f"leads to {_host(location, request)}")
    return ForeignAnswerError(
        f"{doing}: {response.status_code} from {request.method} {shown(request)} is not known to "
        f"be the answer of that host itself ({', '.join(signs)}); look at the address, and at proxies and gateways on "
        "the way to it",
        status=response.status_code,
        ambiguous=True,
    )


def _host(location: str, request: httpx.Request) -> str:
    try:
        host = request.url.join(location).host
    except (httpx.InvalidURL, ValueError):
        host = ""
    return masked(host or "no host", request)


def disowned(response: httpx.Response) -> str | None:
    """What speaks against a refusal being the vendor's; None where nothing does.

    Both vendors refuse with a JSON object or with an empty body, and redirect nothing (Braze, 2.4; Caspio, 4.2).
    """
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return "both vendors redirect nothing" if response.is_redirect else "no status of an answer"
    if response.status_code in _TOO_LARGE:
        return None
    if response.content.strip():
        return None if isinstance(parsed(response.content), dict) else "no JSON object"
    is_page = "html" in response.headers.get("content-type", "").lower()
    return "a page without content" if is_page else None


def parsed(content: bytes) -> Any:
    """What a body holds; None where it is no JSON, of which a byte-order mark before it is enough."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def document(response: httpx.Response, doing: str, **expected: type) -> dict[str, Any]:
    """The JSON object of a 2xx, which has these keys, each of its type, and no message that says otherwise.

    Raises:
        ForeignAnswerError: it is cut, or no such document.
    """
    answer = parsed(response.content)
    if not isinstance(answer, dict):
        raise foreign(response, doing, "a body that is cut or no JSON object")
    for key, kind in expected.items():
        if not _is(answer.get(key), kind):
            raise foreign(response, doing, f"an answer without {key}")
    if "message" in answer and answer["message"] not in _ACCEPTED:
        raise foreign(response, doing, f"its message is {_message(answer, response)}")
    return answer


def acknowledged(response: httpx.Response, doing: str, *, sent: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The JSON object of a 2xx to a write, which says that what was sent is taken (Braze, 2.4 and 3.9).

    Its message is `success` or `queued`, or its counts say it; and no count says otherwise.

    Args:
        response: a 2xx.
        doing: what was tried.
        sent: objects sent, by name of their array; None where nothing is counted.

    Raises:
        ForeignAnswerError: it says nothing of the kind, or counts other than what was sent.
    """
    answer = document(response, doing)
    counts = {key.removesuffix(_COUNT): count for key, count in answer.items() if key.endswith(_COUNT)}
    if "message" not in answer and not (sent and counts.keys() >= sent.keys()):
        raise foreign(response, doing, "a body without message and without counts")
    refused = _refused(answer, sent or {})
    for array, count in counts.items() if sent is not None else ():
        expected = sent.get(array, 0) if sent else 0
        if not _is(count, int) or count + refused.get(array, 0) != expected:
            shown = f"{array} counted as processed, {refused.get(array, 0)} refused, {expected} sent"
            raise foreign(response, doing, f"{count if _is(count, int) else 'no number of'} {shown}")
    return answer


def entries(answer: Mapping[str, Any]) -> list[Any]:
    """What stands under `errors`: a list, or the one entry itself."""
    found = answer.get("errors")
    return found if isinstance(found, list) else [found] if found else []


def _refused(answer: Mapping[str, Any], sent: Mapping[str, int]) -> dict[str, int]:
    """How many objects of each array the `errors` of an answer are about; entries of one object count once."""
    only = next(iter(sent)) if len(sent) == 1 else None
    places: set[tuple[Any, Any]] = set()
    for number, entry in enumerate(entries(answer)):
        named = entry if isinstance(entry, dict) else {}
        index, array = named.get("index"), named.get("input_array")
        # Where an entry names no object, it is taken for one of its own: whose it is nobody knows.
        place = index if _is(index, int) else ("unnamed", number)
        places.add((array if isinstance(array, str) else only, place))
    return {array: sum(of == array for of, _ in places) for array in sent}


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _message(answer: Mapping[str, Any], response: httpx.Response) -> str:
    message = answer["message"]
    return f"'{masked(message, response.request)}'" if isinstance(message, str) else "no text"
