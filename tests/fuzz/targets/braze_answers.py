"""Answers of Braze, through every call of its clients and through the sender."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date
from typing import Any

import orjson
import polars as pl
from pydantic import SecretStr

from caspio_sync.delivery.outcomes import outcomes
from caspio_sync.delivery.requests import Envelope, Request, fill_requests
from caspio_sync.delivery.sender import Answer as Delivered
from caspio_sync.delivery.sender import InlineSender, SenderLimits
from caspio_sync.destinations.braze.answers import EmailToIdentify
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.destinations.braze.endpoints import TrackEndpoint
from caspio_sync.destinations.braze.engagement_client import BrazeEngagementClient
from caspio_sync.destinations.braze.item_endpoint import ItemsEndpoint
from caspio_sync.destinations.braze.requests import TRACK, items_envelope
from caspio_sync.schemas import CatalogField, Verdict
from tests.fuzz.judging import BoundedClock, BrokenPromiseError, Target
from tests.fuzz.targets.answers import HEADERS, Answer, Scripted, exchange, read_exchange

KEY = "3f1c0b1e-9a77-4d52-8c1b-5e0d7f6a2b94"
_VIRTUAL_SECONDS = 900.0  # a run of refusals ends after 5 minutes
_OBJECTS = 3
_BODY = b'{"attributes":[{"external_id":"c-1"}]}'
_DAYS = (date(2026, 1, 1), date(2026, 1, 31))

Ask = Callable[[Any], Awaitable[Any]]
_CALLS: dict[str, Ask] = {
    "track": lambda client: client.track(_BODY, sent={"attributes": 1}),
    "export": lambda client: client.export_users(["c-1"], ["external_id"]),
    "find": lambda client: client.find_users([{"external_id": "c-1"}, {"external_id": "c-2"}]),
    "identify": lambda client: client.identify_users([EmailToIdentify("c-1", "ada@example.com")]),
    "groups": lambda client: client.group_states("6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11", ["c-1"]),
    "delete": lambda client: client.delete_users([{"external_id": "c-1"}]),
    "probe_track": lambda client: client.probe_track(),
    "probe_delete": lambda client: client.probe_delete(),
    "probe_engagement": lambda client: client.probe_engagement(states=True, campaigns=True),
    "unsubscribes": lambda client: client.unsubscribes(*_DAYS),
    "hard_bounces": lambda client: client.hard_bounces(*_DAYS),
    "user_groups": lambda client: client.user_groups(["c-1"]),
    "campaigns": lambda client: client.campaigns(),
    "canvases": lambda client: client.canvases(),
    "campaign_series": lambda client: client.campaign_series("c", last=_DAYS[1], days=14),
    "canvas_series": lambda client: client.canvas_series("c", last=_DAYS[1], days=14),
}
_CATALOG_CALLS: dict[str, Ask] = {
    "catalogs": lambda client: client.catalogs(),
    "create_catalog": lambda client: client.create_catalog("books", "", [CatalogField("id", "string")]),
    "add_fields": lambda client: client.add_fields("books", [CatalogField("title", "string")]),
    "delete_field": lambda client: client.delete_field("books", "title"),
    "item": lambda client: client.item("books", "b-1"),
    "items": lambda client: client.items("books"),
    "write_items": lambda client: client.write_items("PUT", "books", b'{"items":[{"id":"b-1"}]}'),
    "probe_catalogs": lambda client: client.probe_catalogs(),
}
_SENDERS = {"send": TRACK, "send_items": items_envelope("PUT", "books")}


def run(data: bytes) -> list[str]:
    """Make the call; what it gives back is text for a person only where it is a reason."""
    name, answers = read_exchange(data, {b"<KEY>": KEY.encode()})
    if name in _SENDERS:
        return asyncio.run(_send(_SENDERS[name], answers))
    catalog = name in _CATALOG_CALLS
    ask = (_CATALOG_CALLS if catalog else _CALLS).get(name, _CALLS["track"])
    return asyncio.run(_ask(ask, answers, catalog=catalog))


async def _ask(ask: Ask, answers: list[Answer], *, catalog: bool) -> list[str]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(answers, BoundedClock(_VIRTUAL_SECONDS), catalog=catalog))
        errors = getattr(await ask(client), "errors", ())
        return [repr(errors)]


def _client(answers: list[Answer], clock: BoundedClock, *, catalog: bool) -> BrazeEngagementClient | CatalogClient:
    kind = CatalogClient if catalog else BrazeEngagementClient
    return kind(endpoint="US-01", api_key=SecretStr(KEY), clock=clock, transport=Scripted(answers), clients=2)


async def _send(envelope: Envelope, answers: list[Answer]) -> list[str]:
    """Send a few objects; each one has exactly one verdict, and is `sent` only by an answer of Braze's own."""
    clock = BoundedClock(_VIRTUAL_SECONDS)
    key = "external_id" if envelope is TRACK else "id"
    objects = pl.Series([orjson.dumps({key: f"c-{number}"}).decode() for number in range(_OBJECTS)], dtype=pl.String)
    client = _client(answers, clock, catalog=envelope is not TRACK)
    sender = InlineSender(
        ItemsEndpoint(client) if isinstance(client, CatalogClient) else TrackEndpoint(client),
        limits=SenderLimits(1, 3000, 3.0),
        clock=clock,
    )

    async def requests() -> AsyncIterator[Request]:
        for request in fill_requests(objects, first_number=1, envelope=envelope):
            yield request

    try:
        delivered = [answer async for answer in sender.send(requests())]
    finally:
        await sender.close()
    _check_verdicts(delivered, answers)
    return [reason for answer in delivered for _, reason in answer.rejected]


