"""Posts of any system on their way: kept, read, sent, and forgotten."""

import asyncio
import base64
import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.caspio.client import Source
from caspio_sync.cli.doctor import _posts
from caspio_sync.cli.main import app
from caspio_sync.deployed.housekeeping import purge_ledger
from caspio_sync.engine.posted import PostedRows
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.feeds import PostFeed, paths_named
from caspio_sync.inbox import Inbox
from caspio_sync.posts import Posted, Posts
from caspio_sync.receiver.app import Receiver
from caspio_sync.receiver.posts import PostsFeed, keeping
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.braze.behaviour import ORDER_CAMPAIGN
from caspio_sync.sandbox.faults import Fault
from caspio_sync.sealed import Sealer
from caspio_sync.settings import current_settings, local_settings, receiver_settings
from tests.flows.crashes import crash_at
from tests.flows.happenings import arrived, people
from tests.flows.world import World

KEY = base64.urlsafe_b64encode(b"a sandbox's key of 32 bytes ....").decode()


@pytest.fixture(autouse=True)
def payload_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_PAYLOAD_KEYS", KEY)


def posted(world: World, *documents: Any, path: str = "/in/orders", ids: Sequence[str] = ()) -> list[str]:
    """As the receiver keeps them; texts go in as they are."""
    sealer = Sealer(SecretStr(KEY))
    bodies = [each.encode() if isinstance(each, str) else orjson.dumps(each) for each in documents]
    digests = [each.encode() for each in ids] or [None] * len(bodies)
    with kept(world) as posts:
        return posts.add(
            [Posted(path, number, sealer.seal(body)) for number, body in zip(digests, bodies, strict=True)]
        )


def kept(world: World) -> Posts:
    (world.folder / "home").mkdir(exist_ok=True)
    return Posts.open(f"sqlite:///{world.folder / 'home' / 'inbox.db'}", clock=world.clock)


def left(world: World, path: str = "/in/orders") -> list[Any]:
    with kept(world) as posts:
        found = list(posts.each(path, None, 1000))
    return [orjson.loads(Sealer(SecretStr(KEY)).open(sealed)) for _, sealed in found]


def test_whoever_is_erased_leaves_every_post_that_names_them(world: World) -> None:
    world.people(3)
    world.sync()
    world.run()
    world.clock.advance(600)
    posted(world, {"a": {"by": ["x", " C2 "]}}, {"customer": "c3"}, {"customer": "c22"}, '{"n": 2}')
    posted(world, {"who": "c2"}, path="/in/nobody-reads-this")
    done = CliRunner().invoke(app, ["erase", "customers", "c2", "--yes"])
    assert done.exit_code == 0, done.output
    assert left(world) == [{"customer": "c3"}, {"customer": "c22"}, {"n": 2}]
    assert left(world, "/in/nobody-reads-this") == []


def test_an_erasure_is_not_proven_while_a_post_cannot_be_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(3)
    world.sync()
    world.run()
    world.clock.advance(600)
    posted(world, {"customer": "c2"})
    monkeypatch.setenv("CASPIO_SYNC_PAYLOAD_KEYS", base64.urlsafe_b64encode(bytes(32)).decode())
    done = CliRunner().invoke(app, ["erase", "customers", "c2", "--yes"])
    assert done.exit_code != 0
    assert "cannot be opened by CASPIO_SYNC_PAYLOAD_KEYS" in str(done.exception)
    assert len(left(world)) == 1


SYNC = """\
kind: events
source:
  posts: /in/orders
  fields:
    customer: $.order.customer.id
    number: $.order.id
    total: {path: $.order.total, type: number}
    pieces: {path: $.order.pieces, type: integer}
    at: $.order.at
    gift: {path: $.order.gift, type: boolean}
    tags: {path: $.order.tags, type: list}
identity: {external_id: customer}
event: order_placed
time: at
properties: {number: number, total: total, pieces: pieces, gift: gift, tags: tags}
gate: {max_quarantined_share: 1, max_quarantined_rows: 100000}
"""


def order(number: int, **more: Any) -> dict[str, Any]:
    own = {
        "id": f"o{number}",
        "customer": {"id": f"c{number}", "email": f"c{number}@example.com"},
        "total": number + 0.1,
        "pieces": number,
        "at": f"2026-03-02T12:{number % 50:02}:00+01:00",
        "gift": number % 2 == 0,
        "tags": ["new", "web"],
    }
    return {"order": own | more}


