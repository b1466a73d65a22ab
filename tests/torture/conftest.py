"""One server and one forking process for all schedules of a worker."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import private_settings, served
from tests.torture.arena import Arena, migrated

SEEDS = int(os.environ.get("CASPIO_TORTURE_SEEDS") or 200)
SEED = os.environ.get("CASPIO_TORTURE_SEED")
# One in five is of a catalog; one of contacts, two of events and half of one of messages come besides. One of so many is played with another ledger, and one of ten under Prefect, as well.
SHARES = {
    "seed": 1.25,
    "catalog_seed": 5,
    "event_seed": 2.5,
    "message_seed": 10,
    "contact_seed": 5,
    "postgresql_seed": 25,
    "postgresql_catalog_seed": 100,
    "postgresql_event_seed": 50,
    "postgresql_contact_seed": 100,
    "prefect_seed": 12.5,
    "prefect_catalog_seed": 50,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, share in SHARES.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [int(SEED)] if SEED else range(max(1, int(SEEDS / share))))


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def arena(runner: asyncio.Runner) -> Iterator[Arena]:
    made = Arena()
    runner.run(made.__aenter__())
    yield made
    runner.run(made.__aexit__())


@pytest.fixture(scope="session")
def prefect_arena(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """An arena whose runs find a Prefect server: one for all of them."""
    with private_settings(tmp_path_factory.mktemp("prefect")), served() as url:
        made = Arena(PREFECT_API_URL=url)
        runner.run(made.__aenter__())
        yield made
        runner.run(made.__aexit__())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("template"))
