"""Options of the command line that stand alone, and how keys are given."""

from pathlib import Path

import pytest

from caspio_sync import __version__
from caspio_sync.cli.run import split_keys
from caspio_sync.errors import ConfigurationError
from tests.unit.cli.conftest import Shop


def test_the_version_needs_no_command(shop: Shop) -> None:
    ended = shop.run("--version")
    assert (ended.exit_code, ended.output) == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("lists", "single", "keys"),
    [
        (None, None, []),
        (["a,b , c,"], None, ["a", "b", "c"]),
        (["a,b", "c"], None, ["a", "b", "c"]),
        (None, ["Smith, John", " d\u200b"], ["Smith, John", "d"]),
        (["a"], ["b,c"], ["a", "b,c"]),
    ],
)
def test_keys_in_lists_and_one_by_one(lists: list[str] | None, single: list[str] | None, keys: list[str]) -> None:
    assert [each.get_secret_value() for each in split_keys(lists, single)] == keys


@pytest.mark.parametrize("lists", [[""], [" , "], ["\u200b"]])
def test_no_key_at_all_is_not_every_row(lists: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="names no key"):
        split_keys(lists, None)


@pytest.mark.parametrize(
    "command", [("status",), ("quarantine", "list", "customers"), ("quarantine", "export", "customers"), ("audit", "verify")]
)  # fmt: skip
def test_looking_needs_no_key(shop: Shop, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    shop.write_sync()
    shop.record({"A1": ("sent", None)})
    for name in (
        "CASPIO_INTEGRATION_URL",
        "CASPIO_CLIENT_ID",
        "CASPIO_CLIENT_SECRET",
        "BRAZE_REST_ENDPOINT",
        "BRAZE_API_KEY",
    ):
        monkeypatch.delenv(name)
    ended = shop.run(*command)
    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize("command", ["check", "doctor"])
@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o640, True), (0o600, False)])
def test_keys_that_others_can_read_are_warned_of(shop: Shop, command: str, mode: int, told: bool) -> None:
    shop.write_sync()
    env_file = Path(".env")
    env_file.write_text("BRAZE_TRACK_LIMIT=3000\n", encoding="utf-8")
    env_file.chmod(mode)
    assert ("→ `chmod 600 .env`" in shop.run(command).output) == told
