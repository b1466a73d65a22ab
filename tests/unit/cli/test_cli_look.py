import json
from datetime import timedelta

import jsonschema
import pytest
import yaml

from caspio_sync.errors import ConfigurationError
from caspio_sync.spans import duration
from tests.unit.cli.conftest import Shop

HELD = {
    "A1": ("sent", None),
    "B2": ("quarantined", "email_format | email: is no address (xxx xx xxxxxxx)"),
    "C3": ("rejected", "invalid external_id"),
}
REPORT = {"read": 3, "new": 3, "changed": 0, "unchanged": 0, "sent": 1, "caspio_calls": 5, "verdicts": {"sent": 1}}


@pytest.fixture
def recorded(shop: Shop) -> Shop:
    shop.write_sync()
    shop.record(HELD)
    with shop.ledger() as ledger:
        ledger.finish_run("run-1", state="done", exit_code=0, report=REPORT)
        ledger.move_cursor("customers", watermark=shop.clock.now(), where_digest="x")
    shop.clock.advance(600)
    return shop


# status


def test_status_tells_the_last_run_the_cursor_and_the_rows(recorded: Shop) -> None:
    state = recorded.document("status", "customers")
    assert state["last_run"]["exit_code"] == 0
    assert state["last_run"]["counts"]["read"] == 3
    assert state["last_run"]["caspio_calls"] == 5
    assert state["rows"] == {"quarantined": 1, "rejected": 1, "sent": 1}
    assert state["cursor"].startswith("2026-03-02T12:00:00")
    assert state["newest_delivered_age_seconds"] == 600


def test_status_for_people_says_the_same(recorded: Shop) -> None:
    output = recorded.run("status").output
    assert "10 min ago" in output
    assert "quarantined 1, rejected 1, sent 1" in output


def test_status_lists_files_without_runs_and_runs_without_files(recorded: Shop) -> None:
    recorded.write_sync(name="new")
    (recorded.folder / "syncs" / "customers.yaml").unlink()
    found = {each["sync"]: (each["has_file"], each["last_run"] is not None) for each in recorded.document("status")}
    assert found == {"customers": (False, True), "new": (True, False)}


def test_status_calls_a_run_without_a_process_abandoned(shop: Shop) -> None:
    shop.write_sync()
    shop.record(HELD)
    assert shop.document("status", "customers")["last_run"]["state"] == "abandoned"


def test_status_of_a_run_under_way_is_running(shop: Shop) -> None:
    shop.write_sync()
    shop.record(HELD)
    with shop.ledger() as ledger:
        ledger.acquire_lease("customers", "somebody")
    assert shop.document("status", "customers")["last_run"]["state"] == "running"


def test_status_of_an_unknown_sync_names_the_others(recorded: Shop) -> None:
    result = recorded.run("status", "custmers")
    assert isinstance(result.exception, ConfigurationError)
    assert "there are: customers" in str(result.exception)


def test_status_makes_no_call(recorded: Shop) -> None:
    calls = recorded.caspio.calls
    recorded.run("status")
    assert (recorded.caspio.calls, recorded.braze.requests) == (calls, 0)


# why


def test_why_tells_what_was_sent_and_that_nothing_is_left(recorded: Shop) -> None:
    told = recorded.document("why", "customers", "A1")
    assert told["caspio"]["values"]["FirstName"] == "Ada"
    assert told["mapped"]["values"]["email"] == "ada@example.com"
    assert (told["mapped"]["operation"], told["mapped"]["differs"]) == (None, [])
    assert told["ledger"]["verdict"] == "sent"
    (outcome,) = told["ledger"]["outcomes"]
    assert (outcome["run"], outcome["request"], outcome["status"]) == ("run-1", 4, 201)
    assert outcome["fields"] == ["first_name", "email", "spend"]


def test_why_names_the_fields_that_changed_since(recorded: Shop) -> None:
    recorded.caspio.update_rows("Customers", {"Spend": 99}, "CustomerNo='A1'")
    told = recorded.document("why", "customers", "A1")
    assert (told["mapped"]["operation"], told["mapped"]["differs"]) == ("changed", ["spend"])


def test_why_tells_which_expectation_a_row_fails(recorded: Shop) -> None:
    told = recorded.document("why", "customers", "B2")
    failed = [check["name"] for check in told["mapped"]["checks"] if not check["passed"]]
    assert len(failed) == 1
    assert "email" in failed[0]
    assert told["mapped"]["ill_formed"] == ["email"]
    assert "not an address" not in told["mapped"]["problems"]


def test_why_for_people_shows_values_gate_and_history(recorded: Shop) -> None:
    output = recorded.run("why", "customers", "B2").output
    assert "not an address" in output
    assert "gate: not met" in output
    assert "Last verdict: quarantined" in output
    assert "Last acknowledged by Braze: never" in output


def test_why_finds_a_key_whatever_its_case(recorded: Shop) -> None:
    assert recorded.document("why", "customers", "a1")["ledger"]["key"] == "A1"


