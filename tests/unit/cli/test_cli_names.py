"""Every command takes a sync by its name or by the path to its file, and means the same sync."""

import json
import os

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import account_variables
from caspio_sync.sync_files import FILE_VARIABLE
from tests.unit.cli.conftest import Shop


@pytest.fixture(autouse=True)
def _no_file_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, "")  # restored, whatever a command sets


@pytest.mark.parametrize("given", ["customers", "syncs/customers.yaml", "./syncs/customers.yaml"])
@pytest.mark.parametrize("command", [["check"], ["plan"], ["status"]])
def test_a_path_that_tab_offers_is_the_sync(shop: Shop, command: list[str], given: str) -> None:
    shop.write_sync()
    result = shop.run(*command, given, "--json")
    document = json.loads(result.output)
    assert (document.get("report") or document)["sync"] == "customers"


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["plan"],
        ["check"],
        ["verify"],
        ["status"],
        ["why", "--", None, "A1"],
        ["backfill", "--pk", "1..2"],
        ["erase", "--", None, "A1"],
        ["quarantine", "list"],
        ["quarantine", "export"],
        ["quarantine", "release", "--all"],
        ["quarantine", "show", "--", None, "A1"],
        ["init", "--table", "Customers"],
    ],
)
def test_no_command_takes_what_is_no_name(shop: Shop, command: list[str]) -> None:
    arguments = [each or "kunden.de" for each in command] if None in command else [*command, "kunden.de"]
    result = shop.run(*arguments)
    assert isinstance(result.exception, ConfigurationError), result.output
    assert "'kunden.de' is no name for a sync" in str(result.exception)


@pytest.mark.parametrize("command", [["status"], ["quarantine", "list"], ["quarantine", "export"]])
def test_a_path_asks_for_no_key_where_the_name_does_not(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    shop.write_sync()
    for name in account_variables():
        monkeypatch.delenv(name, raising=False)
    result = shop.run(*command, "syncs/customers.yaml")
    assert result.exit_code == 0, result.exception


@pytest.mark.parametrize("command", [["run"], ["plan"], ["verify"], ["backfill", "--pk", "1..2"], ["erase", "A1"]])
def test_what_sends_asks_for_the_keys_first(shop: Shop, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    shop.write_sync()
    monkeypatch.delenv("BRAZE_API_KEY")
    result = shop.run(command[0], "customers", *command[1:])
    assert "BRAZE_API_KEY: not set" in f"{result.output} {result.exception}"
    assert shop.caspio.calls == 0
    assert not (shop.folder / ".caspio-sync" / "ledger.db").exists()


def test_a_file_from_another_place_is_used_under_its_name(shop: Shop) -> None:
    shop.write_sync()
    draft = shop.folder / "draft.yaml"
    draft.write_text((shop.folder / "syncs" / "customers.yaml").read_text().replace("first_name", "called"))
    (shop.folder / "syncs" / "customers.yaml").unlink()
    document = json.loads(shop.run("plan", str(draft), "--json").output)
    assert document["report"]["sync"] == "draft"
    assert "called" in document["samples"][0]


def test_a_file_from_another_place_may_not_bear_the_name_of_another_sync(shop: Shop) -> None:
    shop.write_sync()
    (shop.folder / "customers.yaml").write_text("x: 1\n")
    result = shop.run("run", "./customers.yaml")
    assert isinstance(result.exception, ConfigurationError)
    assert "are one sync by their name, 'customers'" in str(result.exception)
    assert not os.environ.get(FILE_VARIABLE)


def test_init_writes_no_second_file_of_a_name(shop: Shop) -> None:
    (shop.folder / "syncs").mkdir()
    (shop.folder / "syncs" / "customers.yml").write_text("mine: true\n")
    result = shop.run("init", "customers", "--table", "Customers")
    assert isinstance(result.exception, ConfigurationError)
    assert "customers.yml: is there already" in str(result.exception)


@pytest.mark.parametrize("given", ["people", "syncs/people.yaml", "people.yml"])
def test_init_takes_the_path_of_the_file_it_is_to_write(shop: Shop, given: str) -> None:
    assert shop.run("init", given, "--table", "Customers").exit_code == 0
    assert [each.name for each in (shop.folder / "syncs").iterdir()] == ["people.yaml"]
