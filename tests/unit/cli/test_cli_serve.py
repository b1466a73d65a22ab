"""What `serve` prints and lets stand in; the servers themselves are started in tests/e2e."""

import shlex
from pathlib import Path

import pytest

from caspio_sync.cli import serve
from caspio_sync.env_file import ENV_FILE_VARIABLE
from caspio_sync.settings import variables


@pytest.fixture(autouse=True)
def _told_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (ENV_FILE_VARIABLE, *variables()):
        monkeypatch.delenv(name, raising=False)


def command() -> list[str]:
    """What another shell is to type, as words."""
    return shlex.split(serve.command_elsewhere(4300), comments=False)


def test_another_shell_is_told_what_this_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command() == ["PREFECT_API_URL=http://127.0.0.1:4300/api", "caspio-sync", "doctor"]
    monkeypatch.setenv(ENV_FILE_VARIABLE, "live accounts.env")
    monkeypatch.setenv("CASPIO_SYNC_HOME", "/var/lib/caspio sync")
    assert command() == [
        f"{ENV_FILE_VARIABLE}=live accounts.env",
        "CASPIO_SYNC_HOME=/var/lib/caspio sync",
        "PREFECT_API_URL=http://127.0.0.1:4300/api",
        "caspio-sync",
        "doctor",
    ]


def test_what_is_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", "postgresql://user:hidden@host/ledger")
    monkeypatch.setenv("BRAZE_API_KEY", "hidden")
    said = serve.command_elsewhere(4300)
    assert "hidden" not in said
    assert said.endswith("doctor  (first export there, as here: BRAZE_API_KEY, CASPIO_SYNC_LEDGER_URL)")