def test_why_of_a_row_no_run_has_seen(shop: Shop) -> None:
    shop.write_sync()
    told = shop.document("why", "customers", "A1")
    assert told["ledger"] is None
    assert told["mapped"]["operation"] == "new"


def test_why_of_a_row_that_is_gone_tells_the_ledgers_part(recorded: Shop) -> None:
    recorded.caspio.delete_rows("Customers", "CustomerNo='A1'")
    told = recorded.document("why", "customers", "A1")
    assert told["caspio"]["found"] is False
    assert told["ledger"]["verdict"] == "sent"


def test_why_says_that_the_condition_leaves_a_row_out(recorded: Shop) -> None:
    text = (recorded.folder / "syncs" / "customers.yaml").read_text()
    recorded.write_sync(text.replace("  cursor: ChangedAt\n", "  cursor: ChangedAt\n  where: Spend > 100\n"))
    assert recorded.document("why", "customers", "A1")["caspio"]["left_out_by_where"] is True
    assert "does not meet source.where" in recorded.run("why", "customers", "A1").output


def test_why_without_caspio_tells_the_ledgers_part(recorded: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_CLIENT_SECRET", "wrong-secret")
    result = recorded.run("why", "customers", "B2")
    assert result.exit_code == 0
    assert "could not be read from Caspio" in result.output
    assert "quarantined" in result.output
    assert recorded.document("why", "customers", "B2")["caspio"]["found"] is None


def test_why_with_caspio_out_of_reach_tells_the_ledgers_part(recorded: Shop) -> None:
    recorded.unreachable.add("caspio")
    told = recorded.document("why", "customers", "A1")
    assert told["caspio"]["found"] is None
    assert "no answer" in told["caspio"]["error"]
    assert told["ledger"]["outcomes"][0]["verdict"] == "sent"


def test_why_names_the_other_rows_with_the_key(shop: Shop) -> None:
    text = shop.write_sync().read_text()
    shop.write_sync(
        text.replace("external_id: CustomerNo", "external_id: FirstName").replace("  first_name: FirstName\n", "")
    )
    shop.caspio.update_rows("Customers", {"FirstName": "ada"}, "CustomerNo='B2'")
    told = shop.document("why", "customers", "Ada")
    assert (told["caspio"]["source_pk"], told["caspio"]["same_key"]) == (1, [2])
    assert "More rows bear this key: PK_ID 2" in shop.run("why", "customers", "Ada").output


def test_why_of_an_unknown_key_ends_with_what_to_do(recorded: Shop) -> None:
    result = recorded.run("why", "customers", "Z9")
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2
    assert "quarantine list customers" in str(result.exception)


def test_why_finds_a_row_by_its_mapped_key(shop: Shop) -> None:
    text = shop.write_sync().read_text()
    text = text.replace("external_id: CustomerNo", "email: Email").replace("  email: Email\n  spend", "  spend")
    shop.write_sync(text)
    shop.caspio.update_rows("Customers", {"Email": "Ada@Example.com"}, "CustomerNo='A1'")
    shop.record({"ada@example.com": ("sent", None)})
    assert shop.document("why", "customers", "ADA@example.com")["ledger"]["verdict"] == "sent"


# quarantine


def test_quarantine_lists_the_rows_our_gate_set_aside(recorded: Shop) -> None:
    (row,) = recorded.document("quarantine", "list", "customers")
    assert (row["key"], row["verdict"], row["run"]) == ("B2", "quarantined", "run-1")
    assert row["seen_at"].startswith("2026-03-02T12:00:00")


def test_quarantine_lists_other_verdicts_when_asked(recorded: Shop) -> None:
    options = ("--verdict", "quarantined", "--verdict", "rejected")
    assert {row["key"] for row in recorded.document("quarantine", "list", "customers", *options)} == {"B2", "C3"}


def test_quarantine_says_when_the_list_is_cut(recorded: Shop) -> None:
    options = ("--verdict", "quarantined", "--verdict", "rejected", "--limit", "1")
    output = recorded.run("quarantine", "list", "customers", *options).output
    assert "1 of 2 shown" in output


def test_quarantine_shows_reasons_and_no_values(recorded: Shop) -> None:
    output = recorded.run("quarantine", "list", "customers").output
    assert "email_format" in output
    assert "not an address" not in output


def test_quarantine_of_an_unknown_sync_is_refused(recorded: Shop) -> None:
    assert isinstance(recorded.run("quarantine", "list", "nothing").exception, ConfigurationError)


# schema


def test_schema_is_valid_json_schema_that_takes_a_sound_sync(shop: Shop) -> None:
    schema = json.loads(shop.run("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(shop.write_sync().read_text()), schema)


def test_schema_refuses_an_unknown_key(shop: Shop) -> None:
    schema = json.loads(shop.run("schema").stdout)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(shop.write_sync().read_text()) | {"sauce": 1}, schema)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=10), "10 min"),
        (timedelta(hours=5), "5 h"),
        (timedelta(days=9), "9 days"),
        (timedelta(seconds=-3), "0 s"),
    ],
)
def test_a_duration_reads_in_its_largest_unit(span: timedelta, text: str) -> None:
    assert duration(span) == text