def _check_verdicts(delivered: list[Delivered], answers: list[Answer]) -> None:
    rows = pl.DataFrame({"key": [f"c-{number}" for number in range(_OBJECTS)]})
    judged = outcomes(rows, delivered)
    if sorted(judged["key"]) != sorted(rows["key"]) or judged["verdict"].null_count():
        raise BrokenPromiseError("a row without verdict, or with two")
    if (judged["verdict"] == Verdict.SENT).any() and not any(map(_is_acknowledgement, answers)):
        raise BrokenPromiseError("a row is sent though no answer was Braze's")


def _is_acknowledgement(answer: Answer) -> bool:
    """Whether an answer may be Braze's word that it took something (Braze, 3.9 and 9.2)."""
    try:
        body = orjson.loads(answer.body.removeprefix(b"\xef\xbb\xbf"))  # whether it is read with its mark is open
    except orjson.JSONDecodeError:
        return False
    if not 200 <= answer.status < 300 or not isinstance(body, dict):
        return False
    counted = any(str(name).endswith("_processed") for name in body)
    return body.get("message") in ("success", "queued") or counted


_OK = '{"message":"success","attributes_processed":3}'
_PARTLY = (
    '{"message":"success","attributes_processed":1,"errors":['
    '{"index":1,"input_array":"attributes","type":"EMAIL_BAD_FORMAT"},{"index":9,"type":"c-0 is odd"},"odd",null]}'
)
_RATE = ("x-ratelimit-limit: 3000", "x-ratelimit-remaining: 2999", "x-ratelimit-reset: 1798000000")
_CATALOG_REFUSED = '{"message":"Invalid Request","errors":[{"id":"invalid-ids","message":"m","parameters":["id"],"parameter_values":["c-1"]}]}'

