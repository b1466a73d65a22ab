"""Rows to any endpoint that answers after 50 ms, 75 a request: encoded, signed, sent and led back; and httpx alone.

Shares compare what both sent a second over as many connections; the processor's time is told besides, for a machine on
which others work.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import polars as pl
from pydantic import SecretStr

from caspio_sync.clock import SystemClock
from caspio_sync.delivery.requests import Envelope, Request, fill_requests
from caspio_sync.delivery.sender import InlineSender, SenderLimits
from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.destinations.http.endpoint import ROWS, RowsEndpoint
from caspio_sync.destinations.http.objects import encode_rows
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.sandbox.server import HTTP_SECRETS, SandboxProcesses
from caspio_sync.schemas import MappedColumn

LATENCY_MS = 50
ROWS_A_REQUEST = 75
CONNECTIONS = 16
_CHUNK = 64 * ROWS_A_REQUEST
_COLUMNS = [
    MappedColumn("first_name", pl.String),
    MappedColumn("email", pl.String),
    MappedColumn("spend", pl.Float64),
    MappedColumn("orders", pl.Int64),
    MappedColumn("newsletter", pl.Boolean),
]
_TEMPLATE = (
    "[{% for row in rows %}"
    '{"external_id": {{ row.external_id }}, "name": {{ row.first_name | upper }}, "mail": {{ row.email }}, '
    '"worth": {{ row.spend | round(1) }}}'
    "{% if not loop.last %},{% endif %}{% endfor %}]"
)


def measure(rows: int) -> dict[str, tuple[float, str]]:
    behaviour = {"auth": "hmac", "latency_ms": LATENCY_MS, "idempotency": "off"}
    with SandboxProcesses(http=behaviour, kinds=("http",)) as processes:
        url = f"{processes.urls['http']}/rows"
        return asyncio.run(_measure(url, rows))


async def _measure(url: str, rows: int) -> dict[str, tuple[float, str]]:
    people = _people(rows)
    listed, processor = await _sent(_sync(url), people, filled_in=False)
    templated, more = await _sent(_sync(url, body=_TEMPLATE), people, filled_in=True)
    bare, least = await _bare(url, [each.body for each in _requests(people, filled_in=False)], rows)
    return {
        "endpoint.rows_per_second_50ms": (listed, "rows/s"),
        "endpoint.fields_share_of_httpx": (listed / bare, "ratio"),
        "endpoint.template_share_of_httpx": (templated / bare, "ratio"),
        "endpoint.fields_processor_us_a_row": (1e6 * processor / rows, "us"),
        "endpoint.template_processor_us_a_row": (1e6 * more / rows, "us"),
        "endpoint.httpx_processor_us_a_row": (1e6 * least / rows, "us"),
    }


def _people(rows: int) -> pl.DataFrame:
    number = pl.int_range(rows)
    return pl.select(
        key=pl.format("c{}", number),
        first_name=pl.format("Name{}", number % 1000),
        email=pl.format("c{}@example.com", number),
        spend=number / 4,
        orders=number % 50,
        newsletter=number % 2 == 0,
    )


def _sync(url: str, **request: Any) -> HttpSync:
    fields = {each.name: "A" for each in _COLUMNS}
    said = {"url": url, "batch": ROWS_A_REQUEST, **request}
    limits = {"requests_a_second": 10_000, "connections": CONNECTIONS}
    text = f"""
kind: profiles
destination: http
source: {{table: T}}
identity: {{external_id: No}}
fields: {fields}
request: {json.dumps(said)}
auth: {{hmac: signing}}
limits: {limits}
allow_private: true
"""
    return cast("HttpSync", parse_sync(text, Path("endpoint.yaml")))


def _requests(people: pl.DataFrame, *, filled_in: bool) -> Iterator[Request]:
    """As a run makes them: a chunk encoded when the sender has room for it."""
    envelope = Envelope(ROWS, ROWS_A_REQUEST, 1_000_000)
    number = 1
    for start in range(0, people.height, _CHUNK):
        some = people.slice(start, _CHUNK)
        names = ("key", "external_id") if filled_in else ("external_id",)
        objects = encode_rows(some, _COLUMNS, key_names=names, listed=None, all_there=filled_in)
        for request in fill_requests(objects, envelope=envelope, first_number=number, first_place=start):
            number += 1
            yield request


async def _sent(sync: HttpSync, people: pl.DataFrame, *, filled_in: bool) -> tuple[float, float]:
    """Rows a second, and the processor's seconds."""
    secrets = {name: SecretStr(value) for name, value in HTTP_SECRETS.items()}
    clock = SystemClock()
    async with HttpAccount(address=sync.origin, sync=sync, place="", secrets=secrets, clock=clock) as account:
        endpoint = RowsEndpoint(account, sync, "endpoint", "external_id")
        sender = InlineSender(endpoint, limits=SenderLimits(CONNECTIONS, 10_000, 1.0), clock=clock)

        async def requests() -> AsyncIterator[Request]:
            for each in _requests(people, filled_in=filled_in):
                yield each

        started, used = time.perf_counter(), time.process_time()
        sent = 0
        async for answer in sender.send(requests()):
            assert not answer.rejected, answer.rejected
            assert not answer.unknown, answer.unknown
            sent += answer.count
        assert sent == people.height
        return sent / (time.perf_counter() - started), time.process_time() - used


async def _bare(url: str, bodies: list[bytes], rows: int) -> tuple[float, float]:
    """As `_sent`, of nothing but httpx between ready bodies, signed beforehand, and the endpoint."""
    from caspio_sync.destinations.http.credentials import signature

    now = int(time.time())
    prefix = len(f'{{"{ROWS}":')
    ready = []
    for number, body in enumerate(bodies):
        content = body[prefix:-1]
        signed = signature(HTTP_SECRETS["signing"], str(number), now, content)
        ready.append(
            (
                content,
                {
                    "content-type": "application/json",
                    "webhook-id": str(number),
                    "webhook-timestamp": str(now),
                    "webhook-signature": signed,
                },
            )
        )
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        waiting = iter(ready)

        async def work() -> None:
            for content, headers in waiting:
                response = await client.post(url, content=content, headers=headers)
                assert response.status_code == 200, response.text

        started, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return rows / (time.perf_counter() - started), time.process_time() - used