def test_each_post_is_one_event_and_no_later_run_sends_it_again(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, *(order(number) for number in range(1, 6)))
    posted(world, order(99), path="/in/others")
    report = world.run("orders")
    assert (report.verdicts, report.data_points) == ({"sent": 5}, 5)
    assert world.caspio.calls == 0
    one = next(each for each in arrived(world) if each["external_id"] == "c2")
    assert one["name"] == "order_placed"
    assert one["time"].startswith("2026-03-02T11:02:00")
    assert one["properties"] == {"number": "o2", "total": 2.1, "pieces": 2, "gift": True, "tags": ["new", "web"]}
    for options in ({}, {"full": True}):
        world.clock.advance(3600)
        assert world.run("orders", **options).verdicts == {}
    posted(world, order(6))
    assert world.run("orders").verdicts == {"sent": 1}
    assert len(arrived(world)) == 6


def test_what_the_receiver_takes_arrives_once(world: World) -> None:
    """From the post to the destination, through the receiver and a run."""
    world.sync(SYNC, "orders")
    feed = PostFeed(proof="bearer", secrets=("orders-token-0123456789",), id="$.order.id")
    sealer, headers = Sealer(SecretStr(KEY)), {"Authorization": "Bearer orders-token-0123456789"}
    url = f"sqlite:///{world.folder / 'home' / 'inbox.db'}"

    async def post(*documents: Any) -> list[int]:
        with Inbox.open(url, clock=world.clock) as inbox, Posts.open(url, clock=world.clock) as posts:
            feeds = PostsFeed(
                {"/in/orders": feed},
                keep=keeping(posts, sealer, inbox.check),
                clock=world.clock,
            )
            receiver = Receiver(inbox, tokens=[], posts=feeds).app
            transport = httpx.ASGITransport(receiver)
            async with (
                receiver.router.lifespan_context(receiver),
                httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
            ):
                return [(await client.post("/in/orders", json=each, headers=headers)).status_code for each in documents]

    (world.folder / "home").mkdir()
    assert asyncio.run(post(*(order(number) for number in (1, 2, 2, 3)))) == [200] * 4
    assert world.run("orders").verdicts == {"sent": 3}
    assert asyncio.run(post(order(3), order(4))) == [200, 200]
    world.clock.advance(60)
    assert world.run("orders").verdicts == {"sent": 1}
    assert sorted(each["properties"]["number"] for each in arrived(world)) == ["o1", "o2", "o3", "o4"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"total": "a lot"}, "total"), ({"customer": {}}, "key"), ({"customer": None}, "key"), ({"at": "soon"}, "time"),
        ({"pieces": 1.5}, "pieces"), ({"gift": "perhaps"}, "gift"), ({"tags": {"a": 1}}, "tags"), ({"at": None}, "time"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_held_and_the_others_go(world: World, bad: dict[str, Any], why: str) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2, **bad), order(3))
    report = world.run("orders")
    assert report.verdicts == {"sent": 2, "quarantined": 1}
    world.clock.advance(3600)
    assert world.run("orders", full=True).verdicts == {}
    assert {each["external_id"] for each in arrived(world)} == {"c1", "c3"}


def test_a_held_post_goes_once_the_file_reads_it(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2, total="2,10"))
    assert world.run("orders").verdicts == {"sent": 1, "quarantined": 1}
    world.clock.advance(3600)
    world.sync(SYNC.replace("total: {path: $.order.total, type: number}", "total: $.order.total"), "orders")
    assert world.run("orders").verdicts == {"sent": 1}
    assert [each["properties"]["total"] for each in arrived(world)] == [1.1, "2,10"]


def test_a_lost_answer_makes_unknown_and_nothing_is_repeated(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, *(order(number) for number in range(1, 6)))
    world.break_braze(Fault(kind="reset_after", path="/users/track", nth=(1,)))
    world.ended("orders")
    world.break_braze()
    assert world.verdicts("orders") == {"unknown": 5}
    world.clock.advance(3600)
    assert world.run("orders", full=True).held == {"unknown": 5}
    assert len(arrived(world)) == 5


