"""A success that does not hold Caspio's document is no answer: the call is made again, and then the run says so."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.query import identifier
from caspio_sync.errors import ConfigurationError, TransientError
from tests.clients.test_caspio import TABLE, FakeCaspio, page, rows

Ask = Callable[[CaspioClient], Any]


def two_fields(client: CaspioClient) -> Any:
    return client.records(TABLE, select=["PK_ID", "Name"], order_by="PK_ID ASC")


def count(client: CaspioClient) -> Any:
    return client.aggregate(TABLE, select="COUNT(PK_ID) AS row_count,MIN(PK_ID) AS low_key,MAX(PK_ID) AS high_key")


def fields(client: CaspioClient) -> Any:
    return client.fields(TABLE)


def names(client: CaspioClient) -> Any:
    return client.tables()


FOREIGN: list[tuple[Ask, bytes]] = [
    *((ask, body) for ask in (two_fields, count, fields, names) for body in (
        b"", b"{}", b"null", b"[]", b'{"Result":null}', b'{"Result":{}}', b'{"Result":"x"}',
        b"\xef\xbb\xbf" + b'{"Result":[]}', b"<html>blocked</html>", b'{"data":[]}', b'{"message":"blocked by policy"}',
    )),
    (two_fields, b'{"Result":[1,2]}'),
    (two_fields, b'{"Result":[{"PK_ID":1}]}'),
    (two_fields, b'{"Result":[{"PK_ID":1,"Name":"a"},{"PK_ID":2}]}'),
    (two_fields, b'{"Result":[{"PK_ID":1,"Name":"a"},{"PK_ID":2,"Note":"b"}]}'),
    (two_fields, b'{"Result":[{"Sku":1,"Price":2}]}'),
    (two_fields, b'{"Result":[{"PK_ID":1,"Note":"\\"Name\\": x"}]}'),
    (count, b'{"Result":[]}'),
    (count, b'{"Result":[{"row_count":1},{"row_count":2}]}'),
    (count, b'{"Result":[{"row_count":3000}]}'),
    (count, b'{"Result":[7]}'),
    (fields, b'{"Result":[]}'),
    (fields, b'{"Result":["CustomerNo"]}'),
    (fields, b'{"Result":[{"Type":"STRING"}]}'),
    (names, b'{"Result":[{"Name":"T"}]}'),
]  # fmt: skip
GOOD: dict[Ask, httpx.Response] = {
    two_fields: rows({"PK_ID": 1, "Name": 'a "Name": b'}),
    count: rows({"row_count": 0, "low_key": None, "high_key": None}),
    fields: rows({"Name": "CustomerNo", "Type": "STRING"}),
    names: rows("T"),
}


@pytest.mark.parametrize(("ask", "body"), FOREIGN)
def test_an_answer_that_is_not_caspios_is_asked_for_again_and_then_told_of(ask: Ask, body: bytes) -> None:
    foreign = httpx.Response(200, content=body, headers={"Content-Type": "text/html"})
    FakeCaspio(foreign, GOOD[ask]).ask(ask)  # once is a stray
    caspio = FakeCaspio(foreign)
    with pytest.raises(
        TransientError, match=r"200 from .* is not known to be the answer of that host itself .*Content-Type text/html"
    ):
        caspio.ask(ask)
    assert len(caspio.requests) > 3
    assert caspio.clock.monotonic() < 61


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"Result": [{"PK_ID": 1, "Name": None, "More": 1}]}, 1),
        ({"Result": [{"PK_ID": 1, "Name": 'x": y'}, {"PK_ID": 2, "Name": ""}]}, 2),
        ({"Result": [{"Name": {"1": "red"}, "PK_ID": 1}]}, 1),
        ({"Result": []}, 0),
    ],
)
def test_rows_with_every_field_that_was_asked_for_are_taken_as_they_are(body: Any, kept: int) -> None:
    for indent in (None, 1):
        answer = httpx.Response(200, content=json.dumps(body, indent=indent).encode())
        assert len(json.loads(FakeCaspio(answer).ask(two_fields).rows)) == kept


@pytest.mark.parametrize("affected", [None, "3", True, -1, 2.5])
def test_a_write_whose_answer_has_no_number_may_have_taken_effect_and_is_not_made_again(affected: object) -> None:
    caspio = FakeCaspio(httpx.Response(200, json={"RecordsAffected": affected}))
    with pytest.raises(TransientError) as caught:
        caspio.ask(lambda client: client.update(TABLE, {"A": 1}, where="PK_ID=1"))
    assert caught.value.ambiguous
    assert len(caspio.requests) == 1


@pytest.mark.parametrize(("told", "means"), [(True, True), ("true", True), ("false", False), (None, False), (0, False)])
def test_a_property_in_quotes_means_what_it_says(told: object, means: bool) -> None:
    (found,) = FakeCaspio(rows({"Name": "At", "Type": "TIMESTAMP", "OnUpdate": told})).ask(fields)
    assert found.on_update is means


@pytest.mark.parametrize("lifetime", [None, 0, -5, "nan", "inf", 1e300])
def test_a_token_whose_lifetime_is_nonsense_serves_a_few_calls_all_the_same(lifetime: object) -> None:
    caspio = FakeCaspio(rows(), lifetime=lifetime)
    caspio.ask(page, page, page)
    assert caspio.tokens == 1


@pytest.mark.parametrize("token", [None, "", 7, "two words", "a\nb", "é"])
def test_a_token_that_no_header_can_carry_is_no_token(token: object) -> None:
    caspio = FakeCaspio(rows())
    caspio.token = lambda: token
    with pytest.raises(TransientError, match="an answer without access_token"):
        caspio.ask(page)


WIDE = ["PK_ID", *(f"A_field_with_a_long_name_{number:02}" for number in range(90))]


class WideTable:
    """Answers each selection of WIDE, and may change between two of them."""

    def __init__(self, keys: list[int]) -> None:
        self.keys = keys
        self.asked: list[list[str]] = []
        self.version = 0
        self.change: Callable[[int], None] = lambda _call: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        selected = parse_qs(request.url.query.decode())["q.select"][0].split(",")
        self.asked.append(selected)
        self.change(len(self.asked))
        found = [
            {name: key if name == "PK_ID" else f"{name} of {key}, version {self.version}" for name in selected}
            for key in self.keys
        ]
        return rows(*found)


def wide(client: CaspioClient) -> Any:
    return client.records(TABLE, select=WIDE, where="PK_ID>0 AND PK_ID<=9000000", order_by="PK_ID ASC")


def test_more_fields_than_an_address_holds_are_read_by_several_calls_and_joined() -> None:
    table = WideTable([1, 2, 30])
    caspio = FakeCaspio(table)
    found = json.loads(caspio.ask(wide).rows)
    assert [row["PK_ID"] for row in found] == [1, 2, 30]
    assert all(row[name] == f"{name} of {row['PK_ID']}, version 0" for row in found for name in WIDE[1:])
    assert len(table.asked) == 3
    assert set(table.asked[0]) | set(table.asked[1]) == set(WIDE)
    assert all(selected[0] == "PK_ID" for selected in table.asked)
    assert all(len(str(request.url)) <= 2047 for request in caspio.requests)


@pytest.mark.parametrize("after", [[1, 2], [1, 2, 3, 4], [1, 2, 4]])
def test_a_row_that_came_or_went_between_the_calls_is_looked_at_again(after: list[int]) -> None:
    table = WideTable([1, 2, 3])

    def change(call: int) -> None:
        if call == 2:
            table.keys = after

    table.change = change
    found = json.loads(FakeCaspio(table).ask(wide).rows)
    assert [row["PK_ID"] for row in found] == after
    assert all(len(row) == len(WIDE) for row in found)
    assert len(table.asked) == 6


def test_no_row_is_made_of_two_of_its_versions() -> None:
    table = WideTable([1, 2])
    table.change = lambda call: setattr(table, "version", 1 if call < 2 else 2)
    found = json.loads(FakeCaspio(table).ask(wide).rows)
    assert {cell for row in found for name, cell in row.items() if name != "PK_ID"} == {
        f"{name} of {key}, version 2" for name in WIDE[1:] for key in (1, 2)
    }
    assert len(table.asked) == 6


def test_rows_that_change_at_every_look_end_the_read() -> None:
    table = WideTable([1])
    table.change = lambda call: table.keys.append(call + 1)
    with pytest.raises(TransientError, match=r"rows changed between the 3 calls"):
        FakeCaspio(table).ask(wide)


def test_a_condition_that_leaves_hardly_room_for_fields_is_refused_by_its_length() -> None:
    condition = " AND ".join(f"A<>{number:030}" for number in range(52))
    with pytest.raises(ConfigurationError, match=r"q\.select"):
        FakeCaspio(rows()).ask(lambda client: client.records(TABLE, select=WIDE, where=condition))


@pytest.mark.parametrize(
    ("name", "written"),
    [("From", "[From]"), ("null", "[null]"), ("ORDER", "[ORDER]"), ("Name", "Name"), ("FromDate", "FromDate")],
)
def test_a_field_named_as_a_word_of_sql_stands_in_brackets(name: str, written: str) -> None:
    assert identifier(name) == written
    caspio = FakeCaspio(rows())
    caspio.ask(lambda client: client.records(TABLE, select=["PK_ID", name]))
    assert parse_qs(caspio.requests[0].url.query.decode())["q.select"] == [f"PK_ID,{written}"]
