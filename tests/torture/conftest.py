"""One server and one forking process for all schedules of a worker."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is several modules, and the forked process runs one alone

SEEDS = int(os.environ.get("CASPIO_TORTURE_SEEDS", "200"))
SEED = os.environ.get("CASPIO_TORTURE_SEED")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", [int(SEED)] if SEED else range(SEEDS))


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def arena(runner: asyncio.Runner) -> Iterator[Any]:
    from arena import Arena

    made = Arena()
    runner.run(made.__aenter__())
    yield made
    runner.run(made.__aexit__())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from arena import template

    return template(tmp_path_factory.mktemp("template"))
