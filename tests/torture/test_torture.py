"""Killed anywhere, and still right: seeded schedules of runs that die, each replayable by its number."""

import asyncio
from pathlib import Path
from typing import Any


def test_schedule(seed: int, arena: Any, runner: asyncio.Runner, template: Path, tmp_path: Path) -> None:
    from arena import copied
    from schedule import play

    watched = runner.run(play(seed, arena, tmp_path, copied(template, tmp_path)))
    assert watched.faults == []
