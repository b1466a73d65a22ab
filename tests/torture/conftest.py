"""One server and one forking process for all schedules of a worker."""

import asyncio
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness is several modules, and the forked process runs one alone

SEEDS = int(os.environ.get("CASPIO_TORTURE_SEEDS") or 200)
SEED = os.environ.get("CASPIO_TORTURE_SEED")
# One in five is of a catalog. One of so many is played with another ledger, or with all of Prefect and the sender's
# process, as well.
SHARES = {
    "seed": 1.25,
    "catalog_seed": 5,
    "postgresql_seed": 25,
    "postgresql_catalog_seed": 100,
    "prefect_seed": 200,
    "prefect_catalog_seed": 200,
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
def arena(runner: asyncio.Runner) -> Iterator[Any]:
    from tests.torture.arena import Arena

    made = Arena()
    runner.run(made.__aenter__())
    yield made
    runner.run(made.__aexit__())


@pytest.fixture(scope="session")
def prefect_arena(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An arena whose runs find a Prefect server, on a database of its own."""
    from tests.torture.arena import Arena

    home = tmp_path_factory.mktemp("prefect")
    private = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in private.items():
            patch.setenv(name, value)
        testing = importlib.import_module("prefect.testing.utilities")
        with testing.prefect_test_harness(server_startup_timeout=240):
            url = importlib.import_module("prefect.settings").PREFECT_API_URL.value()
            made = Arena(PREFECT_API_URL=str(url))
            runner.run(made.__aenter__())
            yield made
            runner.run(made.__aexit__())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.torture.arena import template

    return template(tmp_path_factory.mktemp("template"))
