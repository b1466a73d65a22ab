"""Ledgers on both databases: SQLite in a file, and a PostgreSQL server started for the session where its binaries are."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_SCHEMAS = count(1)


def _postgresql_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _as_server_user(command: list[str]) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgreSQL:
    """A server on loopback, its data in a folder of its own."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.port = _free_port()
        self.url = f"postgresql://ledger@127.0.0.1:{self.port}/postgres"
        self._control = [f"{binaries}/pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
        self._options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        initdb = [f"{binaries}/initdb", "-D", f"{folder}/data", "-U", "ledger", "-A", "trust", "-E", "UTF8"]
        _as_server_user([*initdb, "--no-sync"])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        _as_server_user([*self._control, "-o", self._options, "start"])

    def stop(self) -> None:
        """End it at once, in the midst of whatever it does."""
        _as_server_user([*self._control, "-m", "immediate", "stop"])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server that ends with the session."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = _postgresql_binaries()
    if binaries is None or sys.platform == "win32":
        pytest.skip("no PostgreSQL server (initdb) on this machine")
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = PostgreSQL(folder, binaries)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