TARGET = Target(
    "braze_answers",
    run,
    secrets=(KEY,),
    words=(*HEADERS, b'"errors":[', b'"index":', b'"message":"success"', b'"message":"queued"', b"\n200\n\n", b"{}"),
    seeds=(
        # What a stray answer of a proxy, a gateway or another program looks like.
        exchange("send", ""),
        exchange("send", "{}"),
        exchange("send", '{"Code":"ServerError"}'),
        exchange("send", '{"message":"blocked by policy"}'),
        exchange("send", "garbage that ends in }"),
        exchange("send", (204, "")),
        exchange("send", (302, "location: https://proxy/login", "<html>"), _OK),
        exchange("send", (307, "")),
        exchange("send", (403, "content-type: text/html", "<html>Forbidden</html>"), _OK),
        exchange("send", (404, "content-type: text/html", "<html>Not Found</html>"), _OK),
        exchange("send", b"\xef\xbb\xbf" + _OK.encode()),
        exchange("send", (429, "retry-after: Fri, 31 Dec 9999 23:59:59 -2359", ""), _OK),
        exchange("send", (429, "retry-after: 36000", '{"message":"Rate Limited"}')),
        exchange("send", (429, "x-ratelimit-retry-after: 2", ""), (201, *_RATE, _OK)),
        exchange("send", (503, ""), (500, ""), (201, _OK)),
        exchange("send", (201, *_RATE, _PARTLY)),
        exchange("send", (400, '{"message":"Max Input Length Exceeded","errors":[{"index":1}]}'), _OK),
        exchange("send", (413, ""), (201, _OK), (400, "{}")),
        exchange("send_items", (202, '{"message":"success"}')),
        exchange("send_items", (400, _CATALOG_REFUSED), (202, '{"message":"success"}')),
        exchange("send_items", (202, "")),
        # A key that comes back.
        exchange("track", (401, "x-ratelimit-limit:", '{"message":"Invalid API key: <KEY>"}')),
        exchange("track", (400, '{"message":"\'<KEY>\' is no key","errors":["<KEY>"]}')),
        exchange("send", (400, '{"message":"key \\"<KEY>\\" refused"}')),
        exchange("send", (201, '{"message":"success","errors":[{"type":"<KEY>","index":0}]}')),
        exchange("probe_engagement", (403, '{"message":"<KEY>"}')),
        exchange("write_items", (401, '{"message":"Invalid API key: <KEY>"}')),
        # Answers as Braze gives them.
        exchange("track", (201, *_RATE, _PARTLY)),
        exchange("export", (201, *_RATE, '{"message":"success","users":[{"external_id":"c-1"}],"invalid_user_ids":[1]}')),
        exchange("find", (201, '{"message":"success","users":[],"invalid_user_ids":["c-1"]}')),
        exchange("identify", (201, '{"aliases_processed":1,"message":"success"}')),
        exchange("groups", '{"status":{"c-1":"Subscribed","c-2":"unknown"},"message":"success"}'),
        exchange("delete", (201, '{"deleted":1,"message":"success"}')),
        exchange("probe_track", (400, '{"message":"Valid data must be provided"}')),
        exchange("probe_delete", (400, "{}")),
        exchange("probe_catalogs", (200, '{"catalogs":[],"message":"success"}')),
        exchange("unsubscribes", '{"emails":[{"email":"a@b.eu","unsubscribed_at":"2026-01-01 00:00:00 +0000"}]}'),
        exchange("hard_bounces", '{"emails":[{"email":"a@b.eu","hard_bounced_at":"2026-01-01 00:00:00 +0000"}]}'),
        exchange(
            "user_groups",
            '{"users":[{"email":null,"phone":null,"external_id":"c-1","subscription_groups":'
            '[{"id":"g","name":"n","channel":"email","status":"Subscribed"}]}],"total_count":1}',
        ),
        exchange("campaigns", '{"campaigns":[{"id":"a","name":"A","last_edited":"2026-01-01"}]}'),
        exchange("canvases", '{"canvases":[{"id":"a","name":"A"}]}'),
        exchange("campaign_series", '{"data":[{"time":"2026-01-01","messages":{"email":[{"sent":1,"opens":2}]}}]}'),
        exchange(
            "canvas_series",
            '{"data":{"name":"n","stats":[{"time":"2026-01-01","step_stats":{"s":{"messages":{"email":[{"sent":1}]}}}}]}}',
        ),
        exchange(
            "catalogs",
            '{"catalogs":[{"name":"books","description":"","fields":[{"name":"id","token":"-1","type":"string"}],'
            '"num_items":1,"updated_at":"2026-01-01T00:00:00.000+00:00","selections":[]}]}',
        ),
        exchange("create_catalog", (201, '{"catalogs":[],"message":"success"}')),
        exchange("add_fields", (202, '{"message":"success"}')),
        exchange("delete_field", (404, '{"errors":[{"id":"catalog-not-found"}],"message":"Invalid Request"}')),
        exchange("item", '{"items":[{"id":"b-1","title":"x"}],"message":"success"}'),
        exchange("items", (200, 'link: </catalogs/books/items?cursor=abc>; rel="next"', '{"items":[{"id":"b-1"}]}')),
        exchange("write_items", (400, _CATALOG_REFUSED)),
    ),
)  # fmt: skip
