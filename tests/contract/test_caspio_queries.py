"""The emulator against sections 3.1 to 3.3, 3.8 and 10 of the Caspio page: reading records."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from tests.contract.conftest import API, a_filled_account, get, talk


def found(sandbox: CaspioSandbox, where: str) -> list[int]:
    answer = get(sandbox, select="PK_ID", where=where, orderBy="PK_ID", limit=1000)
    assert answer.status_code == 200, answer.text
    return [row["PK_ID"] for row in answer.json()["Result"]]


@pytest.fixture(scope="module")
def sandbox() -> CaspioSandbox:
    return a_filled_account()


# ---- 3.1 parameters and envelope


def test_record_shows_every_type_as_documented(sandbox: CaspioSandbox) -> None:
    (record,) = get(sandbox, where="No='A-5'").json()["Result"]
    assert record == {
        "PK_ID": 5,
        "No": "A-5",
        "City": "Zürich",
        "Orders": 0,
        "Spend": 1.25,
        "Active": False,
        "Due": "2026-01-06T08:00:00",
        "Tags": {"1": "red", "2": "blue"},
        "ChangedAt": "2026-01-01T00:00:00",
    }


def test_pk_id_in_an_answer_to_all_fields_is_a_switch() -> None:
    assert "PK_ID" not in get(a_filled_account(1, star_has_pk=False)).json()["Result"][0]


def test_empty_match_is_an_empty_result(sandbox: CaspioSandbox) -> None:
    assert get(sandbox, where="PK_ID>1000").json() == {"Result": []}


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({}, 40),
        ({"q.limit": 7}, 7),
        ({"limit": 7}, 7),
        ({"Q.LIMIT": 1}, 1),
        ({"q.pageNumber": 1}, 25),
        ({"q.pageSize": 10, "q.pageNumber": 4}, 10),
        ({"q.pageSize": 10, "q.pageNumber": 5}, 0),
        ({"q.pageSize": 10, "q.limit": 3}, 10),
        ({"q.distinct": "true"}, 40),
    ],
)
def test_how_many_records_come(sandbox: CaspioSandbox, parameters: dict[str, Any], rows: int) -> None:
    answer = talk(sandbox, lambda client: client.get(f"{API}tables/T/records", params=parameters))
    assert len(answer.json()["Result"]) == rows


def test_limit_is_100_unless_told() -> None:
    assert len(get(a_filled_account(120)).json()["Result"]) == 100


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 1001},
        {"limit": 0},
        {"limit": "x"},
        {"pageSize": 4},
        {"pageSize": 1001},
        {"pageNumber": 0},
        {"sort": "No"},
    ],
)
def test_wrong_parameter_is_refused(sandbox: CaspioSandbox, parameters: dict[str, Any]) -> None:
    answer = get(sandbox, **parameters)
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncorrectQueryParameter")


def test_small_limits_can_be_refused() -> None:
    assert get(a_filled_account(1, small_limits=False), limit=4).status_code == 400


def test_pagination_is_told_on_request(sandbox: CaspioSandbox) -> None:
    body = get(sandbox, pageSize=10, pageNumber=2, getPaginationInfo="true", where="PK_ID<=35", orderBy="PK_ID").json()
    assert body["Pagination"] == {"TotalCount": 35, "PageNumber": 2, "PageSize": 10}
    assert body["Result"][0]["PK_ID"] == 11


@pytest.mark.parametrize(
    "names", [("q.where", "q.orderby", "q.limit"), ("Q.WHERE", "Q.ORDERBY", "Q.LIMIT"), ("where", "orderBy", "limit")]
)
def test_parameters_are_known_in_any_case_and_without_their_prefix(
    sandbox: CaspioSandbox, names: tuple[str, ...]
) -> None:
    """Caspio 3.1: query names are case-insensitive; N8N sends bare ones."""
    query = dict(zip(names, ("PK_ID>38", "PK_ID DESC", "5"), strict=True))
    answer = talk(sandbox, lambda client: client.get(f"{API}tables/T/records", params=query))
    assert [row["No"] for row in answer.json()["Result"]] == ["A-40", "A-39"]


@pytest.mark.parametrize("parameter", ["q.distinct", "q.skip", "q.offset", "q.having"])
def test_parameters_that_do_not_exist_change_nothing(sandbox: CaspioSandbox, parameter: str) -> None:
    """Caspio 3.1: there is no q.skip, q.offset, q.having or q.distinct; q.distinct is ignored in silence."""
    query = {"q.orderBy": "PK_ID", "q.limit": "7", parameter: "5"}
    answer = talk(sandbox, lambda client: client.get(f"{API}tables/T/records", params=query))
    assert (answer.status_code, len(answer.json()["Result"])) == (200, 7)


def test_table_name_is_case_insensitive(sandbox: CaspioSandbox) -> None:
    assert get(sandbox, "tables/t/records").status_code == 200


# ---- the fields selected


@pytest.mark.parametrize(
    ("select", "keys"),
    [
        ("PK_ID", {"PK_ID"}),
        ("No", {"No"}),
        ("pk_id,city,CHANGEDAT", {"PK_ID", "City", "ChangedAt"}),
        ("[Due], T.No", {"Due", "No"}),
        ("PK_ID,No,Orders,Active", {"PK_ID", "No", "Orders", "Active"}),
        ("City,ChangedAt", {"City", "ChangedAt"}),
    ],
)
def test_only_selected_fields_come(sandbox: CaspioSandbox, select: str, keys: set[str]) -> None:
    rows = get(sandbox, select=select, orderBy="PK_ID").json()["Result"]
    whole = get(sandbox, orderBy="PK_ID").json()["Result"]
    assert rows == [{key: row[key] for key in keys} for row in whole]


@given(
    st.sets(
        st.sampled_from(["PK_ID", "No", "City", "Orders", "Spend", "Active", "Due", "Tags", "ChangedAt"]), min_size=1
    )
)
@settings(max_examples=40, deadline=None)
def test_any_selection_is_the_same_record_cut(keys: set[str]) -> None:
    rows = get(SELECTED, select=",".join(sorted(keys)), orderBy="PK_ID").json()["Result"]
    assert rows == [{key: row[key] for key in keys} for row in SELECTED.rows("T")]


SELECTED = a_filled_account(7)


# ---- 3.2 order


def test_unordered_limit_mode_is_shuffled_every_time(sandbox: CaspioSandbox) -> None:
    seen = {tuple(row["PK_ID"] for row in get(sandbox, select="PK_ID", limit=20).json()["Result"]) for _ in range(3)}
    assert len(seen) == 3


def test_unordered_page_mode_is_stable_by_default(sandbox: CaspioSandbox) -> None:
    rows = get(sandbox, select="PK_ID", pageSize=20).json()["Result"]
    assert [row["PK_ID"] for row in rows] == list(range(1, 21))


def test_unordered_page_mode_can_be_shuffled_too() -> None:
    sandbox = a_filled_account(unordered="always")
    rows = get(sandbox, select="PK_ID", pageSize=20).json()["Result"]
    assert [row["PK_ID"] for row in rows] != list(range(1, 21))


def test_equal_values_of_an_ordered_field_come_in_any_order(sandbox: CaspioSandbox) -> None:
    seen = {
        tuple(row["PK_ID"] for row in get(sandbox, select="PK_ID", orderBy="Orders", limit=20).json()["Result"])
        for _ in range(3)
    }
    assert len(seen) == 3


def test_order_by_several_fields(sandbox: CaspioSandbox) -> None:
    rows = get(sandbox, select="PK_ID,Orders", orderBy="Orders DESC, PK_ID ASC", limit=1000).json()["Result"]
    assert rows == sorted(rows, key=lambda row: (-row["Orders"], row["PK_ID"]))


@given(st.integers(1, 60), st.integers(1, 13))
@settings(max_examples=15, deadline=None)
def test_keyset_pages_give_every_row_once(rows: int, size: int) -> None:
    sandbox = a_filled_account(rows)

    async def read(client: httpx.AsyncClient) -> list[int]:
        keys: list[int] = []
        while True:
            query: dict[str, str | int] = {
                "q.select": "PK_ID",
                "q.where": f"PK_ID>{keys[-1] if keys else 0}",
                "q.orderBy": "PK_ID ASC",
                "q.limit": size,
            }
            page = (await client.get(f"{API}tables/T/records", params=query)).json()["Result"]
            keys.extend(row["PK_ID"] for row in page)
            if len(page) < size:
                return keys

    assert talk(sandbox, read) == list(range(1, rows + 1))


def test_composite_keyset_goes_on_within_one_second(sandbox: CaspioSandbox) -> None:
    stamp = "2026-01-01T00:00:00"
    where = f"Orders<5 AND (ChangedAt>'{stamp}' OR (ChangedAt='{stamp}' AND PK_ID>35))"
    rows = get(sandbox, select="PK_ID", where=where, orderBy="ChangedAt ASC,PK_ID ASC", limit=3).json()["Result"]
    assert [row["PK_ID"] for row in rows] == [36, 37, 38]


def test_composite_keyset_with_two_different_times_is_taken_as_it_stands(sandbox: CaspioSandbox) -> None:
    where = "ChangedAt>'2026-01-02' OR (ChangedAt='2026-01-01' AND PK_ID>38)"
    assert found(sandbox, where) == [39, 40]


# ---- 3.3 q.where


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("PK_ID='41' OR PK_ID='4'", [4]),
        ("Orders=4 AND PK_ID<=10", [4, 9]),
        ("Orders<>0 AND Orders!=1 AND PK_ID<5", [2, 3, 4]),
        ("NOT (PK_ID>2)", [1, 2]),
        ("PK_ID IN (3,1,99)", [1, 3]),
        ("PK_ID NOT IN (1,2) AND PK_ID<5", [3, 4]),
        ("PK_ID BETWEEN 3 AND 5", [3, 4, 5]),
        ("'a-3' IN ('x', No)", [3]),
        ("PK_ID NOT BETWEEN 2 AND 40", [1]),
        ("PK_ID>-3 AND PK_ID<2", [1]),
        ("Spend=1.25", [5]),
        ("Active=1 AND PK_ID<5", [2, 4]),
        ("Due IS NULL AND PK_ID<9", [4, 8]),
        ("Due IS NOT NULL AND PK_ID<4", [1, 2, 3]),
        ("Due<'2026-01-03'", [1, 29]),
        ("Due='2026-01-02T08:00:00'", [1, 29]),
        ("Due>=GETDATE() AND PK_ID<3", [1, 2]),
        ("Due<DATEADD(day,2,GETDATE())", [1, 29]),
        ("PK_ID IN (SELECT MAX(PK_ID) FROM T)", [40]),
        ("EXISTS (SELECT No FROM _v_V v WHERE v.No=T.No) AND PK_ID<5", [3, 4]),
        ("City IS NULL AND PK_ID<9", [7]),
        ("(City IS NULL OR City = '') AND PK_ID<9", [6, 7]),
    ],
)
def test_where_finds(sandbox: CaspioSandbox, where: str, keys: list[int]) -> None:
    assert found(sandbox, where) == keys


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("City='leeds' AND PK_ID<10", [1, 2, 9]),
        ("City=N'LEEDS  ' AND PK_ID<10", [1, 2, 9]),
        ("City IN ('york','ZÜRICH') AND PK_ID<10", [3, 5]),
        ("City<>'leeds' AND PK_ID<6", [3, 4, 5]),
        ("No='a-3 '", [3]),
        ("No IN ('a-3 ','A-4')", [3, 4]),
        ("City='O''Fallon' AND PK_ID<10", [4]),
        ("City LIKE 'L%' AND PK_ID<10", [1, 2, 9]),
        ("City LIKE '_ork' AND PK_ID<10", [3]),
        ("City LIKE '[xyz]or%' AND PK_ID<10", [3]),
        ("City LIKE '100[%]' AND PK_ID<10", [8]),
        ("City LIKE '100!%' ESCAPE '!' AND PK_ID<10", [8]),
        ("City NOT LIKE '%e%' AND City<>'' AND PK_ID<9", [3, 4, 5, 8]),
    ],
)
def test_text_compares_without_case_and_trailing_blanks(sandbox: CaspioSandbox, where: str, keys: list[int]) -> None:
    assert found(sandbox, where) == keys


@pytest.mark.parametrize(
    ("where", "status", "code"),
    [
        ("Active=true", 400, "IncorrectQueryParameter"),
        ("Pwd='secret'", 400, "IncorrectQueryParameter"),
        ("Nope=1", 404, "FieldNotFound"),
        ("No IN (SELECT No FROM Elsewhere)", 404, "ObjectNotFound"),
        ("Due>'soon'", 400, "SqlServerError"),
        ("Due>'2026-01-01T00:00:00Z'", 400, "SqlServerError"),
        ("Orders='many'", 400, "SqlServerError"),
        ("City=5", 400, "SqlServerError"),
        ("Tags=1", 400, "SqlServerError"),
        ("City='O'Fallon'", 400, "SqlServerError"),
        ("City='open", 400, "SqlServerError"),
        ("City", 400, "SqlServerError"),
        ("PK_ID=1; DELETE FROM T", 400, "SqlServerError"),
        ("PK_ID=1 -- rest", 400, "SqlServerError"),
        ("PK_ID=1 ORDER BY PK_ID", 400, "SqlServerError"),
        ("PK_ID=@x", 400, "SqlServerError"),
        ("load_extension('x')=1", 400, "SqlServerError"),
        ("PK_ID IN (SELECT name FROM sqlite_master)", 404, "ObjectNotFound"),
        ("PK_ID=(SELECT PK_ID FROM T UNION SELECT PK_ID FROM T)", 400, "SqlServerError"),
        ("_row=1", 404, "FieldNotFound"),
        ("PK_ID=MAX(PK_ID)", 400, "SqlServerError"),
        ("ROW_NUMBER() OVER (ORDER BY PK_ID)=1", 400, "SqlServerError"),
    ],
)
def test_where_is_refused(sandbox: CaspioSandbox, where: str, status: int, code: str) -> None:
    answer = get(sandbox, where=where)
    assert (answer.status_code, answer.json()["Code"]) == (status, code)


def test_unknown_field_can_be_the_older_error() -> None:
    body = get(a_filled_account(1, unknown_field="sql_error"), where="Nope=1").json()
    assert (body["Code"], body["Message"]) == ("SqlServerError", "Invalid column name 'Nope'.")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
@settings(max_examples=50, deadline=None)
def test_any_text_in_quotes_is_only_a_text(text: str) -> None:
    quoted = text.replace("'", "''")
    answer = get(SELECTED, select="PK_ID", where=f"City=N'{quoted}' OR PK_ID=1", orderBy="PK_ID")
    assert answer.status_code == 200
    assert answer.json()["Result"][0] == {"PK_ID": 1}
