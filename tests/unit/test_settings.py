"""Settings as people type, paste and save them."""

from pathlib import Path

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import (
    current_settings,
    destination_settings,
    every_setting,
    load_settings,
    local_settings,
    receiver_settings,
)

SOUND = {
    "CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com",
    "CASPIO_CLIENT_ID": "id",
    "CASPIO_CLIENT_SECRET": "secret",
    "BRAZE_API_KEY": "key",
    "BRAZE_INSTANCE": "EU-01",
}
EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*SOUND, "BRAZE_REST_ENDPOINT", "CASPIO_SYNC_HOME", "CASPIO_SYNC_LEDGER_URL", "CASPIO_SYNC_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


@pytest.mark.parametrize(
    ("given", "field", "read"),
    [
        ({"CASPIO_CLIENT_ID": "id\r\n"}, "caspio_client_id", "id"),
        ({"CASPIO_CLIENT_SECRET": " secret\n"}, "caspio_client_secret", "secret"),
        ({"BRAZE_API_KEY": "\ufeffkey\u200b"}, "braze_api_key", "key"),
        ({"CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com \n"}, "caspio_integration_url", SOUND["CASPIO_INTEGRATION_URL"]),
        ({"CASPIO_SYNC_HOME": "state\n"}, "home", Path("state")),
        ({"BRAZE_REST_ENDPOINT": ""}, "braze_endpoint", "https://rest.fra-01.braze.eu"),
        ({"BRAZE_REST_ENDPOINT": " "}, "braze_endpoint", "https://rest.fra-01.braze.eu"),
        ({"BRAZE_INSTANCE": "eu-01"}, "braze_endpoint", "https://rest.fra-01.braze.eu"),
        ({"BRAZE_INSTANCE": "", "BRAZE_REST_ENDPOINT": "https://rest.example"}, "braze_endpoint", "https://rest.example"),
        ({"CASPIO_SYNC_SENDER": "Inline"}, "sender", "inline"),
        ({"CASPIO_SYNC_SENDER": ""}, "sender", "auto"),
        ({"CASPIO_CALLS_PER_DAY": ""}, "caspio_calls_per_day", None),
        ({"CASPIO_CALLS_PER_WINDOW": ""}, "caspio_calls_per_window", 2000),
        ({"CASPIO_SYNC_HOME": ""}, "home", Path(".caspio-sync")),
        ({"CASPIO_SYNC_SYNCS": " "}, "syncs", Path("syncs")),
        ({"CASPIO_SYNC_LEDGER_URL": ""}, "ledger", None),
        ({"CASPIO_SYNC_NOTIFY_URL": ""}, "notify_url", None),
        ({"CASPIO_SYNC_NOTIFY_SHARE": ""}, "notify_share", 5.0),
        ({"CASPIO_SYNC_KEEP_DAYS": ""}, "keep_days", 90),
    ],
)  # fmt: skip
def test_blanks_are_no_part_of_a_value_and_an_empty_one_is_not_set(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], field: str, read: object
) -> None:
    for name, value in {**SOUND, **given}.items():
        monkeypatch.setenv(name, value)
    settings = destination_settings("braze") if field.startswith("braze") else every_setting()
    found = getattr(settings, field)
    assert (found.get_secret_value() if hasattr(found, "get_secret_value") else found) == read


def test_an_empty_variable_leaves_the_file_its_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text(lines(SOUND))
    monkeypatch.setenv("BRAZE_INSTANCE", "")
    assert destination_settings("braze").braze_instance == "EU-01"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_with_the_mark_of_utf_8_is_read_from_its_first_name(folder: Path, encoding: str) -> None:
    (folder / ".env").write_bytes(lines(SOUND).encode(encoding))
    assert current_settings().caspio_integration_url == SOUND["CASPIO_INTEGRATION_URL"]


@pytest.mark.parametrize("read", [current_settings, local_settings, receiver_settings])
@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("BRAZE_API_KEY=hunter2".encode("utf-16"), r"\.env is in UTF-16"),
        ("BRAZE_API_KEY=hunter2".encode("utf-16-be"), r"\.env is in UTF-16"),
        ("A=1\n# Schlüssel\nBRAZE_API_KEY=hunter2".encode("cp1252"), r"\.env, line 2: not UTF-8.*Windows-1252"),
    ],
)
def test_a_file_in_another_encoding_is_named_with_it(folder: Path, read: object, raw: bytes, why: str) -> None:
    (folder / ".env").write_bytes(raw)
    with pytest.raises(ConfigurationError, match=why) as refused:
        read()  # type: ignore[operator]
    assert "hunter2" not in str(refused.value)


def test_the_sign_for_home_is_read_as_a_shell_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "me"))
    given = {**SOUND, "CASPIO_SYNC_HOME": "~/state", "CASPIO_SYNC_SYNCS": "~/syncs"}
    (folder / ".env").write_text(lines(given))
    read = current_settings()
    assert (read.home, read.syncs) == (folder / "me" / "state", folder / "me" / "syncs")


@pytest.mark.parametrize("home", ["~/state", "~nobody-of-this-name/state"])
def test_a_folder_made_before_and_a_home_of_nobody_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """To leave that folder for the new one would be a ledger that knows nothing, and a full send."""
    (folder / "~" / "state").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / ".env").write_text(lines({**SOUND, "CASPIO_SYNC_HOME": home}))
    with pytest.raises(ConfigurationError, match=r"CASPIO_SYNC_HOME.*(move it to where|whole path)"):
        current_settings()


def test_a_folder_in_place_of_the_file_is_told(folder: Path) -> None:
    (folder / ".env").mkdir()
    with pytest.raises(ConfigurationError, match=r"\.env is a folder"):
        current_settings()


def test_a_file_just_copied_says_what_is_not_set(folder: Path) -> None:
    (folder / ".env").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        current_settings("customers")
    told = [line.strip() for line in str(refused.value).splitlines() if line.startswith("  ")]
    assert told == [
        "CASPIO_CLIENT_ID: not set (Client ID of the Web Services API profile)",
        "CASPIO_CLIENT_SECRET: not set (Client Secret of the same profile)",
        "BRAZE_API_KEY: not set (REST API key with users.track and users.export.ids)",
    ]


def test_a_receiver_without_its_token_is_told_which(folder: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"CASPIO_SYNC_RECEIVER_TOKEN: .*not set \(bearer token.*CASPIO_SYNC_WEBHOOKS"
    ):
        receiver_settings()


def test_looking_at_this_machine_needs_no_key(folder: Path) -> None:
    assert local_settings().ledger_url == "sqlite:///.caspio-sync/ledger.db"


@pytest.mark.parametrize("keys", ["short", "A" * 43, "A" * 43 + "=,", "*" * 43 + "=", "A" * 44 + "="])
def test_keys_that_encrypt_nothing_are_refused_and_not_shown(tmp_path: Path, keys: str) -> None:
    file = tmp_path / "own.env"
    file.write_text(f"CASPIO_SYNC_PAYLOAD_KEYS={keys}\n")
    with pytest.raises(ConfigurationError, match="CASPIO_SYNC_PAYLOAD_KEYS: each key is 32 bytes") as told:
        load_settings(file)
    assert keys not in str(told.value)
