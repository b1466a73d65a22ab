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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty database, whose server ends with the session."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = _postgresql_binaries()
    if binaries is None or sys.platform == "win32":
        pytest.skip("no PostgreSQL server (initdb) on this machine")
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir="/tmp"))
    port = _free_port()
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        _as_server_user(
            [f"{binaries}/initdb", "-D", f"{folder}/data", "-U", "ledger", "-A", "trust", "-E", "UTF8", "--no-sync"]
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        control = [f"{binaries}/pg_ctl", "-D", f"{folder}/data", "-w"]
        _as_server_user([*control, "-o", options, "-l", f"{folder}/log", "start"])
        try:
            yield f"postgresql://ledger@127.0.0.1:{port}/postgres"
        finally:
            _as_server_user([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