def test_an_event_of_activecampaign_waits_for_its_person_and_goes_then(world: World) -> None:
    text = SYNC.replace("kind: events", "kind: events\ndestination: activecampaign\noptions: {create: true}")
    text = text.replace("customer: $.order.customer.id", "customer: $.order.customer.email")
    world.sync(text.replace("external_id: customer", "email: customer"), "orders")
    world.activecampaign = ActiveCampaignSandbox(ActiveCampaignBehaviour(), world.clock)
    world.activecampaign.event_server = ("trackcmp.test", None)
    world.activecampaign.store.make("c1@example.com", 0.0)
    posted(world, order(1), order(2))
    assert world.run("orders").verdicts == {"sent": 1, "quarantined": 1}
    world.activecampaign.store.make("c2@example.com", 0.0)
    for verdicts in ({"sent": 1}, {}):
        world.clock.advance(3600)
        assert world.run("orders").verdicts == verdicts
    assert len(world.activecampaign.tracking.taken) == 2


def test_posts_move_to_postgresql_and_the_old_place_takes_none(
    world: World, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2), ids=("a", "b"))
    assert world.run("orders").verdicts == {"sent": 2}
    posted(world, order(3), ids=("c",))
    done = CliRunner().invoke(app, ["ledger", "copy", "--to", postgresql_ledger, "--json"])
    assert {each["table"]: each["rows"] for each in orjson.loads(done.stdout)["tables"]}["inbox_posted"] == 3
    with pytest.raises(CaspioSyncError):
        posted(world, order(4), ids=("d",))
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", postgresql_ledger)
    with Posts.open(postgresql_ledger, clock=world.clock) as posts:
        sealed = Sealer(SecretStr(KEY)).seal(orjson.dumps(order(4)))
        assert posts.add([Posted("/in/orders", each, sealed) for each in (b"c", b"d")]) == ["duplicate", "kept"]
    world.clock.advance(3600)
    assert world.run("orders").verdicts == {"sent": 2}
    assert len(arrived(world)) == 4


STEPS = ("extract", "map", "find unsent", "gate", "look for sent events", "send events", "record")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_dies_loses_no_post_and_sends_none_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    world.sync(SYNC, "orders")
    posted(world, *(order(number) for number in range(1, 6)))
    with monkeypatch.context() as patch:
        crash_at(patch, (step, when, 1))
        assert world.ended("orders").code != 0
    posted(world, order(6))
    for _ in range(2):
        world.clock.advance(3600)
        world.ended("orders")
    told = Counter(each["properties"]["number"] for each in arrived(world))
    assert max(told.values()) == 1
    verdicts = world.verdicts("orders")
    assert sum(verdicts.values()) == 6
    assert verdicts.get("sent", 0) + verdicts.get("unknown", 0) == 6
    assert len(told) >= verdicts["sent"]


def test_a_post_of_long_ago_is_held_until_a_backfill_means_it(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1, at="2025-01-01T00:00:00Z"), order(2))
    assert world.run("orders").verdicts == {"sent": 1, "quarantined": 1}
    world.clock.advance(3600)
    with kept(world) as posts:
        (first, _), *_ = posts.each("/in/orders", None, 2)
    assert world.run("orders", pk_range=(first, first)).verdicts == {"sent": 1}


def test_a_held_post_is_released_by_hand(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2, at="2025-01-01T00:00:00Z"))
    assert world.run("orders").verdicts == {"sent": 1, "quarantined": 1}
    assert world.run("orders", release=["quarantined"]).verdicts == {"sent": 1}
    assert {each["external_id"] for each in arrived(world)} == {"c1", "c2"}


def test_who_was_erased_is_withheld_from_what_is_posted_later(world: World) -> None:
    world.people(3)
    world.sync()
    world.run()
    world.clock.advance(600)
    assert CliRunner().invoke(app, ["erase", "customers", "c2", "--yes"]).exit_code == 0
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2))
    assert world.run("orders").verdicts == {"sent": 1, "blocked": 1}
    assert [each["external_id"] for each in arrived(world)] == ["c1"]
    world.clock.advance(8 * 86_400)
    for _ in range(2):
        world.run("orders")
        world.clock.advance(3600)
    assert purge_ledger(local_settings(), dry_run=False).posts == 2
    assert left(world) == []


