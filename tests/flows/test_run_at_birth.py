"""A run is whole when it is opened: going along the line of its kind assigns nothing to it."""

import ast
import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.line import Line, run_line
from caspio_sync.engine.opening import open_run
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.catalog.line import CATALOG
from caspio_sync.kinds.engagement.line import RETURN
from caspio_sync.kinds.profiles.line import PROFILES
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import RunOptions
from caspio_sync.settings import current_settings
from expectations.suites import Gates
from tests.flows.test_both_ways import filled
from tests.flows.world import World

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "flows", "tasks", "expectations", "benchmarks", "tests")


def assigned_to_runs(text: str) -> Iterator[str]:
    """Attributes of a `run` that a module assigns to, or deletes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            owner = node.value
            if getattr(owner, "id", getattr(owner, "attr", "")) in {"run", "_run"}:
                yield node.attr


def test_nobody_assigns_attributes_of_a_run() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): [*assigned_to_runs(path.read_text(encoding="utf-8"))] for path in files}
    assert len(found) > 500
    assert {path: names for path, names in found.items() if names} == {}


def test_who_would_is_found() -> None:
    assert list(assigned_to_runs("run.times = 1\nself.run.past += []\ndel run.work\nrun.report.whole = True")) == [
        "times",
        "past",
        "work",
    ]


def held(run: SyncRun) -> list[int]:
    """Which objects a run holds."""
    return [id(getattr(run, name)) for name in SyncRun.__slots__]


@pytest.mark.parametrize(("name", "line"), [("customers", PROFILES), ("products", CATALOG), ("engagement", RETURN)])
def test_a_run_holds_the_same_objects_from_its_birth_on(world: World, name: str, line: Line) -> None:
    filled(world)

    async def moved() -> tuple[list[int], list[int]]:
        async with open_run(name, RunOptions(), settings=current_settings(), gates=Gates) as run:
            born = held(run)
            await run_line(run, line)
            return born, held(run)

    born, ended = asyncio.run(moved())
    assert len(born) > 20
    assert born == ended


def test_a_run_opens_its_ledger_once(world: World) -> None:
    """And once more when it is closed, to see what is to be told; of a sync that is refused none is made."""
    connect, opened = CONNECT.get(), Counter[str]()

    def counted(*args: Any) -> Ledger:
        opened["ledger"] += 1
        return connect.ledger(*args)

    CONNECT.set(replace(connect, ledger=counted))
    world.sync(world.SYNC.replace("FirstName", "NoSuchField"))
    world.people(3)
    assert (world.ended().code, opened["ledger"]) == (2, 0)
    world.sync()
    for _ in range(2):
        opened.clear()
        assert (world.ended().code, opened["ledger"]) == (0, 2)


def test_prefect_does_not_walk_through_a_run() -> None:
    """It does through dataclasses, and all that they hold, at each call of a task."""
    assert not is_dataclass(SyncRun)
