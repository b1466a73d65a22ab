"""What other clients of Caspio rely on, against sections 2.2, 2.3, 3.1, 3.3 and 3.5 of the reference.

Where the page is silent or another client was seen to be answered otherwise, a switch of `CaspioBehaviour` plays both.
"""

from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from tests.contract.conftest import API, FIELDS, a_filled_account, get, talk
from tests.virtual_clock import VirtualClock

ATTACHMENT = {
    *("AttachmentPermittedFileTypes", "AttachmentMinFileSize", "AttachmentMaxFileSize", "AttachmentSmartResizer"),
    *("AttachmentSmartResizerForRetina", "AttachmentAltText", "AttachmentTitle"),
}


def an_account(**switches: Any) -> CaspioSandbox:
    sandbox = CaspioSandbox(CaspioBehaviour(**switches), VirtualClock())
    sandbox.create_table("T", FIELDS)
    return sandbox


def send(sandbox: CaspioSandbox, method: str, path: str, **arguments: Any) -> httpx.Response:
    answer: httpx.Response = talk(sandbox, lambda client: client.request(method, API + path, **arguments))
    return answer


# 2.3: numbers and Yes/No that are written as text.


@pytest.mark.parametrize(
    ("field", "text", "read"),
    [
        ("Orders", "5", 5),
        ("Orders", " -7 ", -7),
        ("Orders", "3.0", 3),
        ("Spend", "1.23456", 1.2346),
        ("Spend", ".5", 0.5),
        ("Active", "true", True),
        ("Active", "FALSE", False),
        ("Active", "1", True),
        ("Active", "0", False),
    ],
)
def test_a_number_may_be_written_as_text_unless_refused(field: str, text: str, read: Any) -> None:
    sandbox = an_account()
    assert send(sandbox, "POST", "tables/T/records", json={"No": "A", field: text}).status_code == 201
    assert sandbox.rows("T")[0][field] == read
    refused = send(an_account(numbers_as_text="refused"), "POST", "tables/T/records", json={"No": "A", field: text})
    assert (refused.status_code, refused.json()["Code"]) == (400, "InvalidInputValue")


# 3.5: updating.


@pytest.mark.parametrize(("update_result_key", "more"), [(True, {"Result": []}), (False, {})])
@pytest.mark.parametrize(("where", "count"), [("PK_ID=1", 1), ("PK_ID=9", 0)])
def test_an_update_answers_an_empty_result(
    update_result_key: bool, more: dict[str, Any], where: str, count: int
) -> None:
    sandbox = a_filled_account(2, update_result_key=update_result_key)
    answer = send(sandbox, "PUT", "tables/T/records", params={"q.where": where}, json={"Orders": 9})
    assert answer.json() == {"RecordsAffected": count, **more}


# 3.3: a blank beside a date.


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Due = ''", []),
        ("Due <> ''", ["A-1", "A-2", "A-3"]),
        ("Due > ''", ["A-1", "A-2", "A-3"]),
        ("Due IS NULL OR Due = ''", ["A-4", "Zero"]),
        ("Due = '1900-01-01'", ["Zero"]),
    ],
)
def test_a_blank_is_the_first_day_of_1900(where: str, found: list[str]) -> None:
    sandbox = a_filled_account(4)
    zero = ["Zero"] if "Zero" in found or where == "Due = ''" else []
    sandbox.insert_rows("T", [{"No": name, "Due": "1900-01-01T00:00:00"} for name in zero])
    rows = get(sandbox, select="No", where=where, orderBy="PK_ID").json()["Result"]
    assert [row["No"] for row in rows] == (found or zero)


# 3.1: groups by an expression.


@pytest.mark.parametrize(
    ("select", "group_by", "rows"),
    [
        (
            "YEAR(Due) AS y, MONTH(Due) AS m, COUNT(*) AS n",
            "YEAR(Due), MONTH(Due)",
            [{"y": None, "m": None, "n": 1}, {"y": 2026, "m": 1, "n": 4}],
        ),
        ("upper(city) AS c, COUNT(*) AS n", "UPPER(City)", [{"c": "LEEDS ", "n": 2}, *({"c": city, "n": 1} for city in ("O'FALLON", "YORK", "ZÜRICH"))]),
        ("Orders % 2 AS odd, MAX(Orders) AS top", "Orders % 2", [{"odd": 0, "top": 4}, {"odd": 1, "top": 3}]),
        ("1 + YEAR(Due) AS next, COUNT(*) AS n", "YEAR(Due)", [{"next": None, "n": 1}, {"next": 2027, "n": 4}]),
        (
            "DATEADD(day, 1, Due) AS d, COUNT(*) AS n",
            "DATEADD(day, 1, Due) HAVING COUNT(*) > 0",
            [{"d": None, "n": 1}, *({"d": f"2026-01-0{day}T08:00:00", "n": 1} for day in (3, 4, 5, 7))],
        ),
    ],
)  # fmt: skip
def test_groups_by_an_expression(select: str, group_by: str, rows: list[dict[str, Any]]) -> None:
    answer = get(a_filled_account(5), select=select, groupBy=group_by)
    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["Result"], key=str) == sorted(rows, key=str)


@pytest.mark.parametrize(
    ("select", "group_by"),
    [("Due, COUNT(*) AS n", "YEAR(Due)"), ("YEAR(Due) AS y", "MONTH(Due)"), ("YEAR(ChangedAt) AS y", "YEAR(Due)")],
)
def test_a_column_outside_of_the_groups_is_refused(select: str, group_by: str) -> None:
    answer = get(a_filled_account(2), select=select, groupBy=group_by)
    assert (answer.status_code, answer.json()["Code"]) == (400, "SqlServerError")
    assert "GROUP BY" in answer.json()["Message"]


# 2.2: the definition of a field.


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "tables/T/fields/City", {"NewName": "Town"}),
        ("PUT", "tables/T/fields/City", {"name": "Town"}),
        ("PUT", "tables/T/fields/City", {"Editable": False}),
        ("POST", "tables/T/fields", {"Name": "Town", "Type": "STRING", "Color": "red"}),
        ("POST", "tables", {"Name": "U", "Fields": [{"Name": "Town", "Type": "STRING", "Size": 3}]}),
    ],
)
def test_an_unknown_property_of_a_field_is_refused(method: str, path: str, body: dict[str, Any]) -> None:
    sandbox = an_account()
    answer = send(sandbox, method, path, json=body)
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectBodyParameter")
    assert sandbox.tables() == ["T"]


def test_a_field_tells_of_attachments_and_can_be_put_back_as_it_was_read() -> None:
    sandbox = an_account()
    photo = {"Name": "Photo", "Type": "ATTACHMENT", "AttachmentPermittedFileTypes": "png", "AttachmentTitle": "T"}
    assert send(sandbox, "POST", "tables/T/fields", json=photo).status_code == 201
    read = send(sandbox, "GET", "tables/T/fields/Photo").json()["Result"]
    assert read.keys() >= ATTACHMENT
    assert (read["AttachmentPermittedFileTypes"], read["AttachmentAltText"]) == ("png", None)
    written = {name: value for name, value in read.items() if name != "Editable"}
    assert send(sandbox, "PUT", "tables/T/fields/Photo", json=written | {"Label": "Face"}).status_code == 204
    assert send(sandbox, "GET", "tables/T/fields/Photo").json()["Result"] == read | {"Label": "Face"}
