"""Posts of any system, through the receiver's app, its store, and the reading of rows: who posts has proven it."""

import asyncio
import base64
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import polars as pl
from pydantic import SecretStr

from caspio_sync.caspio.client import Source
from caspio_sync.caspio.records import RecordReader
from caspio_sync.engine.posted import PostedRows
from caspio_sync.feeds import PostFeed
from caspio_sync.inbox import Inbox
from caspio_sync.json_documents import read_json
from caspio_sync.mapping.posted import PostedField
from caspio_sync.posts import Posts
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.posts import PostsFeed, keeping
from caspio_sync.sealed import Sealer
from tests.fuzz.judging import BrokenPromiseError, Target
from tests.virtual_clock import VirtualClock

TOKEN = "Zk3v9QxW2mT7pL5sR8yB1nC4"
_FEEDS = {
    "/in/one": PostFeed(proof="bearer", secrets=(TOKEN,), id="$.id"),
    "/in/many": PostFeed(proof="bearer", secrets=(TOKEN,), records="$.events[*]"),
}
_FIELDS = {
    "id": "$.id",
    "text": "$.a.b[0]",
    "whole": {"path": "$.n", "type": "integer"},
    "number": {"path": "$.n", "type": "number"},
    "yes": {"path": "$.yes", "type": "boolean"},
    "list": {"path": "$.list", "type": "list"},
    "at": {"path": "$.at", "type": "unix"},
    "ms": {"path": "$.at", "type": "unix_ms"},
    "all": "$",
}
_SEALER = Sealer(SecretStr(base64.urlsafe_b64encode(bytes(range(32))).decode()))
_EXPECTED = frozenset({200, 400, 413})
_HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@cache
def _store() -> tuple[str, tempfile.TemporaryDirectory[str]]:
    folder = tempfile.TemporaryDirectory(prefix="caspio-sync-fuzz-")
    return f"sqlite:///{Path(folder.name) / 'inbox.db'}", folder


def run(data: bytes) -> list[str]:
    """Post a body to both paths; what was taken is read as rows, one a record, each cell of its type or none."""
    url, _ = _store()
    clock = VirtualClock(datetime(2026, 12, 1, tzinfo=UTC))
    with Inbox.open(url, clock=clock) as inbox, Posts.open(url, clock=clock) as posts:
        posts.forget(lambda sealed: [True for _ in sealed])  # what an input left that broke a promise
        feed = PostsFeed(_FEEDS, keep=keeping(posts, _SEALER, inbox.check), clock=clock)
        answers = asyncio.run(_post(Receiver(inbox, tokens=[], posts=feed), data))
        for path, answer in answers.items():
            if answer.status_code not in _EXPECTED:
                raise BrokenPromiseError(f"a post is answered {answer.status_code}")
            rows = _rows(url, path, clock)
            if rows.height != posts.count(path)[0]:
                raise BrokenPromiseError("a post is kept and not read")
            taken = answer.status_code == 200
            if (rows.height and not taken) or (taken and path == "/in/one" and rows.height != 1):
                raise BrokenPromiseError("a post is taken and not kept, or kept and not taken")
            rows.write_json()
        posts.forget(lambda sealed: [isinstance(read_json(_SEALER.open(each)), dict) for each in sealed])
        if any(posts.count(path)[0] for path in _FEEDS):
            raise BrokenPromiseError("a post is kept that nobody can be found in")
    return [each.text for each in answers.values()]


async def _post(receiver: Receiver, body: bytes) -> dict[str, httpx.Response]:
    transport = httpx.ASGITransport(receiver.app)
    async with (
        receiver.app.router.lifespan_context(receiver.app),
        httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
    ):
        return {path: await client.post(path, content=body, headers=_HEADERS) for path in _FEEDS}


def _rows(url: str, path: str, clock: VirtualClock) -> pl.DataFrame:
    fields = {name: PostedField.model_validate(each) for name, each in _FIELDS.items()}
    posted = PostedRows(path, fields, posts=lambda: Posts.open(url, clock=clock), sealer=_SEALER)

    async def read() -> pl.DataFrame:
        reader = RecordReader(posted, Source(path), fields=await posted.fields(Source(path)), clock=clock)
        await reader.open()
        frames = [batch.frame async for batch in reader.batches()]
        return pl.concat(frames) if frames else pl.DataFrame()

    return asyncio.run(read())


def _body(**more: Any) -> bytes:
    return orjson.dumps(
        {"id": "1", "a": {"b": ["x", "y"]}, "n": 1, "yes": True, "list": ["a", 1], "at": 1772452800} | more
    )


TARGET = Target(
    "any_posts",
    run,
    secrets=(TOKEN,),
    words=(b'"events":[', b'"id":', b"\\u0000", b"\\ud83d", b"NaN", b"\xff", b"1e999", b"-0", b"[[[[", b'"a":{"b":'),
    seeds=(
        _body(),
        _body(n=1.5, yes="perhaps", list={"1": "a"}, at="soon"),
        _body(n=None, yes=0, list=[], at=-1),
        _body(n="1,5", yes="TRUE", list="a", at=1e18),
        orjson.dumps({"events": [{"id": 1}, {"id": 1, "n": 2}], "id": "e"}),
        orjson.dumps({"events": [], "id": 1}),
        b"[]",
        b"",
        b'{"id": 1, "id": 2}',
        b'{"id": "1", "n": 123456789012345678901234567890, "at": 1e400}',
        b'{"id": "\\ud83d", "a": {"b": ["\\u0000", {"c": [null]}]}}',
        b'{"id": 1, "a": ' + b"[" * 240 + b"]" * 240 + b"}",
        b'{"id": 1, "a": ' + b"[" * 300 + b"]" * 300 + b"}",
    ),
)
