"""What is read of settings without pydantic is what pydantic reads; what is not plain, and what is wrong, is left to it."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync import registry
from caspio_sync.clock import SystemClock
from caspio_sync.engine.accounts import workspace_of
from caspio_sync.engine.connect import account_of
from caspio_sync.engine.destination import destination_named
from caspio_sync.errors import ConfigurationError
from caspio_sync.plain_settings import LOCAL, OF_A_RUN, UnusualError, plain_settings
from caspio_sync.settings import (
    LocalSettings,
    Settings,
    current_settings,
    destination_settings,
    local_settings,
    variables,
)

SYNC = "kind: profiles\nsource: {table: T}\nidentity: {external_id: No}\nfields: {a: A}\n"
NAMES = sorted({*LOCAL, *OF_A_RUN, *(name for each in registry.PLAIN.values() for name in registry.found(each).forms)})
SOUND = {
    "CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com",
    "CASPIO_CLIENT_ID": "id",
    "CASPIO_CLIENT_SECRET": "secret",
    "BRAZE_INSTANCE": "EU-01",
    "BRAZE_API_KEY": "key",
    "ACTIVECAMPAIGN_URL": "https://account.api-us1.com",
    "ACTIVECAMPAIGN_KEY": "key",
}
ODD = [
    "", " ", "0", "1", "2", "007", "1.5", "-1", "1e3", "nan", "inf", "99999999999", "0.0", "16", "17", "128", "129", "true", "FALSE",
    "yes", "on", "~", "~/state", "./~", "state", "/tmp/state", "a b", "https://x.caspio.com", "https://x.caspio.com/", "HTTPS://X.CASPIO.COM",
    "http://x.caspio.com", "http://localhost:8080", "http://127.0.0.1:61234", "https://localhost", "x.caspio.com", "https://", "https://x:0",
    "https://x.caspio.com:99999", "https://user:pass@x.caspio.com", "https://x.caspio.com?key=1", "https://x_y.caspio.com", "https://-x.com",
    "https://bücher.example", "https://xn--zz--.com", "https://1.2.3.4", "https://[::1]", "EU-01", "eu-01", "eu-99", "auto", "Inline", "process",
    "sqlite:///a.db", "postgresql://u:p@h/d", "secret\t", "\u200bkey", "5", "5.0", "4.9999999", "0.5", "65000", "100", "99.9",
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, "CASPIO_SYNC_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "syncs"
    folder.mkdir()
    (folder / "people.yaml").write_text(SYNC)
    (folder / "contacts.yaml").write_text(SYNC + "destination: activecampaign\n")
    return tmp_path


def test_every_setting_has_a_form() -> None:
    assert set(LOCAL) == set(variables(LocalSettings))
    assert set(LOCAL) | set(OF_A_RUN) == set(variables(Settings))
    # Where an endpoint is, its sync files say: it is loaded to ask it.
    assert registry.PLAIN.keys() == registry.DESTINATIONS.keys() - {"http"}
    for name, address in registry.PLAIN.items():
        destination, plain = destination_named(name), registry.found(address)
        own = set(variables(destination.settings)) - set(variables(LocalSettings))
        assert (set(plain.forms), plain.title) == (own, destination.title)


def plain() -> tuple[object, ...] | str:
    try:
        found = plain_settings()
    except UnusualError:
        return "unusual"
    except ConfigurationError as error:
        return str(error)
    return seen(found)


def pydantic() -> tuple[object, ...] | str:
    try:
        return seen(local_settings())
    except ConfigurationError as error:
        return str(error)


def seen(found: object) -> tuple[object, ...]:
    names = (
        "home",
        "syncs",
        "sandbox",
        "ledger_url",
        "inbox_url",
        "has_inbox",
        "caspio_integration_url",
        "caspio_calls_per_day",
        "sync_files",
    )
    return tuple(getattr(found, name) for name in names)


def account(sync: str, destination: str) -> object:
    """Accounts as plain settings know them."""
    try:
        found = plain_settings()
        address, key = found.account(registry.found(registry.PLAIN[destination]))
    except UnusualError:
        return "unusual"
    except ConfigurationError:
        return "incomplete"
    return workspace_of(caspio=found.caspio_integration_url, destination=destination, address=address, key=key, salt=1)


def account_by_pydantic(sync: str, destination: str) -> object:
    try:
        found = current_settings(sync)
        made = account_of(destination_named(destination), SystemClock())
        destination_settings(destination)
    except ConfigurationError:
        return "incomplete"
    return workspace_of(
        caspio=found.caspio_integration_url, destination=destination, address=made.address, key=made.secret, salt=1
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=st.dictionaries(st.sampled_from(sorted({*NAMES} - {"CASPIO_SYNC_FILE"})), st.sampled_from(ODD), max_size=3),
    missing=st.sets(st.sampled_from(sorted(SOUND)), max_size=1),
    in_file=st.booleans(),
)
def test_what_is_plain_is_read_alike(given: Mapping[str, str], missing: set[str], in_file: bool, place: Path) -> None:
    values = {name: value for name, value in {**SOUND, **given}.items() if name not in missing}
    with pytest.MonkeyPatch.context() as patch:
        if in_file:
            lines = "".join(f"{name}='{value}'\n" for name, value in values.items())
            (place / ".env").write_text(lines, encoding="utf-8")
        else:
            (place / ".env").unlink(missing_ok=True)
            for name, value in values.items():
                patch.setenv(name, value)
        found = plain()
        assert found in {"unusual", pydantic()} if isinstance(found, str) else found == pydantic()
        for sync, destination in (("people", "braze"), ("contacts", "activecampaign")):
            if not isinstance(found, tuple) or not (Path(str(found[1])) / f"{sync}.yaml").is_file():
                continue  # pydantic asks a sync without a file for Braze's account
            if (present := account(sync, destination)) != "unusual":
                assert present == account_by_pydantic(sync, destination)


def test_usual_settings_are_plain() -> None:
    for name, value in SOUND.items():
        os.environ[name] = value
    try:
        assert isinstance(plain(), tuple)
        assert {type(account(*each)).__name__ for each in (("people", "braze"), ("contacts", "activecampaign"))} == {
            "Workspace"
        }
    finally:
        for name in SOUND:
            del os.environ[name]


def test_the_environment_wins_over_the_file_and_names_are_read_in_any_case(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / ".env").write_text(
        "\ufeffexport caspio_sync_home=file\nCASPIO_SYNC_SYNCS=in-file # as typed\nCASPIO_CALLS_PER_DAY=${NONE}\n"
    )
    monkeypatch.setenv("Caspio_Sync_Home", "environment ")
    monkeypatch.setenv("CASPIO_SYNC_SYNCS", "")
    assert plain() == pydantic()
    assert (plain_settings().home, plain_settings().syncs) == (Path("environment"), Path("in-file"))


def test_a_settings_file_that_is_not_there_is_left_to_pydantic(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_ENV_FILE", "no-such-file")
    assert plain() == "unusual"
    monkeypatch.setenv("CASPIO_SYNC_ENV_FILE", str(place))
    assert plain() == "unusual"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_CLIENT_SECRET", "hush")
    assert "hush" not in repr(plain_settings())
