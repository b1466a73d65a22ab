from datetime import datetime
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.cells import source_frame
from caspio_sync.errors import PermanentError
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField


def column(kind: str, *cells: object) -> pl.DataFrame:
    """The source frame of one field of that type, a row a cell."""
    rows = [{"PK_ID": number, "F": cell} for number, cell in enumerate(cells)]
    return source_frame([orjson.dumps(rows)], [CaspioField("F", kind)], "PK_ID")


def test_the_frame_has_the_key_the_fields_and_what_was_uncastable() -> None:
    fields = [CaspioField("B", "INTEGER"), CaspioField("A", "STRING")]
    frame = source_frame([b'[{"A":"x","PK_ID":3,"B":1}]', b'[{"PK_ID":4}]'], fields, "PK_ID")
    assert frame.schema == {
        "source_pk": pl.Int64,
        "B": pl.Int64,
        "A": pl.String,
        "uncastable": pl.List(pl.String),
    }
    assert frame.rows() == [(3, 1, "x", None), (4, None, None, None)]


@pytest.mark.parametrize("kind", SOURCE_DTYPES)
def test_every_type_of_caspio_has_its_dtype_also_without_rows(kind: str) -> None:
    assert column(kind).schema["F"] == SOURCE_DTYPES[kind]
    assert source_frame([], [CaspioField("F", kind)], "PK_ID").schema["F"] == SOURCE_DTYPES[kind]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("INTEGER", 12, 12),
        ("INTEGER", 12.0, 12),
        ("INTEGER", "12.0", 12),
        ("INTEGER", " 7 ", 7),
        ("INTEGER", "", None),
        ("INTEGER", 9_007_199_254_740_993, 9_007_199_254_740_993),
        ("NUMBER", 1.5, 1.5),
        ("NUMBER", "1e3", 1000.0),
        ("CURRENCY", 12, 12.0),
        ("YES/NO", True, True),
        ("YES/NO", False, False),
        ("YES/NO", None, None),
        ("DATE/TIME", "2026-05-02T08:15:30", datetime.fromisoformat("2026-05-02T08:15:30")),
        ("DATE/TIME", "2026-05-02T08:15:30.25", datetime.fromisoformat("2026-05-02T08:15:30.250")),
        ("TIMESTAMP", "1899-12-31T23:59:59", datetime.fromisoformat("1899-12-31T23:59:59")),
        ("DATE/TIME", None, None),
        ("STRING", "", ""),
        ("STRING", " a ", " a "),
        ("STRING", "ü\n\"'", "ü\n\"'"),
        ("STRING", 41, "41"),
        ("STRING", {"1": "x"}, '{"1":"x"}'),
        ("LIST-STRING", {"2": "blue"}, ["blue"]),
        ("LIST-STRING", {"10": "c", "2": "b", "1": 'a,"'}, ['a,"', "b", "c"]),
        ("LIST-STRING", {}, []),
        ("LIST-STRING", ["a", "b"], ["a", "b"]),
        ("LIST-STRING", {"1": "}\x1f\\"}, ["}\x1f\\"]),
        ("LIST-STRING", None, None),
        ("LIST-STRING", "", None),
        ("LIST-NUMBER", {"1": 12.5, "2": 3}, ["12.5", "3"]),
        ("SOMETHING NEW", "x", "x"),
    ],
)
def test_a_cell_is_cast_by_its_declared_type(kind: str, cell: Any, value: Any) -> None:
    frame = column(kind, cell)
    assert frame["F"].to_list() == [value]
    assert frame["uncastable"].to_list() == [None]


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("INTEGER", "12.5"),
        ("INTEGER", "many"),
        ("INTEGER", 10**19),
        ("NUMBER", "1,5"),
        ("NUMBER", "NaN"),
        ("NUMBER", "inf"),
        ("YES/NO", "perhaps"),
        ("DATE/TIME", "02/05/2026"),
        ("DATE/TIME", "2026-13-02T08:15:30"),
        ("DATE/TIME", "2026-05-02T08:15:30Z"),
        ("DATE/TIME", "2026-05-02T08:15:30+02:00"),
        ("LIST-STRING", "blue"),
        ("LIST-STRING", {"a": "blue"}),
    ],
)
def test_a_cell_that_cannot_be_cast_is_null_and_named(kind: str, cell: Any) -> None:
    frame = column(kind, None, cell)
    assert frame["F"].to_list() == [None, None]
    assert frame["uncastable"].to_list() == [None, ["F"]]


def test_every_uncastable_field_of_a_row_is_named() -> None:
    fields = [CaspioField("A", "INTEGER"), CaspioField("B", "YES/NO"), CaspioField("C", "NUMBER")]
    frame = source_frame([b'[{"PK_ID":1,"A":"x","B":true,"C":"y"},{"PK_ID":2,"A":1}]'], fields, "PK_ID")
    assert frame["uncastable"].to_list() == [["A", "C"], None]


def test_the_key_field_can_be_a_column_too() -> None:
    frame = source_frame([b'[{"No":7}]'], [CaspioField("No", "INTEGER")], "No")
    assert frame.rows() == [(7, 7, None)]


def test_a_row_without_a_key_is_an_error() -> None:
    with pytest.raises(PermanentError, match="1 rows without a whole number in PK_ID"):
        source_frame([b'[{"PK_ID":1},{"A":2}]'], [CaspioField("A", "INTEGER")], "PK_ID")


@pytest.mark.parametrize("page", [b'[{"PK_ID":1', b'{"PK_ID":1}', b"[1]", b'"x"'])
@pytest.mark.parametrize("kind", ["STRING", "LIST-STRING"])
def test_a_page_that_is_no_array_of_records_is_an_error(page: Any, kind: str) -> None:
    with pytest.raises(PermanentError, match="no array of records"):
        source_frame([page], [CaspioField("F", kind)], "PK_ID")


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "S": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "I": st.none() | st.integers(-(2**63), 2**63 - 1),
                "N": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "B": st.none() | st.booleans(),
                "D": st.none()
                | st.datetimes(min_value=datetime.fromisoformat("1753-01-01")).map(
                    lambda one: one.replace(microsecond=0)
                ),
                "L": st.none()
                | st.dictionaries(st.integers(1, 40), st.text(st.characters(exclude_categories=["Cs"])), max_size=4),
            }
        ),
        max_size=12,
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_what_caspio_sends_is_what_the_frame_holds(rows: Any, with_list: bool) -> None:
    kinds = {"S": "STRING", "I": "INTEGER", "N": "NUMBER", "B": "YES/NO", "D": "DATE/TIME", "L": "LIST-STRING"}
    names = list(kinds) if with_list else list(kinds)[:-1]
    sent = [{"PK_ID": number, **{name: row[name] for name in names}} for number, row in enumerate(rows)]
    page = orjson.dumps(sent, option=orjson.OPT_NON_STR_KEYS)
    frame = source_frame([page], [CaspioField(name, kinds[name]) for name in names], "PK_ID")
    for name in names:
        cells = [row[name] for row in rows]
        if name == "L":
            cells = [cell if cell is None else [cell[one] for one in sorted(cell)] for cell in cells]
        assert frame[name].to_list() == cells
    assert frame["uncastable"].null_count() == len(rows)
