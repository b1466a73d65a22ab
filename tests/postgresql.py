"""A PostgreSQL server of our own, where its binaries are on this machine."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _postgresql_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _as_server_user(command: list[str]) -> None:
    # PostgreSQL refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgreSQL:
    """A server on loopback, its data in a folder of its own."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.port = free_port()
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


def missing() -> str | None:
    """Why there can be none here."""
    if _postgresql_binaries() is None or sys.platform == "win32":
        return "no PostgreSQL server (initdb) on this machine"
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


@contextlib.contextmanager
def started() -> Iterator[PostgreSQL]:
    """A server that ends with the block."""
    binaries = _postgresql_binaries()
    assert binaries is not None, missing()
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