def test_posts_of_another_database_are_no_posts_that_were_sent(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, *(order(number) for number in range(1, 4)))
    assert world.run("orders").verdicts == {"sent": 3}
    for file in (world.folder / "home").glob("inbox.db*"):
        file.unlink()
    world.clock.advance(60)
    posted(world, *(order(number) for number in range(4, 8)))
    assert world.run("orders").verdicts == {"sent": 4}


def test_many_posts_of_several_batches_and_numbers_far_apart(world: World) -> None:
    world.sync(SYNC + "batch_size: 1000\n", "orders")
    for part in range(3):
        posted(world, *(order(part * 1000 + number) for number in range(1, 901)))
        world.clock.advance(86_400 * 3)
    report = world.run("orders")
    assert report.verdicts == {"sent": 2700}
    assert len({each["properties"]["number"] for each in arrived(world)}) == 2700
    world.clock.advance(3600)
    assert world.run("orders").verdicts == {}


def test_times_since_1970_and_places_in_lists(world: World) -> None:
    fields = "source: {posts: /in/t, fields: {who: '$.users[1]', at: {path: $.ts, type: UNIX}, body: $.more}}\n"
    text = "kind: events\n" + fields + "identity: {external_id: who}\nevent: x\ntime: at\nproperties: {body: body}\n"
    world.sync(text.replace("UNIX", "unix"), "seconds")
    of_thousandths = text.replace("UNIX", "unix_ms").replace("/in/t", "/in/m").replace("event: x", "event: y")
    world.sync(of_thousandths, "thousandths")
    posted(world, '{"users": ["a", "b"], "ts": 1772452800, "more": {"n": 1.10, "l": [null, true]}}', path="/in/t")
    posted(world, '{"users": ["a", "b"], "ts": 1772452800123}', '{"users": ["a", "b"], "ts": "soon"}', path="/in/m")
    assert world.run("seconds").verdicts == {"sent": 1}
    assert world.run("thousandths").verdicts == {"sent": 1, "quarantined": 1}
    first, second = arrived(world)
    assert (first["external_id"], first["properties"]) == ("b", {"body": '{"n":1.10,"l":[null,true]}'})
    assert first["time"].startswith("2026-03-02T12:00:00")
    assert second["time"].startswith("2026-03-02T12:00:00")


def test_purchases_and_messages_of_posts(world: World) -> None:
    source = """source:
  posts: /in/orders
  fields: {who: $.order.customer.id, code: $.order.id, price: {path: $.order.total, type: number}, at: $.order.at}
identity: {external_id: who}
time: at
"""
    world.sync(f"kind: purchases\n{source}product_id: code\ncurrency: {{constant: GBP}}\nprice: price\n", "bought")
    message = f"kind: triggers\n{source}campaign_id: {ORDER_CAMPAIGN}\ntrigger_properties: {{code: code}}\n"
    world.sync(message, "messages")
    people(world, 2)
    posted(world, order(1), order(2))
    assert world.run("bought").verdicts == {"sent": 2}
    assert {(each["product_id"], each["price"]) for each in arrived(world, "purchases")} == {("o1", 1.1), ("o2", 2.1)}
    assert world.run("messages").verdicts == {"sent": 2}


def typed(number: int, kind: Any, **more: Any) -> dict[str, Any]:
    return {**order(number, **more), "type": kind}


ONLY = SYNC.replace("    at: $", "    type: $.type\n    at: $").replace(
    "identity:", "  only: {type: [order.created, order.paid]}\nidentity:"
)


def test_what_is_another_thing_is_left_out_and_holds_nobody_up(world: World) -> None:
    world.sync(ONLY + "batch_size: 1000\n", "orders")
    posted(
        world, typed(1, "order.created"), typed(2, "order.deleted", total="x"), typed(3, None), order(4), typed(5, 7)
    )
    posted(world, *(typed(number, "Order.Created") for number in range(10, 2_600)))
    posted(world, typed(6, "order.paid"))
    assert world.run("orders").verdicts == {"sent": 2}
    world.clock.advance(3600)
    posted(world, typed(7, "order.seen"))
    for options in ({}, {}, {"full": True}):
        assert world.run("orders", **options).verdicts == {}
        world.clock.advance(3600)
    posted(world, typed(8, "order.created"))
    assert world.run("orders").verdicts == {"sent": 1}
    assert {each["properties"]["number"] for each in arrived(world)} == {"o1", "o6", "o8"}


