"""Something between the product and Braze that answers in its name, or refuses what the test names."""

from collections.abc import Callable
from typing import Any

import orjson

from caspio_sync.sandbox.faults import drain, once


def between(
    app: Any, path: str, answer: Callable[[bytes], bytes | None], *, status: int = 200, hands_on: bool = False
) -> Any:
    """The app behind a gateway that answers requests to a path itself where `answer` of the body is not None.

    Args:
        app: the emulator.
        path: of the requests.
        answer: body of the gateway's answer.
        status: of the gateway's answer.
        hands_on: whether the app gets the request all the same.
    """

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != path:
            await app(scope, receive, send)
            return
        body = await drain(receive)
        given = answer(body)
        if given is None or hands_on:
            await app(scope, once(body), send if given is None else _nobody)
        if given is not None:
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": given})

    return gateway


def refusing(app: Any, path: str, word: bytes, message: str) -> Any:
    """The app, refusing whole requests to a path that hold a word."""
    refusal = orjson.dumps({"message": message})
    return between(app, path, lambda body: refusal if word in body else None, status=400)


async def _nobody(_: Any) -> None:
    """Takes an answer that the gateway replaces."""
