from typing import Any

import pytest

from caspio_sync.engine.finding import findings_of
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.unit.cli.conftest import Shop

SYNC_LINES = {"cursor": "  cursor: ChangedAt\n", "email": "  email: Email\n"}


def whats(document: Any, level: str) -> list[str]:
    return [finding["what"] for finding in document["findings"] if finding["level"] == level]


def broken(shop: Shop, old: str, new: str) -> Any:
    shop.write_sync(shop.write_sync().read_text().replace(old, new))
    return shop.document("check", "customers")


def test_a_sound_set_up_has_no_errors_and_no_warnings(shop: Shop) -> None:
    shop.write_sync()
    result = shop.run("check", "customers")
    assert result.exit_code == 0, result.output
    assert "nothing stands in the way, 0 to think about" in result.output


def test_nothing_is_written_to_either_side(shop: Shop) -> None:
    shop.write_sync()
    before = shop.caspio.rows("Customers")
    shop.run("check", "customers")
    assert shop.braze.profiles() == {}
    assert shop.caspio.rows("Customers") == before


def test_json_names_the_sync_and_each_finding(shop: Shop) -> None:
    shop.write_sync()
    document = shop.document("check", "customers")
    assert document["sync"] == "customers"
    assert {"level", "what", "remedy"} == document["findings"][0].keys()
    assert "cursor ChangedAt: stamped on update, in GMT Standard Time" in whats(document, "ok")


def test_without_a_name_every_sync_is_looked_at_after_the_accounts(shop: Shop) -> None:
    shop.write_sync()
    shop.write_sync(name="more")
    assert [each["sync"] for each in shop.document("check")] == [None, "customers", "more"]


def test_no_sync_file_at_all_is_a_warning(shop: Shop) -> None:
    result = shop.run("check")
    assert result.exit_code == 0
    assert "caspio-sync init" in result.output