def test_another_word_reads_again_what_was_left_out(world: World) -> None:
    world.sync(ONLY, "orders")
    posted(world, typed(1, "order.created"), typed(2, "order.deleted"), typed(3, "order.created", total="x"))
    assert world.run("orders").verdicts == {"sent": 1, "quarantined": 1}
    assert "source.only" not in CliRunner().invoke(app, ["why", "orders", "c3"]).output
    world.clock.advance(3600)
    world.sync(ONLY.replace("order.paid", "order.deleted"), "orders")
    assert world.run("orders").verdicts == {"sent": 1}
    world.clock.advance(3600)
    world.sync(ONLY.replace("order.created, order.paid", "order.deleted"), "orders")
    assert world.run("orders").verdicts == {}
    assert "source.only" in CliRunner().invoke(app, ["why", "orders", "c3"]).output
    assert len(arrived(world)) == 2


def test_posts_cost_no_call_and_tell_their_own_time(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1))
    plan = world.plan("orders")
    assert (plan.calls_a_run, plan.calls_a_month or 0) == (0, 0)
    report = world.run("orders")
    assert not [each for each in report.notes if "clock" in each]


# What is refused.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SYNC.replace("kind: events", "kind: deals"), "source.posts|deal"),
        (SYNC.replace("/in/orders", "/orders"), "is no path to post to"),
        (SYNC.replace("/in/orders", "/in/../x"), "is no path to post to"),
        (SYNC.replace("  posts: /in/orders\n", "  posts: /in/orders\n  cursor: at\n"), "remove `cursor`"),
        (SYNC.replace("  posts: /in/orders\n", "  posts: /in/orders\n  where: total > 1\n"), "remove `cursor`"),
        (SYNC.replace("  posts: /in/orders\n", "  posts: /in/orders\n  table: Orders\n"), "write one of"),
        (SYNC.replace("  posts: /in/orders\n", "  table: Orders\n"), "`fields` says where"),
        (SYNC.replace("$.order.at", "$.order.at[*]"), "finds several values"),
        (SYNC.replace("$.order.at", "order.at"), "is no path of names"),
        (SYNC.replace("at: $.order.at", "PK_ID: $.order.at"), "call it otherwise"),
        (SYNC + "when: total > 1\n", "remove `cursor`, `page_by`, `where` and `when`"),
        (SYNC.replace("identity:", "  only: {total: ['1']}\nidentity:"), "`only` compares texts"),
        (SYNC.replace("identity:", "  only: {other: [x]}\nidentity:"), "`only` compares texts"),
        (SYNC.replace("identity:", "  only: {number: []}\nidentity:"), "only.number"),
        (SYNC + "on_update: new_event\n", "a post is never edited"),
        (SYNC.replace("time: at", "time: when"), "has no field 'when'"),
    ],
)
def test_a_file_that_means_more_is_refused_with_its_line(world: World, text: str, told: str) -> None:
    path = world.sync(text, "orders")
    ended = world.ended("orders")
    assert ended.code == 2
    assert re.search(told, ended.message)
    assert re.search(rf"{path.name}:\d+", ended.message)
    assert arrived(world) == []


def test_profiles_of_posts_are_refused(world: World) -> None:
    world.sync(
        "kind: profiles\nsource: {posts: /in/people, fields: {who: $.id, name: $.name}}\n"
        "identity: {external_id: who}\nfields: {first_name: name}\n"
    )
    ended = world.ended()
    assert (ended.code, "posts are read by syncs of events" in ended.message) == (2, True)


@pytest.mark.parametrize("options", [{"row_keys": ["c1"]}, {"hints": True}])
def test_what_would_ask_for_posts_by_what_is_in_them_is_refused(world: World, options: dict[str, Any]) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1))
    ended = world.ended("orders", **options)
    assert ended.code == 2
    assert "by their number" in ended.message
    assert arrived(world) == []


