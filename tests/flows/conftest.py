"""The world of each test, and the Prefect server behind all of them."""

import gc
import importlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from caspio_sync.clock import CLOCK
from caspio_sync.engine.connect import CONNECT
from tests.flows.catalog_shop import Shop
from tests.flows.engine import repeat_at_once, without_engine
from tests.flows.world import ENVIRONMENT, World
from tests.prefect_server import private_settings, served


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The flows, with Prefect's settings our own: they are read when it is imported."""
    with private_settings(tmp_path_factory.mktemp("prefect")):
        with warnings.catch_warnings():
            # Imports alone warn of what the imported deprecate among themselves, before any line of ours runs.
            warnings.simplefilter("ignore")
            # pytest imports hypothesis at the end, and that asks the collector who refers to what is frozen below.
            for module in ("hypothesis", "great_expectations.expectations", "flows.kinds", "flows.backfill"):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # else every collection of a session goes through a million objects that were imported here
        with pytest.MonkeyPatch.context() as patch:
            # A run freezes what it finds and gives it back at its end, what was imported along with it.
            patch.setattr(gc, "freeze", lambda: None)
            patch.setattr(gc, "unfreeze", lambda: None)
            yield


@pytest.fixture(scope="session")
def prefect(flows: None) -> Iterator[str]:
    """One Prefect server for the session, on a database of its own; its URL. Runs of a test that asks for it are there."""
    with served() as url:
        yield url


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flows: None, request: pytest.FixtureRequest
) -> Iterator[World]:
    """Both accounts. Runs are bare unless the test, or its module, asks for the fixture `prefect`."""
    monkeypatch.chdir(tmp_path)
    for name in ("CASPIO_SYNC_ENV_FILE", "CASPIO_SYNC_LEDGER_URL"):
        monkeypatch.delenv(name, raising=False)
    if "prefect" in request.fixturenames:
        server = request.getfixturevalue("prefect")
        repeat_at_once(monkeypatch)
    else:
        server = "http://127.0.0.1:9"  # nobody is there
        without_engine(monkeypatch)
    private = {
        # Set beforehand, so that `use_prefect` leaves them alone and nothing of them outlives the test.
        "PREFECT_API_URL": server,
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": os.environ.get("PREFECT_LOGGING_LEVEL", "WARNING"),
    }
    for name, value in {**ENVIRONMENT, **private}.items():
        monkeypatch.setenv(name, value)
    made = World(tmp_path)
    token, clock = CONNECT.set(replace(made.connect())), CLOCK.set(made.clock)
    yield made
    CONNECT.reset(token)
    CLOCK.reset(clock)
    made.caspio.close()


@pytest.fixture
def shop(world: World) -> Shop:
    """A small product table, and a sync of it to a catalog."""
    return Shop(world)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect leaves connections to its own server to the garbage collector; nothing else here opens one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(
                pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket .*127\.0\.0\.1:ResourceWarning")
            )


@pytest.fixture(scope="module", autouse=True)
def _left_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test elsewhere meets what Prefect leaves behind where there was a server, or what runs that were killed do."""
    yield
    tests = (each for each in request.session.items if isinstance(each, pytest.Function) and each.path == request.path)
    if any("prefect" in each.fixturenames for each in tests):
        # The one for events keeps itself alive from a thread, by random numbers, which hypothesis takes for a test's.
        importlib.import_module("prefect.events.worker").EventsWorker.drain_all(at_exit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
