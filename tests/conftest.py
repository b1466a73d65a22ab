"""The order of files; ledgers on SQLite in a file, and on a PostgreSQL server of the session where its binaries are."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.new_ledgers import migrated_once, unsynchronised
from tests.postgresql import PostgreSQL, missing, started

_SCHEMAS = count(1)
# A worker has a whole file at a time: what takes long begins first, so that none works alone at the end.
_FIRST = ("torture", "e2e", "flows", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; tests of a file stay together and as they are written."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(_FIRST)}
    items.sort(key=lambda item: min((ranks[each] for each in item.path.parents if each in ranks), default=len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _cheap_ledgers() -> Iterator[None]:
    """New ledgers without the work of nine migrations each, and without waits for the disk."""
    with migrated_once(), unsynchronised():
        yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server that ends with the session."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if (why := missing()) is not None:
        pytest.skip(why)
    with started() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(postgresql_server: PostgreSQL) -> str:
    """URL of an empty database."""
    return postgresql_server.url


@pytest.fixture
def postgresql_ledger(postgresql: str) -> str:
    """URL of a ledger that is not there yet, on PostgreSQL."""
    import psycopg

    schema = f"ledger_{next(_SCHEMAS)}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"{postgresql}?options=-csearch_path%3D{schema}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a ledger that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/50% ledger.db"
    return str(request.getfixturevalue("postgresql_ledger"))
