"""Rows are told apart in their pages without decoding them, or not at all."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.caspio.raw_rows import cut, pages_of, raw_prints

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
cells = st.none() | st.booleans() | texts | st.sampled_from(['{"PK_ID":', '},{"PK_ID":1', "]}", '"PK_ID":'])
records_of_a_table = st.builds(
    lambda pk, name, tags: {"PK_ID": pk, "Name": name, "Tags": tags},
    st.integers(-(2**63), 2**63 - 1),
    cells,
    st.none() | st.just({"1": "a"}),
)
rows = st.lists(records_of_a_table, min_size=1)


@given(rows)
def test_every_row_is_cut_out_whole_and_put_back(records: list[dict[str, Any]]) -> None:
    page = orjson.dumps(records)
    found = cut([page], "PK_ID")
    assert found is not None
    assert [orjson.loads(b'{"PK_ID":' + each[:-1]) for each in found] == records
    assert b"".join(pages_of(found, "PK_ID")) == page


@given(rows, rows)
def test_rows_have_the_same_print_where_every_cell_is_the_same(
    some: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    prints: dict[int, dict[str, Any]] = {}
    for records in (some, others):
        found = cut([orjson.dumps(records)], "PK_ID")
        assert found is not None
        for record, print_ in zip(records, raw_prints(found, 7).tolist(), strict=True):
            assert prints.setdefault(print_, record) == record


@pytest.mark.parametrize(
    "page",
    [
        b"[]",
        b'[{"Name":"Ada","PK_ID":1}]',  # the key comes later
        b'[ {"PK_ID":1,"Name":"Ada"}]',  # blanks
        b'[{"PK_ID":1,"Name":"Ada"} , {"PK_ID":2,"Name":"Bo"}]',
        b'[{"PK_ID":1,"Name":"Ada"},{"PK_ID":2,"Na',  # cut off
        b'[{"PK_ID":1,"Name":{"PK_ID":2}}]',  # the key's name stands within a cell
        b'[{"PK_ID":1},{"Name":"Bo","PK_ID":2}]',
    ],
)
def test_where_rows_are_not_surely_told_apart_they_are_not(page: bytes) -> None:
    assert cut([b'[{"PK_ID":9,"Name":"Zoe"}]', page], "PK_ID") is None
