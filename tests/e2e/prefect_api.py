"""Prefect's API, asked as patiently as its own client asks: ten runs that start at once keep a small machine busy."""

import time
from typing import Any
from uuid import uuid4

import httpx

_PATIENCE = 300.0
_PAUSE = 2.0


def asked(method: str, url: str, body: Any = None) -> Any:
    """The server's answer. What it is too busy or not there for is asked again; a flow run is made once all the same."""
    if url.endswith("/create_flow_run"):
        body = {"idempotency_key": str(uuid4()), **body}
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            answer = httpx.request(method, url, json=body, timeout=60, trust_env=False)
            if answer.status_code < 500 or time.monotonic() > deadline:
                answer.raise_for_status()
                return answer.json() if answer.content else None
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
