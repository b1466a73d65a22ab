"""Killed anywhere, and still right: seeded schedules of runs that die, each replayable by its number."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long


def test_schedule(seed: int, arena: Any, runner: asyncio.Runner, template: Path, tmp_path: Path) -> None:
    from tests.torture.arena import copied
    from tests.torture.schedule import play

    watched = runner.run(play(seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_schedule_on_postgresql(
    postgresql_seed: int, arena: Any, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    from tests.torture.schedule import play

    watched = runner.run(play(postgresql_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []


def test_schedule_under_prefect_with_the_sender_in_a_process(
    prefect_seed: int, prefect_arena: Any, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    from tests.torture.arena import copied
    from tests.torture.schedule import play

    ledger = copied(template, tmp_path)
    watched = runner.run(
        play(prefect_seed, prefect_arena, tmp_path, ledger, prefect=True, sender="process", gate="great expectations")
    )
    assert watched.faults == []


def test_catalog_schedule(
    catalog_seed: int, arena: Any, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    from tests.torture.arena import copied
    from tests.torture.schedule import play_catalog

    watched = runner.run(play_catalog(catalog_seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_catalog_schedule_on_postgresql(
    postgresql_catalog_seed: int, arena: Any, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    from tests.torture.schedule import play_catalog

    watched = runner.run(play_catalog(postgresql_catalog_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []


def test_catalog_schedule_under_prefect_with_the_sender_in_a_process(
    prefect_catalog_seed: int, prefect_arena: Any, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    from tests.torture.arena import copied
    from tests.torture.schedule import play_catalog

    always = {"prefect": True, "sender": "process", "gate": "great expectations"}
    watched = runner.run(
        play_catalog(prefect_catalog_seed, prefect_arena, tmp_path, copied(template, tmp_path), **always)
    )
    assert watched.faults == []
