"""The emulator against sections 3.1, 3.3 and 3.8 of the Caspio page: computed columns, groups, views."""

from typing import Any

import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from tests.contract.conftest import a_filled_account, get


@pytest.fixture(scope="module")
def sandbox() -> CaspioSandbox:
    return a_filled_account()


# ---- q.select with expressions, q.groupBy


def test_aggregates_come_in_one_row(sandbox: CaspioSandbox) -> None:
    select = "COUNT(PK_ID) AS n, MIN(PK_ID) AS low, MAX(PK_ID) AS high, MAX(ChangedAt) AS at, SUM(Spend) AS s"
    row = {"n": 40, "low": 1, "high": 40, "at": "2026-01-01T00:00:00", "s": 205.0}
    assert get(sandbox, select=select).json() == {"Result": [row]}


def test_aggregate_over_nothing_is_null(sandbox: CaspioSandbox) -> None:
    select = "COUNT(PK_ID) AS n, MIN(PK_ID) AS low"
    assert get(sandbox, select=select, where="PK_ID>99").json()["Result"] == [{"n": 0, "low": None}]


@pytest.mark.parametrize("parameters", [{"limit": 10}, {"pageSize": 10}])
def test_aggregate_cannot_be_paged_unless_switched(parameters: dict[str, Any]) -> None:
    assert get(a_filled_account(1), select="COUNT(*) AS n", **parameters).status_code == 400
    answer = get(a_filled_account(1, paged_aggregates=True), select="COUNT(*) AS n", **parameters)
    assert answer.json()["Result"] == [{"n": 1}]


def test_group_by_folds_texts_that_compare_equal(sandbox: CaspioSandbox) -> None:
    select = "City, COUNT(*) AS n"
    rows = get(sandbox, select=select, groupBy="City", where="City LIKE 'leeds'").json()["Result"]
    assert [row["n"] for row in rows] == [14]


def test_group_by_with_having_and_order(sandbox: CaspioSandbox) -> None:
    rows = get(
        sandbox, select="Orders, COUNT(DISTINCT No) AS n", groupBy="Orders HAVING Orders>2", orderBy="Orders DESC"
    ).json()["Result"]
    assert rows == [{"Orders": 4, "n": 8}, {"Orders": 3, "n": 8}]


def test_field_outside_the_groups_is_refused(sandbox: CaspioSandbox) -> None:
    answer = get(sandbox, select="No, COUNT(*) AS n", groupBy="Orders")
    assert (answer.status_code, answer.json()["Code"]) == (400, "SqlServerError")


def test_aliases_functions_and_windows(sandbox: CaspioSandbox) -> None:
    select = "No AS Name, UPPER(City) AS c, ROW_NUMBER() OVER (PARTITION BY Orders ORDER BY PK_ID DESC) AS r"
    rows = get(sandbox, select=select, where="PK_ID IN (1,6)", orderBy="Name").json()["Result"]
    assert rows == [{"Name": "A-1", "c": "LEEDS ", "r": 2}, {"Name": "A-6", "c": "", "r": 1}]


@pytest.mark.parametrize("select", ["Pwd", "Nope", "No FROM T", "DISTINCT No", "TOP 5 No", "No; DROP TABLE T"])
def test_select_is_refused(sandbox: CaspioSandbox, select: str) -> None:
    assert get(sandbox, select=select).status_code in {400, 404}


@pytest.mark.parametrize("order", ["Nope", "No; DELETE FROM T", "Tags", "1", "No OFFSET 5 ROWS"])
def test_order_is_refused(sandbox: CaspioSandbox, order: str) -> None:
    assert get(sandbox, orderBy=order).status_code in {400, 404}


# ---- 3.8 views


def test_view_shows_its_fields_and_rows_with_pk_id_as_text(sandbox: CaspioSandbox) -> None:
    rows = get(sandbox, "views/V/records", orderBy="No", limit=2).json()["Result"]
    assert rows == [{"PK_ID": "13", "No": "A-13", "Orders": 3}, {"PK_ID": "14", "No": "A-14", "Orders": 4}]


def test_view_filters_on_top_of_its_own_condition(sandbox: CaspioSandbox) -> None:
    rows = get(sandbox, "views/V/records", select="No", where="PK_ID=3 OR Orders<3").json()["Result"]
    assert rows == [{"No": "A-3"}]


def test_view_hides_the_other_fields_of_its_table(sandbox: CaspioSandbox) -> None:
    assert get(sandbox, "views/V/records", select="City").status_code == 404


def test_view_fields_name_their_table(sandbox: CaspioSandbox) -> None:
    fields = get(sandbox, "views/V/fields").json()["Result"]
    assert [field["TableFieldName"] for field in fields] == ["T.No", "T.Orders"]
    assert get(sandbox, "views").json() == {"Result": ["V"]}
