"""Killed anywhere, and still right: seeded schedules of runs that die, each replayable by its number."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.torture.arena import Arena, copied
from tests.torture.schedule import play, play_catalog, play_contacts, play_events, play_messages

pytestmark = pytest.mark.long


def under_prefect(seed: int) -> dict[str, Any]:
    """What each run of a schedule has: Prefect's engine; in one of ten nothing stands in for the sender and the gate."""
    return {"prefect": True} | ({} if seed % 10 else {"sender": "process", "gate": "great expectations"})


def test_schedule(seed: int, arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path) -> None:
    watched = runner.run(play(seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_schedule_on_postgresql(
    postgresql_seed: int, arena: Arena, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    watched = runner.run(play(postgresql_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []


def test_schedule_under_prefect(
    prefect_seed: int, prefect_arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    ledger, always = copied(template, tmp_path), under_prefect(prefect_seed)
    watched = runner.run(play(prefect_seed, prefect_arena, tmp_path, ledger, **always))
    assert watched.faults == []


def test_catalog_schedule(
    catalog_seed: int, arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    watched = runner.run(play_catalog(catalog_seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_catalog_schedule_on_postgresql(
    postgresql_catalog_seed: int, arena: Arena, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    watched = runner.run(play_catalog(postgresql_catalog_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []


def test_catalog_schedule_under_prefect(
    prefect_catalog_seed: int, prefect_arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    ledger, always = copied(template, tmp_path), under_prefect(prefect_catalog_seed)
    watched = runner.run(play_catalog(prefect_catalog_seed, prefect_arena, tmp_path, ledger, **always))
    assert watched.faults == []


def test_event_schedule(event_seed: int, arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path) -> None:
    watched = runner.run(play_events(event_seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_event_schedule_on_postgresql(
    postgresql_event_seed: int, arena: Arena, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    watched = runner.run(play_events(postgresql_event_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []


def test_message_schedule(
    message_seed: int, arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    watched = runner.run(play_messages(message_seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_contact_schedule(
    contact_seed: int, arena: Arena, runner: asyncio.Runner, template: Path, tmp_path: Path
) -> None:
    watched = runner.run(play_contacts(contact_seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []


def test_contact_schedule_on_postgresql(
    postgresql_contact_seed: int, arena: Arena, runner: asyncio.Runner, postgresql_ledger: str, tmp_path: Path
) -> None:
    watched = runner.run(play_contacts(postgresql_contact_seed, arena, tmp_path, postgresql_ledger))
    assert watched.faults == []