def test_missing_settings_are_listed_by_their_variables(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRAZE_API_KEY")
    monkeypatch.delenv("CASPIO_CLIENT_ID")
    result = shop.run("check", "customers")
    assert result.exit_code == 2
    assert "BRAZE_API_KEY" in result.output
    assert "CASPIO_CLIENT_ID" in result.output


def test_a_wrong_caspio_secret_does_not_hide_what_else_is_known(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_sync()
    monkeypatch.setenv("CASPIO_CLIENT_SECRET", "wrong-secret")
    document = shop.document("check", "customers")
    assert any("token" in what for what in whats(document, "error"))
    assert any(what.startswith("Braze:") for what in whats(document, "ok"))
    assert any("was not looked at" in what for what in whats(document, "warning"))
    assert "wrong-secret" not in str(document)
    assert shop.run("check", "customers").exit_code == 2


def test_a_wrong_braze_key_is_an_error_with_its_remedy(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_sync()
    monkeypatch.setenv("BRAZE_API_KEY", "wrong-key")
    document = shop.document("check", "customers")
    (error,) = [finding for finding in document["findings"] if finding["level"] == "error"]
    assert "401" in error["what"]
    assert "REST API key" in error["remedy"]
    assert "wrong-key" not in str(document)


def test_a_missing_sync_names_those_that_are_there(shop: Shop) -> None:
    shop.write_sync()
    assert any("customers" in f["remedy"] for f in shop.document("check", "custmers")["findings"])


def test_all_missing_fields_are_shown_at_once(shop: Shop) -> None:
    document = broken(shop, "  first_name: FirstName\n  email: Email\n", "  first_name: FirstNam\n  email: Mail\n")
    errors = whats(document, "error")
    assert len(errors) == 2
    assert "customers.yaml:8" in errors[0]
    assert "did you mean 'FirstName'?" in errors[0]


def test_a_missing_table_names_the_nearest(shop: Shop) -> None:
    errors = [f for f in broken(shop, "table: Customers", "table: Customer")["findings"] if f["level"] == "error"]
    assert len(errors) == 1
    assert "did you mean Customers?" in errors[0]["remedy"]


def test_a_cursor_that_is_not_stamped_on_update_is_an_error(shop: Shop) -> None:
    (error,) = whats(broken(shop, "cursor: ChangedAt", "cursor: CreatedAt"), "error")
    assert "not stamped on update" in error


def test_no_cursor_where_one_could_be_is_a_warning(shop: Shop) -> None:
    (warning,) = whats(broken(shop, SYNC_LINES["cursor"], ""), "warning")
    assert "every run reads all rows" in warning


def test_an_identity_that_is_not_unique_is_a_warning(shop: Shop) -> None:
    (warning,) = whats(broken(shop, "external_id: CustomerNo", "external_id: FirstName"), "warning")
    assert "does not keep it unique" in warning


@pytest.mark.parametrize(("seconds", "word"), [(91, "ahead of"), (-90, "behind")])
def test_clocks_that_differ_by_more_than_half_a_minute_are_a_warning(shop: Shop, seconds: float, word: str) -> None:
    shop.write_sync()
    (shop.clock if seconds > 0 else shop.caspio_clock).advance(abs(seconds))
    (warning,) = whats(shop.document("check", "customers"), "warning")
    assert f"90 s {word} Caspio's" in warning


def test_a_cursor_without_a_time_zone_is_a_warning(shop: Shop) -> None:
    shop.caspio.create_table(
        "Zoneless",
        [{"Name": "Id", "Type": "STRING", "Unique": True}, {"Name": "At", "Type": "TIMESTAMP", "OnUpdate": True}],
    )
    shop.write_sync(
        "kind: profiles\nsource: {table: Zoneless, cursor: At}\nidentity: {external_id: Id}\nfields: {label: Id}\n"
    )
    (warning,) = whats(shop.document("check", "customers"), "warning")
    assert "no time zone" in warning


@pytest.mark.parametrize("side", ["caspio", "braze"])
def test_an_account_out_of_reach_is_an_error_that_says_to_try_again(shop: Shop, side: str) -> None:
    shop.write_sync()
    shop.unreachable.add(side)
    (error,) = [each for each in shop.document("check", "customers")["findings"] if each["level"] == "error"]
    assert "no answer" in error["what"]
    assert error["remedy"].startswith("try again")


def test_an_expectation_about_an_unmapped_column_is_an_error(shop: Shop) -> None:
    gate = (
        "gate:\n  expectations:\n"
        "    - {type: expect_column_values_to_be_between, kwargs: {column: spent, max_value: 9}}\n"
    )
    shop.write_sync(shop.write_sync().read_text() + gate)
    (error,) = whats(shop.document("check", "customers"), "error")
    assert "names spent, which is not mapped" in error


def test_an_expectation_that_cannot_be_built_is_an_error(shop: Shop) -> None:
    gate = "gate:\n  expectations:\n    - {type: expect_column_values_to_sing, kwargs: {column: spend}}\n"
    shop.write_sync(shop.write_sync().read_text() + gate)
    (error,) = whats(shop.document("check", "customers"), "error")
    assert "expect_column_values_to_sing" in error


def test_a_condition_that_caspio_refuses_is_an_error(shop: Shop) -> None:
    document = broken(shop, SYNC_LINES["cursor"], SYNC_LINES["cursor"] + "  where: Nothing = 1\n")
    assert len(whats(document, "error")) == 1


def test_a_ledger_that_cannot_be_opened_is_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_sync()
    (shop.folder / "file").write_text("no folder")
    monkeypatch.setenv("CASPIO_SYNC_HOME", str(shop.folder / "file"))
    assert len(whats(shop.document("check", "customers"), "error")) == 1


def test_the_write_test_writes_one_attribute_and_says_so(shop: Shop) -> None:
    shop.write_sync()
    result = shop.run("check", "customers", "--write-test", "tester")
    assert result.exit_code == 0, result.output
    assert "WROTE caspio_sync_test" in result.output
    profile = shop.braze.profile("tester")
    assert profile["custom_attributes"].keys() == {"caspio_sync_test"}


def test_the_write_test_of_an_unusable_id_is_an_error(shop: Shop) -> None:
    shop.write_sync()
    result = shop.run("check", "customers", "--write-test", "x" * 1000)
    assert result.exit_code == 2


def test_an_error_that_may_pass_says_to_try_again() -> None:
    (finding,) = findings_of(TransientError("reading tables: no answer"))
    assert finding.remedy.startswith("try again")


def test_every_line_of_an_error_is_a_finding() -> None:
    found = findings_of(ConfigurationError("a.yaml:1: one; do this\na.yaml:2: two; do that"))
    assert [(each.what, each.remedy) for each in found] == [("a.yaml:1: one", "do this"), ("a.yaml:2: two", "do that")]


BY_TABLE = "erasure:\n  table: Requests\n  key: CustomerNo\n"


def test_check_looks_at_the_table_of_erasure_requests(shop: Shop) -> None:
    shop.caspio.create_table("Requests", [{"Name": "CustomerNo", "Type": "STRING"}])
    shop.caspio.insert_rows("Requests", [{"CustomerNo": "A1"}])
    shop.write_sync(shop.write_sync().read_text() + BY_TABLE)
    result = shop.run("check", "customers")
    assert result.exit_code == 0
    assert "erasure: 1 requests in table Requests; the Braze key may delete (users.delete)" in result.stdout


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (BY_TABLE.replace("Requests", "Request"), "did you mean Requests?"),
        (BY_TABLE.replace("CustomerNo", "Customer"), "customers.yaml:13: table Requests has no field Customer"),
        ("erasure:\n  where: Nothing=1\n", "Nothing"),
    ],
)
def test_check_names_what_is_wrong_with_erasure(shop: Shop, section: str, words: str) -> None:
    shop.caspio.create_table("Requests", [{"Name": "CustomerNo", "Type": "STRING"}])
    shop.write_sync(shop.write_sync().read_text() + section)
    result = shop.run("check", "customers")
    assert result.exit_code == 2
    assert words in result.stdout


def test_check_says_that_the_key_may_not_delete(shop: Shop) -> None:
    shop.braze = BrazeSandbox(BrazeBehaviour(keys={SANDBOX_KEY: PERMISSIONS - {"users.delete"}}), shop.clock)
    shop.write_sync(shop.write_sync().read_text() + "erasure:\n  where: Spend=0\n")
    result = shop.run("check", "customers")
    assert result.exit_code == 2
    assert "users.delete" in result.stdout


def test_only_the_accounts_of_the_named_sync_are_asked_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACTIVECAMPAIGN_URL", "ACTIVECAMPAIGN_KEY"):
        monkeypatch.delenv(name, raising=False)
    shop.write_sync()
    shop.write_sync("kind: profiles\ndestination: activecampaign\nfields: {a: Nothing}\n", name="contacts")
    assert shop.run("check", "customers").exit_code == 0
    everything = [each["what"] for document in shop.document("check") for each in document["findings"]]
    assert any("ACTIVECAMPAIGN_KEY" in what for what in everything)
    monkeypatch.setenv("ACTIVECAMPAIGN_URL", "https://account.api-us1.com")
    monkeypatch.setenv("ACTIVECAMPAIGN_KEY", "key")
    monkeypatch.delenv("BRAZE_API_KEY")
    named = [each["what"] for each in shop.document("check", "contacts")["findings"]]
    assert not any("BRAZE" in what or "Braze" in what for what in named), named
