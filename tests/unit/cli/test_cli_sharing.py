"""What `check` and `deploy` say of syncs that share a folder, and of those that no schedule may run."""

import json
from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from tests.unit.cli.conftest import SYNC, Shop


def findings(shop: Shop, name: str) -> tuple[int, Any]:
    result = shop.run("check", name, "--json")
    return result.exit_code, json.loads(result.output)["findings"]


def test_check_names_both_files_and_what_they_share(shop: Shop) -> None:
    shop.write_sync()
    shop.write_sync(SYNC, "others")
    for name, other in (("customers", "others"), ("others", "customers")):
        code, found = findings(shop, name)
        (error,) = [each for each in found if each["level"] == "error"]
        assert code == 2
        assert (
            f"syncs/{name}.yaml:1: {name} and {other} (syncs/{other}.yaml:1) both write first_name, email, spend"
            in (error["what"])
        )
        assert "owner: " in error["remedy"]
    with pytest.raises(ConfigurationError, match="both write first_name"):
        raise shop.run("plan", "customers").exception


def test_check_says_what_is_left_to_an_owner_and_who_is_apart(shop: Shop) -> None:
    shop.write_sync()
    shop.write_sync(f"{SYNC}  score: Number\nowner: customers\n", "scores")
    code, found = findings(shop, "scores")
    assert code == 0
    assert "left to customers, their owner: first_name, email, spend" in [each["what"] for each in found]
    shop.write_sync(f"{SYNC}apart_from: [customers]\n", "scores")
    code, found = findings(shop, "customers")
    assert code == 0
    assert "apart from scores: no key was sent by both" in [each["what"] for each in found]


def test_check_names_a_file_beside_that_cannot_be_read(shop: Shop) -> None:
    shop.write_sync()
    shop.write_sync("kind: [\n", "broken")
    code, found = findings(shop, "customers")
    assert code == 0
    assert any(each["what"].startswith("broken: its file cannot be read") for each in found)


def test_deploy_lists_what_it_left_out_and_why(shop: Shop) -> None:
    shop.run("init", "customers", "--table", "Customers")
    shop.write_sync(SYNC, "others")
    result = shop.run("deploy", "--write", "prefect.yaml")
    assert result.exit_code == 0, result.output
    assert (
        "left out: customers: enabled: false (syncs/customers.yaml:4); `caspio-sync run customers` runs it"
        in result.output
    )
    assert "name: customers\n" not in (shop.folder / "prefect.yaml").read_text()
