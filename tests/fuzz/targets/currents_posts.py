"""Posts of Braze Currents, through the receiver's app, its inbox, and the fold."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
import polars as pl
from pydantic import SecretStr

from caspio_sync.engagement.events import read_events
from caspio_sync.engagement.fold import fold
from caspio_sync.engagement.identity import identified
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from tests.fuzz.judging import BrokenPromiseError, Target

TOKEN = "Zk3v9QxW2mT7pL5sR8yB1nC4"
_NOW = datetime(2026, 12, 1, tzinfo=UTC)
_EXPECTED = frozenset({200, 400, 401, 413, 415, 501})

Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@cache
def _inbox() -> tuple[Inbox, tempfile.TemporaryDirectory[str]]:
    folder = tempfile.TemporaryDirectory(prefix="caspio-sync-fuzz-")
    return Inbox.open(f"sqlite:///{Path(folder.name) / 'inbox.db'}"), folder


def run(data: bytes) -> list[str]:
    """Post a body, headers before it, and fold what was kept: every event of a post is kept or told to be malformed."""
    head, empty, body = data.partition(b"\n\n")
    if not empty:
        head, body = b"", data
    receiver = Receiver(_inbox()[0], tokens=[SecretStr(TOKEN)])
    answer = asyncio.run(_post(receiver, _headers(head), body))
    if answer.status_code not in _EXPECTED:
        raise BrokenPromiseError(f"a post is answered {answer.status_code}")
    _check_counts(receiver, body, answer)
    _fold()
    return [answer.text]


def _check_counts(receiver: Receiver, body: bytes, answer: httpx.Response) -> None:
    """Every event of a post that was taken is kept, known already, or told to be malformed."""
    try:
        events = orjson.loads(body)["events"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return
    if answer.status_code != 200 or not isinstance(events, list):
        return
    read = receiver.metrics.registry.get_sample_value
    outcomes = ("kept", "duplicate", "malformed")
    labels = ({"path": "/currents", "outcome": outcome} for outcome in outcomes)
    counted = [read("caspio_sync_events_total", each) for each in labels]
    if sum(count or 0 for count in counted) != len(events):
        raise BrokenPromiseError("an event of a post is not counted")


def _headers(head: bytes) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for line in head.splitlines():
        name, colon, value = line.partition(b":")
        if (colon and name.isalpha()) or name.replace(b"-", b"").isalpha():
            headers[name.decode().lower()] = "".join(filter(str.isprintable, value.decode("ascii", "replace").strip()))
    return {name: value.encode("ascii", "ignore").decode() for name, value in headers.items()}


async def _post(receiver: Receiver, headers: dict[str, str], body: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(receiver.app)
    async with (
        receiver.app.router.lifespan_context(receiver.app),
        httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
    ):
        return await client.post("/currents", content=body, headers=headers)


def _fold() -> None:
    inbox, _ = _inbox()
    posts = [post for part in inbox.posts(0) for post in part]
    frame = read_events([(post.seq, post.lines) for post in posts])
    fold(identified(frame, _digests), now=_NOW)
    kept = sum(post.count for post in posts)
    if frame.height != kept:
        raise BrokenPromiseError("events are kept and not read")
    inbox.forget(lambda events: pl.repeat(value=True, n=events.height, eager=True, dtype=pl.Boolean))


def _digests(texts: pl.Series) -> pl.Series:
    return texts.hash(1).cast(pl.String)


def _event(**changes: Any) -> dict[str, Any]:
    return {
        "event_type": "users.messages.email.Open",
        "id": "e-1",
        "time": 1_785_000_000,
        "user": {"user_id": "b-1", "external_user_id": "c-1"},
        "properties": {
            "email_address": "c1@example.com",
            "machine_open": "true",
            "campaign_id": "cmp",
            "campaign_name": "A",
        },
    } | changes


def _body(*events: Any) -> bytes:
    return b"content-type: application/json\n\n" + orjson.dumps({"events": events})


_GLOBAL = "users.behaviors.subscription.GlobalStateChange"
_GROUP = "users.behaviors.subscriptiongroup.StateChange"
_OPTED_OUT = _event(
    event_type=_GLOBAL,
    id="e-2",
    properties={
        "email_address": "c1@example.com",
        "channel": "email",
        "subscription_status": "Unsubscribed",
        "state_change_source": "Preference Center",
    },
)

TARGET = Target(
    "currents_posts",
    run,
    secrets=(TOKEN,),
    words=(b'"users.messages.email.Click"', b'"time_ms":', b"\\u0000", b"\\ud83d", b"NaN", b"\xff", b"braze-currents-version: 2\n", b"content-encoding: gzip\n"),
    seeds=(
        _body(_event(), _OPTED_OUT),
        _body(_event(), _event()),
        _body(),
        b"\n\n",
        b"content-encoding: gzip\n\nno gzip",
        b"authorization: Bearer nobody\n\n{}",
        _body(_event(time="soon"), _event(id=None), _event(user=None), 1, None, []),
        # Half an emoji, a raw TAB, a byte FF, NaN: one event of several that cannot be read.
        _body(_OPTED_OUT, _event(id="e-3")).replace(b'"A"', b'"\\ud83d"'),
        _body(_OPTED_OUT, _event(id="e-3")).replace(b'"A"', b'"a\tb"'),
        _body(_OPTED_OUT, _event(id="e-3")).replace(b'"A"', b'"\xff"'),
        _body(_OPTED_OUT, _event(id="e-3")).replace(b'"A"', b"NaN"),
        _body(_OPTED_OUT, _event(id="e-3", properties={"campaign_name": "a\x00b", "campaign_id": "\x00", "email_address": "a\x00@b.eu"})),
        _body(_OPTED_OUT).replace(b'"Preference Center"', b"[" * 300 + b"]" * 300),
        _body(_event(event_type=_GROUP, properties={"subscription_group_id": "g", "subscription_status": "Subscribed", "channel": "sms", "phone_number": "+44"})),
        _body(_event(event_type="users.messages.pushnotification.Open", time=10**18), _event(event_type="users.new.Thing", more=1)),
    ),
)  # fmt: skip
