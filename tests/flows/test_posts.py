"""Posts of any system on their way: kept, read, sent, and forgotten."""

import base64
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.posts import Posted, Posts
from caspio_sync.sealed import Sealer
from tests.flows.world import World

KEY = base64.urlsafe_b64encode(b"a sandbox's key of 32 bytes ....").decode()


@pytest.fixture(autouse=True)
def payload_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_PAYLOAD_KEYS", KEY)


def posted(world: World, *documents: Any, path: str = "/in/orders", ids: Sequence[str] = ()) -> list[str]:
    """As the receiver keeps them; texts go in as they are."""
    sealer = Sealer([SecretStr(KEY)])
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
        found = posts.read(path, None, limit=1000)
    return [orjson.loads(Sealer([SecretStr(KEY)]).open(sealed)) for _, sealed in found]


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
