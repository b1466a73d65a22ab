"""A Prefect server for a whole session, on a database of its own; nothing of the machine's Prefect is read or written."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

AUTHORITY = Path(__file__).parent / "data" / "certificates" / "authority.pem"


@contextlib.contextmanager
def private_settings(home: Path) -> Iterator[None]:
    """Prefect's settings, our own: they are read when it is imported."""
    private = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        # The server is on loopback: reading the machine's certificates takes 20 ms a client, several a run.
        "PREFECT_API_SSL_CERT_FILE": str(AUTHORITY),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in private.items():
            patch.setenv(name, value)
        yield


@contextlib.contextmanager
def served() -> Iterator[str]:
    """A running server; its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        testing = importlib.import_module("prefect.testing.utilities")
    # A busy machine takes its time to start a server.
    with testing.prefect_test_harness(server_startup_timeout=240):
        yield str(importlib.import_module("prefect.settings").PREFECT_API_URL.value())
