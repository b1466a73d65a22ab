"""A page that is decoded once: it reads as it always did, and an absent field is never read as an empty one."""

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.cells import flat_text, source_frame
from caspio_sync.schemas import CaspioField

FIELDS = [CaspioField("A", "STRING"), CaspioField("B", "NUMBER"), CaspioField("C", "YES/NO")]
NAMES = ["PK_ID", "A", "B", "C"]


def test_a_plain_page_is_text_by_field() -> None:
    page = b'[{"PK_ID":1,"A":"x","B":1.5,"C":true},{"C":null,"B":null,"A":"","PK_ID":2}]'
    text = flat_text(page, NAMES)
    assert text is not None
    assert text.rows() == [("1", "x", "1.5", "true"), ("2", "", None, None)]


@pytest.mark.parametrize(
    "page",
    [
        b'[{"PK_ID":1,"A":"x","B":1,"C":true},{"PK_ID":2,"A":"x","B":1}]',  # C is absent
        b'[{"PK_ID":1,"A":null,"B":1,"C":true},{"PK_ID":2,"a":null,"B":1,"C":true}]',  # as it is in another case
        b'[{"PK_ID":1,"B":1,"C":true},{"PK_ID":2,"A":"\\"A\\":null","B":1,"C":true}]',  # as if a text said null
        b'[{"PK_ID":1,"A":{"1":"x"},"B":1,"C":true}]',
        b'[{"PK_ID":1,"A":["x"],"B":1,"C":true}]',
        b'[{"PK_ID":1,"A":"a [ b","B":1,"C":true}]',  # good, and read the other way
        b'[{"PK_ID":1,"A":"a { b","B":1,"C":true}]',
        b'[{"PK_ID":1,"A": null,"B":1,"C":true}]',
        b'[{"PK_ID":1,"A":"\\ud83d","B":1,"C":true}]',  # half an emoji
        b'[{"PK_ID":1,"A":"\\uD83D\\uDE00","B":1,"C":true}]',
        b'[{"PK_ID":1,"A":"x","B":1,"C":true},null]',
        b'[{"PK_ID":1,"A":"x","B":1,"C":true}',
        b'[{"PK_ID":1,"A":"\xff","B":1,"C":true}]',
        b'{"PK_ID":1,"A":"x","B":1,"C":true}',
        b"[]",
        b"",
    ],
)
def test_whatever_else_is_not_decided_here(page: bytes) -> None:
    assert flat_text(page, NAMES) is None


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
)
ROWS = st.lists(st.fixed_dictionaries({"A": CELLS, "B": CELLS, "C": CELLS}), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, left_out=st.sets(st.tuples(st.integers(0, 5), st.sampled_from("ABC")), max_size=2))
def test_it_reads_as_the_page_itself_does_and_only_where_no_field_is_absent(
    rows: list[dict[str, object]], left_out: set[tuple[int, str]]
) -> None:
    given = [{"PK_ID": place, **row} for place, row in enumerate(rows)]
    for place, name in left_out:
        if place < len(given):
            given[place].pop(name, None)
    page = orjson.dumps(given)
    text = flat_text(page, NAMES)
    if any(set(row) != set(NAMES) for row in given):
        assert text is None
    elif text is not None:
        by_page, by_text = (source_frame([each], FIELDS, "PK_ID") for each in (page, text))
        assert isinstance(by_page, pl.DataFrame)
        assert by_text.equals(by_page)
    else:
        assert any(sign in page for sign in (b"[", b"{", b"\\ud", b"\\uD"))