def test_without_a_key_or_with_another_one_nothing_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1))
    for key in ("", base64.urlsafe_b64encode(bytes(32)).decode()):
        monkeypatch.setenv("CASPIO_SYNC_PAYLOAD_KEYS", key)
        ended = world.ended("orders")
        assert ended.code == 2
        assert "CASPIO_SYNC_PAYLOAD_KEYS" in ended.message
    monkeypatch.setenv("CASPIO_SYNC_PAYLOAD_KEYS", f"{base64.urlsafe_b64encode(bytes(32)).decode()},{KEY}")
    assert world.run("orders").verdicts == {"sent": 1}


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ("(PK_ID>1772452800000000) AND (PK_ID<=1772452800000001)", True), ("PK_ID IN (1,2,3)", True), ("PK_ID>-1", True),
        ("NOT (PK_ID>=1) OR PK_ID IN (7)", True), ("PK_ID>1 -- x", False), ("PK_ID>1; DROP TABLE x", False),
        ("path='/in/a'", False), ("PK_ID IN ('1')", False), ("PK_ID IN (SELECT 1)", False), ("sealed IS NULL", False),
        ("PK_IDPK_ID>1", False), (f"PK_ID IN ({','.join(['1772452800000000'] * 50)}) AND x=1", False),
    ],
)  # fmt: skip
def test_a_condition_is_about_the_number_or_is_not_asked(world: World, where: str, fits: bool) -> None:
    with kept(world):
        pass
    rows = PostedRows("/in/orders", {}, posts=lambda: kept(world), sealer=Sealer(SecretStr(KEY)))

    async def ask() -> Any:
        return (await rows.aggregate(Source("x"), select="", where=where)).row["row_count"]

    if fits:
        assert asyncio.run(ask()) == 0
    else:
        with pytest.raises(ConfigurationError, match="by their number"):
            asyncio.run(ask())


def test_the_settings_file_says_who_may_post(world: World) -> None:
    lines = [
        """CASPIO_SYNC_POSTS='{"/in/orders": {"proof": "bearer", "secrets": ["0123456789abcdef"], "id": "$.order.id"}}'""",
        "CASPIO_SYNC_RECEIVER_TOKEN=c2FuZGJveC10b2tlbg==",
    ]
    (world.folder / ".env").write_text("\n".join(lines), encoding="utf-8")
    feed = receiver_settings().posts["/in/orders"]
    assert (feed.id, feed.proof) == ("$.order.id", "bearer")
    assert paths_named() == {"/in/orders"}
    for wrong in ('{"/in/orders": "0123456789abcdef"}', '{"/orders": {}}', "0123456789abcdef", '["0123456789abcdef"]'):
        (world.folder / ".env").write_text(f"CASPIO_SYNC_POSTS='{wrong}'", encoding="utf-8")
        with pytest.raises(ConfigurationError, match="CASPIO_SYNC_POSTS") as refused:
            receiver_settings()
        assert "0123456789abcdef" not in str(refused.value)


# What people look at.


def test_check_plan_and_why_know_posts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2, total="x"))
    told = CliRunner().invoke(app, ["check", "orders"]).output.replace("\n", " ")
    assert "2 posts are kept" in told
    assert "CASPIO_SYNC_POSTS has no /in/orders" in re.sub(r"\s+", " ", told)
    monkeypatch.setenv("CASPIO_SYNC_POSTS", '{"/in/orders": {"proof": "bearer", "secrets": ["0123456789abcdef"]}}')
    assert "CASPIO_SYNC_POSTS" not in CliRunner().invoke(app, ["check", "orders"]).output
    plan = world.plan("orders")
    assert (plan.to_send, plan.events is not None) == (1, True)
    world.run("orders")
    for key, word in (("c1", "sent"), ("c2", "quarantined")):
        shown = CliRunner().invoke(app, ["why", "orders", key])
        assert shown.exit_code == 0, shown.output
        assert word in shown.output
    shown = CliRunner().invoke(app, ["why", "orders", "c7"])
    assert isinstance(shown.exception, SystemExit | CaspioSyncError)
    assert "Traceback" not in shown.output


def test_doctor_tells_of_posts_that_nobody_reads(world: World) -> None:
    def told() -> str:
        with world.ledger() as ledger:  # of doctor the part about posts: the others ask Prefect, for seconds
            return "\n".join(
                each.what for each in _posts(current_settings("orders"), ledger) if each.level == "warning"
            )

    world.sync(SYNC, "orders")
    posted(world, order(1), order(2))
    posted(world, order(1), path="/in/others")
    assert told() == ""
    world.clock.advance(2 * 86_400)
    assert "orders: 2 posts to /in/orders wait since" in told()
    assert "1 posts to /in/others wait since" in told()
    world.run("orders")
    assert "/in/orders" not in told()
    posted(world, order(3))
    world.clock.advance(2 * 86_400)
    assert "orders: 1 posts to /in/orders" in told()


