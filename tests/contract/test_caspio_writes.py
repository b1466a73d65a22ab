"""The emulator against sections 2, 3.4 to 3.7 of the Caspio page: tables, fields, types, and writing records."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox, Refusal
from tests.contract.conftest import API, talk
from tests.virtual_clock import VirtualClock

RECORDS = f"{API}tables/T/records"
FIELDS: list[dict[str, Any]] = [
    {"Name": "No", "Type": "STRING", "Unique": True},
    {"Name": "Mail", "Type": "STRING", "Unique": True, "UniqueAllowNulls": True},
    {"Name": "Notes", "Type": "TEXT"},
    {"Name": "Orders", "Type": "INTEGER"},
    {"Name": "Score", "Type": "NUMBER"},
    {"Name": "Spend", "Type": "CURRENCY"},
    {"Name": "Active", "Type": "YES/NO"},
    {"Name": "Due", "Type": "DATE/TIME"},
    {"Name": "Tags", "Type": "LIST-STRING", "ListField": ["red", "blue"]},
    {"Name": "Pwd", "Type": "PASSWORD"},
    {"Name": "Photo", "Type": "FILE"},
    {"Name": "CreatedAt", "Type": "TIMESTAMP", "OnInsert": True, "TimeZone": "UTC"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "GMT Standard Time"},
]
SUMMER = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


def a_sandbox(clock: VirtualClock | None = None, database: Path | None = None, **switches: Any) -> CaspioSandbox:
    sandbox = CaspioSandbox(CaspioBehaviour(**switches), clock or VirtualClock(SUMMER), database)
    if not sandbox.tables():
        sandbox.create_table("T", FIELDS)
    return sandbox


def send(sandbox: CaspioSandbox, method: str, url: str = RECORDS, **arguments: Any) -> httpx.Response:
    answer: httpx.Response = talk(sandbox, lambda client: client.request(method, url, **arguments))
    return answer


def insert(sandbox: CaspioSandbox, row: Any, **parameters: str) -> httpx.Response:
    return send(sandbox, "POST", json=row, params=parameters)


def update(sandbox: CaspioSandbox, values: Any, where: str, **parameters: str) -> httpx.Response:
    return send(sandbox, "PUT", json=values, params={"q.where": where, **parameters})


# ---- 3.4 inserting


def test_insert_answers_nothing_but_where_the_record_is() -> None:
    answer = insert(a_sandbox(), {"No": "A-1"})
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"].endswith("/1")


def test_insert_answers_the_record_when_asked() -> None:
    answer = insert(a_sandbox(), {"no": "A-1", "Tags": [2], "Active": True}, response="rows")
    (record,) = answer.json()["Result"]
    assert answer.status_code == 201
    assert record | {"PK_ID": 1, "No": "A-1", "Tags": {"2": "blue"}, "Active": True} == record


def test_fields_not_named_are_empty_by_their_type() -> None:
    (record,) = insert(a_sandbox(), {"No": "A-1"}, response="rows").json()["Result"]
    empty = {name: record[name] for name in ("Mail", "Notes", "Orders", "Active", "Due", "Tags", "Photo")}
    assert empty == {
        "Mail": "",
        "Notes": None,
        "Orders": None,
        "Active": False,
        "Due": None,
        "Tags": None,
        "Photo": None,
    }


def test_array_is_refused_unless_switched() -> None:
    answer = insert(a_sandbox(), [{"No": "A-1"}])
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectBodyParameter")
    assert insert(a_sandbox(array_insert=True), [{"No": "A-1"}, {"No": "A-2"}]).status_code == 201


@pytest.mark.parametrize("content", [b"", b"{", b'"text"'])
def test_body_that_is_no_object_is_refused(content: bytes) -> None:
    answer = send(a_sandbox(), "POST", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectBodyParameter")


def test_body_without_json_content_type_is_415() -> None:
    assert send(a_sandbox(), "POST", content=b'{"No":"A-1"}').status_code == 415


def test_pk_id_grows_and_is_never_given_again() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1"}, {"No": "A-2"}])
    sandbox.delete_rows("T", "PK_ID=2")
    assert sandbox.insert_rows("T", [{"No": "A-3"}]) == [3]


# ---- 2.3 values


@pytest.mark.parametrize(
    ("field", "written", "read"),
    [
        ("Notes", "Zürich, 7°", "Zürich, 7°"),
        ("Notes", None, None),
        ("Orders", -7, -7),
        ("Score", 12, 12.0),
        ("Score", 0.125, 0.125),
        ("Spend", 1.23456, 1.2346),
        ("Active", None, False),
        ("Due", "2026-01-31", "2026-01-31T00:00:00"),
        ("Due", "2026-01-31T10:11:12", "2026-01-31T10:11:12"),
        ("Due", "2026-01-31T10:11:12.987", "2026-01-31T10:11:12"),
        ("Due", "2026-01-31 10:11", "2026-01-31T10:11:00"),
        ("Tags", [2, 1, 2], {"1": "red", "2": "blue"}),
        ("Tags", "[1], [2]", {"1": "red", "2": "blue"}),
        ("Tags", [], {}),
    ],
)
def test_value_reads_back(field: str, written: Any, read: Any) -> None:
    (record,) = insert(a_sandbox(), {"No": "A-1", field: written}, response="rows").json()["Result"]
    assert record[field] == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("No", 5),
        ("No", "x" * 256),
        ("Notes", "x" * 64_001),
        ("Notes", "nul \0"),
        ("Orders", "five"),
        ("Orders", ""),
        ("Orders", "1.5"),
        ("Orders", "NaN"),
        ("Orders", 1.5),
        ("Orders", 2**31),
        ("Orders", True),
        ("Score", "1,5"),
        ("Score", "1e999"),
        ("Active", 1),
        ("Active", "yes"),
        ("Active", ""),
        ("Due", ""),
        ("Due", "31.01.2026"),
        ("Due", "2026-02-30"),
        ("Due", 20260131),
        ("Tags", ["red"]),
        ("Tags", [3]),
        ("Tags", "red"),
    ],
)
def test_value_of_another_type_is_refused(field: str, value: Any) -> None:
    answer = insert(a_sandbox(), {"No": "A-1"} | {field: value})
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidInputValue")
    assert answer.json()["Message"].endswith(f": {field}")


def test_all_mismatching_fields_are_named() -> None:
    answer = insert(a_sandbox(), {"No": "A-1", "Due": "", "Orders": "five"})
    assert answer.json()["Message"].endswith(": Due, Orders")


@pytest.mark.parametrize("field", ["PK_ID", "CreatedAt", "ChangedAt", "Photo"])
@pytest.mark.parametrize("status", [400, 500])
def test_read_only_field_refuses_the_whole_record(field: str, status: int) -> None:
    sandbox = a_sandbox(read_only_status=status)
    answer = insert(sandbox, {"No": "A-1", field: None})
    assert (answer.status_code, answer.json()["Code"]) == (status, "AlterReadOnlyData")
    assert sandbox.rows("T") == []


def test_unknown_field_refuses_the_whole_record() -> None:
    answer = insert(a_sandbox(), {"No": "A-1", "Nope": 1})
    assert (answer.status_code, answer.json()["Code"]) == (404, "FieldNotFound")


def test_characters_beyond_the_basic_plane_are_refused_unless_switched() -> None:
    answer = insert(a_sandbox(), {"No": "A-1", "Notes": "\U0001f600"})
    assert (answer.status_code, answer.json()["Code"]) == (400, "AlterReadOnlyData")
    assert insert(a_sandbox(astral_text="stored"), {"No": "A-1", "Notes": "\U0001f600"}).status_code == 201


def test_written_offset_turns_into_the_account_s_wall_clock() -> None:
    row = {"No": "A-1", "Due": "2026-07-01T12:00:00Z"}
    (record,) = insert(a_sandbox(), row, response="rows").json()["Result"]
    assert record["Due"] == "2026-07-01T05:00:00"
    assert insert(a_sandbox(offset_dates="refused"), row).status_code == 400


# ---- 2.5 uniqueness


@pytest.mark.parametrize("status", [400, 409])
def test_second_unique_value_is_refused_by_case_and_blanks(status: int) -> None:
    sandbox = a_sandbox(unique_violation_status=status)
    sandbox.insert_rows("T", [{"No": "a-1"}])
    answer = insert(sandbox, {"No": "A-1 "})
    assert (answer.status_code, answer.json()["Code"]) == (status, "SqlServerError")
    assert "'No'" in answer.json()["Message"]


def test_unique_field_refuses_a_second_blank_unless_nulls_are_allowed() -> None:
    sandbox = a_sandbox()
    assert insert(sandbox, {"Mail": ""}).status_code == 201
    assert insert(sandbox, {"No": "A-1", "Mail": ""}).status_code == 201
    assert insert(sandbox, {"No": None, "Mail": "x"}).status_code == 400


def test_update_that_makes_two_rows_equal_changes_none() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1"}, {"No": "A-2"}])
    assert update(sandbox, {"No": "B"}, "PK_ID>0").status_code == 400
    assert [row["No"] for row in sandbox.rows("T")] == ["A-1", "A-2"]


# ---- 2.4 time


def test_timestamps_are_stamped_in_their_own_zone() -> None:
    clock = VirtualClock(SUMMER)
    sandbox = a_sandbox(clock)
    sandbox.insert_rows("T", [{"No": "A-1"}, {"No": "A-2"}])
    clock.advance(3600)
    sandbox.update_rows("T", {"Active": True}, "PK_ID=1")
    stamps = [(row["CreatedAt"], row["ChangedAt"]) for row in sandbox.rows("T")]
    assert stamps == [
        ("2026-07-01T12:00:00", "2026-07-01T14:00:00"),
        ("2026-07-01T12:00:00", "2026-07-01T13:00:00"),
    ]


def test_an_hour_repeats_in_autumn() -> None:
    clock = VirtualClock(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    sandbox = a_sandbox(clock)
    sandbox.insert_rows("T", [{"No": "A-1"}])
    clock.advance(3600)
    sandbox.insert_rows("T", [{"No": "A-2"}])
    assert {row["ChangedAt"] for row in sandbox.rows("T")} == {"2026-10-25T01:30:00"}


def test_part_of_a_second_can_be_stored_but_is_not_shown() -> None:
    clock = VirtualClock(SUMMER)
    clock.advance(0.25)
    sandbox = a_sandbox(clock, stored_milliseconds=True)
    sandbox.insert_rows("T", [{"No": "A-1"}])
    where = {"q.where": "CreatedAt>'2026-07-01T12:00:00'", "q.select": "CreatedAt"}
    assert send(sandbox, "GET", params=where).json()["Result"] == [{"CreatedAt": "2026-07-01T12:00:00"}]


# ---- 3.5 and 3.6


def test_update_tells_how_many_rows_it_found() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": f"A-{number}", "Orders": number} for number in range(5)])
    assert update(sandbox, {"active": True}, "Orders>2").json()["RecordsAffected"] == 2
    assert update(sandbox, {"Active": True}, "Orders>9").json()["RecordsAffected"] == 0
    assert [row["Active"] for row in sandbox.rows("T")] == [False, False, False, True, True]


def test_update_answers_the_rows_when_asked() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1"}])
    body = update(sandbox, {"Notes": "new"}, "No='a-1'", response="rows").json()
    assert body == {"RecordsAffected": 1, "Result": sandbox.rows("T")}
    assert body["Result"][0]["Notes"] == "new"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_write_without_where_is_refused(method: str) -> None:
    arguments: dict[str, Any] = {"json": {"Active": True}} if method == "PUT" else {}
    answer = send(a_sandbox(), method, **arguments)
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectQueryParameter")


def test_update_of_lists_alone_can_lose_its_count() -> None:
    sandbox = a_sandbox(list_only_update="lost")
    sandbox.insert_rows("T", [{"No": "A-1"}])
    assert update(sandbox, {"Tags": [1]}, "PK_ID=1").json()["RecordsAffected"] == 0
    assert update(sandbox, {"Tags": [2]}, "PK_ID=1", response="rows").status_code == 500
    assert sandbox.rows("T")[0]["Tags"] == {"2": "blue"}


def test_delete_tells_how_many_rows_are_gone() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1"}, {"No": "A-2"}])
    assert send(sandbox, "DELETE", params={"where": "No='A-2'"}).json() == {"RecordsAffected": 1}
    assert send(sandbox, "DELETE", params={"q.where": "PK_ID>0"}).json() == {"RecordsAffected": 1}
    assert sandbox.rows("T") == []


def test_password_is_changed_at_its_own_address_only() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1", "Pwd": "old"}])
    url = f"{API}tables/T/passwordFields"
    assert update(sandbox, {"Pwd": "new"}, "PK_ID=1").status_code == 400
    assert send(sandbox, "GET", url).json() == {"Result": ["Pwd"]}
    answer = send(sandbox, "PUT", f"{url}/Pwd", json={"Value": "new"}, params={"q.where": "PK_ID=1"})
    assert answer.json() == {"RecordsAffected": 1}


# ---- 2.1 and 2.2 tables and fields


def test_fields_leave_out_pk_id_and_tell_how_timestamps_work() -> None:
    fields = {field["Name"]: field for field in send(a_sandbox(), "GET", f"{API}tables/T/fields").json()["Result"]}
    assert "PK_ID" not in fields
    stamp = fields["ChangedAt"]
    assert (stamp["OnUpdate"], stamp["TimeZone"], stamp["Editable"]) == (True, "GMT Standard Time", False)
    assert fields["Tags"]["ListField"] == {"1": "red", "2": "blue"}


def test_table_is_made_by_rest() -> None:
    sandbox = a_sandbox()
    model = {"Name": "New", "Fields": [{"Name": "Id", "Type": "GUID", "Unique": True}, {"Name": "A", "Type": "number"}]}
    answer = send(sandbox, "POST", f"{API}tables", json=model)
    assert (answer.status_code, answer.content) == (201, b"")
    assert send(sandbox, "GET", f"{API}tables/new").json() == {"Result": {"Name": "New", "Note": ""}}
    sandbox.insert_rows("New", [{"A": 1}, {"A": 2}])
    assert len({row["Id"] for row in sandbox.rows("New")}) == 2


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [{"Name": "A"}],
        [{"Name": "A", "Type": "WORD"}],
        [{"Name": "has blank", "Type": "STRING"}],
        [{"Name": "x" * 33, "Type": "STRING"}],
        [{"Name": "PK_ID", "Type": "INTEGER"}],
        [{"Name": "A", "Type": "STRING"}, {"Name": "a", "Type": "STRING"}],
        [{"Name": "A", "Type": "AUTONUMBER"}],
        [{"Name": "A", "Type": "TEXT", "Unique": True}],
        [{"Name": "A", "Type": "TIMESTAMP", "TimeZone": "Europe/London"}],
        [{"Name": "A", "Type": "LIST-STRING", "ListField": {"1": "x"}}],
    ],
)
def test_table_definition_is_refused(fields: list[dict[str, Any]]) -> None:
    with pytest.raises(Refusal) as caught:
        a_sandbox().create_table("New", fields)
    assert (caught.value.status, caught.value.code) == (400, "IncorrectBodyParameter")


def test_columns_key_of_v2_is_refused() -> None:
    answer = send(a_sandbox(), "POST", f"{API}tables", json={"Name": "N", "Columns": [{"Name": "A", "Type": "STRING"}]})
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectBodyParameter")


def test_fields_come_change_and_go_while_rows_stay() -> None:
    sandbox = a_sandbox()
    sandbox.insert_rows("T", [{"No": "A-1", "Tags": [1], "Active": True, "Due": "2026-01-01"}])
    before = sandbox.rows("T")[0]
    url = f"{API}tables/T/fields"
    assert send(sandbox, "POST", url, json={"Name": "Age", "Type": "INTEGER"}).status_code == 201
    assert send(sandbox, "PUT", f"{url}/Notes", json={"Name": "Remarks"}).status_code == 204
    assert send(sandbox, "DELETE", f"{url}/Photo").status_code == 204
    notes, _photo = before.pop("Notes"), before.pop("Photo")
    assert sandbox.rows("T") == [before | {"Remarks": notes, "Age": None}]
    assert send(sandbox, "GET", f"{url}/Photo").json()["Code"] == "FieldNotFound"
    assert sandbox.insert_rows("T", [{"No": "A-2", "Age": 3}]) == [2]


def test_account_in_a_file_is_there_again(tmp_path: Path) -> None:
    first = a_sandbox(database=tmp_path / "account.db")
    first.insert_rows("T", [{"No": "A-1", "Tags": [2]}, {"No": "A-2"}])
    first.create_view("V", "T", ["No"])
    rows = first.rows("T")
    first.delete_rows("T", "PK_ID=2")
    first.close()
    again = a_sandbox(database=tmp_path / "account.db")
    assert again.rows("T") == rows[:1]
    assert again.insert_rows("T", [{"No": "A-3"}]) == [3]
    assert len(send(again, "GET", f"{API}views/V/records").json()["Result"]) == 2
    again.close()


@pytest.mark.parametrize(("unset", "read"), [("empty", ""), ("null", None)])
def test_text_that_was_never_set_is_blank_or_null(unset: str, read: str | None) -> None:
    """2.3, 2.5: both occur."""
    (record,) = insert(a_sandbox(unset_text=unset), {"No": "A-1"}, response="rows").json()["Result"]
    assert record["Mail"] == read


def test_wall_clock_of_an_offset_is_that_of_the_account() -> None:
    """2.4: a value with Z is stored as the account's wall clock."""
    sandbox = a_sandbox(account_time_zone="Europe/London")
    (record,) = insert(sandbox, {"No": "A-1", "Due": "2026-07-01T12:00:00Z"}, response="rows").json()["Result"]
    assert record["Due"] == "2026-07-01T13:00:00"
