"""A run under Prefect and one without go the same way and end alike, whatever its kind."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import TransientError
from tests.flows.catalog_shop import Shop, product
from tests.flows.engine import without_engine
from tests.flows.returns import RETURN, customers
from tests.flows.test_prefect import artifacts, station, task_runs
from tests.flows.world import World

EVERYWHERE = {"extract", "map", "gate"}
# Of each kind: its sync, the tasks besides those of all, which of them fails at first, and where.
KINDS = {
    "profiles": (
        "customers",
        {"erase", "compare", "send opt-outs", "send", "record"},
        "engine.comparing.compare_batch",
    ),
    "catalog": (
        "products",
        {"keep schema", "compare", "send", "record", "delete vanished"},
        "engine.comparing.compare_batch",
    ),
    "engagement": (
        "engagement",
        {"gather", "want", "write", "record written", "write campaigns"},
        "kinds.engagement.wanted_rows.want_batch",
    ),
}
# What no two runs have in common.
OWN = re.compile(r"\d{8}T\d{6}-\w{6}|[\d.,]+ (?:s|ms|rows/s)\b")


def filled(world: World) -> None:
    """Thirty people of whom one cannot be sent, as many products, and what each kind needs."""
    world.sync()
    world.sync(RETURN, "engagement")
    customers(world, 30)
    world.caspio.update_rows("Customers", {"Email": "no address"}, "CustomerNo = 'c7'")
    Shop(world).open([*map(product, range(1, 30)), product(30, Code="no id")])


def failing_once(patch: pytest.MonkeyPatch, where: str) -> None:
    """The first call does not get through."""
    import importlib

    module, _, name = where.rpartition(".")
    found = importlib.import_module(f"caspio_sync.{module}")
    step, calls = getattr(found, name), Counter[str]()

    async def failing(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        if calls[name] == 1:
            raise TransientError("the line is down")
        return await step(*args, **kwargs)

    patch.setattr(found, name, failing)


def told(ended: Any) -> dict[str, Any]:
    """How a run ended, and what its report says that does not tell the time."""
    assert ended.report is not None
    apart = {"run", "started_at", "ended_at", "seconds", "rows_per_second", "freshness"}
    return {"code": ended.code, "message": ended.message, **ended.report.model_dump(mode="json", exclude=apart)}


def shown(summary: str) -> list[str]:
    """A summary without what tells the time."""
    return [line for line in OWN.sub("", summary).splitlines() if not re.search(r"second|waits|\d\d:\d\d", line)]


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("kind", KINDS)
def test_both_go_the_same_way(world: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, tasks, where = KINDS[kind]
    filled(world)
    with monkeypatch.context() as patch:
        failing_once(patch, where)
        under = world.ended(name)
    with world.ledger() as ledger:
        last = ledger.last_run(name)
    assert last is not None
    found = task_runs(str(last.flow_run_id), awaited=frozenset(EVERYWHERE | tasks))
    summary = artifacts(str(last.flow_run_id))[f"{name}-summary"].data

    (tmp_path / "bare").mkdir()
    other = World(tmp_path / "bare")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "bare")
        summaries = without_engine(patch)
        CONNECT.set(other.connect())
        filled(other)
        failing_once(patch, where)
        bare = other.ended(name)
    other.caspio.close()

    assert told(bare) == told(under)
    assert under.code == 0
    assert shown(summaries[-1]) == shown(summary)
    assert set(map(station, found)) == EVERYWHERE | tasks
    tries = {station(each): each.run_count for each in found if each.run_count > 1}
    assert tries == {"want" if kind == "engagement" else "compare": 2}
    assert all(each.state.is_completed() for each in found)