def test_housekeeping_lets_go_of_what_is_read_and_keeps_what_is_needed(world: World) -> None:
    world.sync(SYNC, "orders")
    posted(world, order(1), order(2, total="x"), order(3))
    posted(world, order(9), path="/in/nobody-reads-this")
    world.run("orders")
    world.clock.advance(8 * 86_400)
    purge = functools.partial(purge_ledger, local_settings())
    world.run("orders")
    assert purge(dry_run=True).posts == 0  # what was read a moment ago is read again by the next run
    world.clock.advance(3600)
    posted(world, order(4))
    assert (purge(dry_run=True).posts, len(left(world))) == (2, 4)
    assert purge(dry_run=False).posts == 2
    assert [each["order"]["id"] for each in left(world)] == ["o2", "o4"]
    assert len(left(world, "/in/nobody-reads-this")) == 1
    world.sync(SYNC.replace("number}", "text}"), "orders")
    world.sync(SYNC.replace("order_placed", "order_seen"), "another")
    assert purge(dry_run=False).posts == 0
    assert world.run("orders").verdicts == {"sent": 2}  # the held one as well


def test_the_file_of_the_documentation_sends_what_it_says(world: World) -> None:
    text = (Path(__file__).parents[2] / "docs" / "posts.md").read_text(encoding="utf-8")
    (file,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    world.sync(file, "orders")
    posted(world, {"order": {"customer": {"id": "c1"}, "total": 12.5, "placed_at": "2026-03-02T12:00:00Z"}})
    assert world.run("orders").verdicts == {"sent": 1}
    assert arrived(world)[0]["properties"] == {"total": 12.5}


# A first file.


def proposed(world: World, *words: str, name: str = "orders") -> str:
    done = CliRunner().invoke(app, ["init", name, "--posts", "/in/orders", *words])
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    text = (world.folder / "syncs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert "c1@example.com" not in done.output + text
    return text


def test_a_first_file_is_proposed_of_what_was_posted_and_sends_it(world: World) -> None:
    more = {
        "weird key": "x",
        "it's": 1,
        "PK_ID": 7,
        "lines": [{"a": 1}],
        "none": None,
        "mixed": 1,
        "seen_at": 1772452800,
    }
    posted(world, order(1, **more), order(2, mixed="x", id="o2", customer={"id": "c2", "more": {"id": "d"}}))
    text = proposed(world, "--kind", "events")
    for line in (
        "  posts: /in/orders", "    id: $.order.id", "    customer_id: $.order.customer.id", "    total: {path: $.order.total, type: number}",
        "    pieces: {path: $.order.pieces, type: integer}", "    gift: {path: $.order.gift, type: boolean}",
        "    tags: {path: $.order.tags, type: list}", """    weird_key: "$.order['weird key']\"""", "    mixed: $.order.mixed",
        "    seen_at: {path: $.order.seen_at, type: unix}", "kind: events", "time: at",
    ):  # fmt: skip
        assert line in text, line
    assert "table:" not in text
    assert "lines:" not in text
    assert "PK_ID: $" not in text
    assert world.run("orders").verdicts == {"sent": 2}
    assert {each["name"] for each in arrived(world)} == {"orders"}


@pytest.mark.parametrize("kind", ["purchases", "triggers"])
def test_other_kinds_are_proposed_of_posts_as_well(world: World, kind: str) -> None:
    posted(world, {"customer_id": "c1", "product_id": "p", "price": 1.5, "bought_at": "2026-03-02T12:00:00Z"})
    assert f"kind: {kind}" in proposed(world, "--kind", kind)


def test_no_file_is_proposed_of_nothing_or_for_what_reads_no_posts(world: World) -> None:
    nothing = CliRunner().invoke(app, ["init", "orders", "--posts", "/in/orders", "--kind", "events"])
    assert "nothing was posted to /in/orders yet" in str(nothing.exception)
    posted(world, order(1))
    for words in (["--kind", "profiles"], ["--kind", "events", "--table", "T"]):
        assert CliRunner().invoke(app, ["init", "orders", "--posts", "/in/orders", *words]).exit_code == 2
    assert CliRunner().invoke(app, ["init", "orders", "--posts", "/orders", "--kind", "events"]).exit_code == 2
    assert not (world.folder / "syncs" / "orders.yaml").exists()
