"""The folder for what the product keeps: made, or refused by name."""

from pathlib import Path

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.state import state_folder


def test_it_is_made_where_it_is_not_there(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "a" / "b").is_dir()
    assert state_folder(tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_one_that_cannot_be_made_is_refused_by_name(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=rf"the state folder .*{Path(place).name} cannot be used.*SYNC_HOME"):
        state_folder(tmp_path / place)


def test_one_that_cannot_be_written_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # the tests may run as root, who may write anywhere
    with pytest.raises(ConfigurationError, match="it is read-only"):
        state_folder(tmp_path)
