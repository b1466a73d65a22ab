"""What the operations read of a request: its condition, what it wants back, its JSON."""

from http import HTTPStatus
from typing import Any

import orjson

from caspio_sync.sandbox.caspio.app import Request
from caspio_sync.sandbox.caspio.behaviour import Refusal, bad_body, bad_query


def required_where(request: Request) -> str:
    """q.where of a write, which must be there (3.5, 3.6)."""
    where = request.parameters.get("where", "").strip()
    if not where:
        raise bad_query("q.where")
    return where


def wants_rows(request: Request) -> bool:
    """Whether the written records are to be answered."""
    return request.parameters.get("response", "").lower() == "rows"


def json_body(request: Request) -> Any:
    """The JSON of a body.

    Raises:
        Refusal: 415 without a JSON Content-Type, 400 for a body that is no JSON.
    """
    if request.content_type not in {"application/json", "text/json"}:
        message = "The request's media type is not supported for this resource."
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise bad_body("the body is not JSON") from None


def json_object(request: Request) -> dict[str, Any]:
    """As `json_body`, for bodies that must be an object."""
    body = json_body(request)
    if not isinstance(body, dict):
        raise bad_body("a JSON object is expected")
    return body
