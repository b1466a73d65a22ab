"""State that was made readable by others is closed at the next start."""

from pathlib import Path

import pytest

from caspio_sync.private_files import close_to_others
from caspio_sync.settings import local_settings

OPEN = {
    "home": 0o755,
    "home/ledger.db": 0o644,
    "home/ledger.db-wal": 0o644,
    "home/inbox.db": 0o664,
    "home/prefect": 0o755,
    "home/prefect/prefect.db": 0o644,
    "home/serve/logs": 0o777,
    "home/notes.txt": 0o644,
    "home/bin/tool": 0o755,
}


def modes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mode & 0o777 for name in OPEN}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, mode in OPEN.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "." in path.name or path.name == "tool":
            path.write_text("x")
        else:
            path.mkdir(exist_ok=True)
        path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("named", [True, False])
def test_an_existing_state_folder_is_closed_by_any_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if named:
        monkeypatch.setenv("CASPIO_SYNC_HOME", "home")
    else:
        (folder / "home").rename(folder / ".caspio-sync")
        (folder / "home").symlink_to(".caspio-sync")
        monkeypatch.delenv("CASPIO_SYNC_HOME", raising=False)
    local_settings()
    # What is not ours keeps its rights: nobody reaches it through the folder.
    assert modes(folder) == {
        "home": 0o700,
        "home/ledger.db": 0o600,
        "home/ledger.db-wal": 0o600,
        "home/inbox.db": 0o600,
        "home/prefect": 0o700,
        "home/prefect/prefect.db": 0o600,
        "home/serve/logs": 0o700,
        "home/notes.txt": 0o644,
        "home/bin/tool": 0o755,
    }


def test_a_project_folder_as_state_folder_keeps_its_own_rights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "home")
    close_to_others(Path())
    assert modes(folder) == {
        **OPEN,
        "home/ledger.db": 0o600,
        "home/ledger.db-wal": 0o600,
        "home/inbox.db": 0o600,
        "home/prefect": 0o700,
        "home/prefect/prefect.db": 0o600,
        "home/serve/logs": 0o700,
    }


def test_a_folder_shared_with_a_group_on_purpose_stays(folder: Path) -> None:
    (folder / "home").chmod(0o2770)
    before = modes(folder)
    close_to_others(folder / "home", (f"sqlite:///{folder}/home/ledger.db",))
    assert modes(folder) == before


def test_a_ledger_elsewhere_is_closed_and_its_folder_is_not(folder: Path) -> None:
    close_to_others(folder / "none", (f"sqlite:///{folder}/home/ledger.db", "postgresql://host/database"))
    assert modes(folder) == {**OPEN, "home/ledger.db": 0o600, "home/ledger.db-wal": 0o600}


def test_a_link_is_not_followed(folder: Path) -> None:
    outside = folder / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    (folder / "home" / "prefect" / "link").symlink_to(outside)
    close_to_others(folder / "home")
    assert outside.stat().st_mode & 0o777 == 0o644
