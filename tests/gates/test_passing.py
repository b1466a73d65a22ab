"""What is told to pass without Great Expectations, passes there; and a gate says the same whether it asks or not."""

import importlib
import string
import subprocess
import sys
import warnings
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caspio_sync.errors import ConfigurationError
from expectations.gate import Expectation, Gate, GateLimits, expectation_from
from expectations.passing import is_known, surely_passes
from tests.gates.test_gate import a_gate, expect, holds, rows

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BETWEEN = (
    "expect_column_values_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_max_to_be_between",
)


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


# Few different values, so that many columns pass; and the ones at which two readers part.
WORDS = st.sampled_from(["", "a", "A", "b ", "é", "e\u0301", "😀", "true", "1", "nan", "None", "a\x00b", "\u200b"])
WHOLE = st.sampled_from([-1, 0, 1, 2, 3, 2**53 - 1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1])
REAL = st.sampled_from([-1.5, -0.0, 0.0, 1.0, 2.5, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")])
COLUMNS = st.one_of(
    st.lists(st.none() | st.booleans(), min_size=1, max_size=6).map(lambda cells: pl.Series("c", cells, pl.Boolean)),
    st.lists(st.none() | WORDS, min_size=1, max_size=6).map(lambda cells: pl.Series("c", cells, pl.String)),
    st.lists(st.none() | WHOLE, min_size=1, max_size=6).map(lambda cells: pl.Series("c", cells, pl.Int64)),
    st.lists(st.none() | REAL, min_size=1, max_size=6).map(lambda cells: pl.Series("c", cells, pl.Float64)),
)
BOUNDS = st.none() | WHOLE | REAL


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An expectation that is judged without Great Expectations."""
    type_ = draw(
        st.sampled_from(
            [*BETWEEN, "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_null",
             "expect_column_value_lengths_to_be_between"]
        )
    )  # fmt: skip
    kwargs: dict[str, Any] = {"column": "c"}
    if type_ == "expect_column_values_to_be_in_set":
        cells = draw(st.sampled_from([st.booleans(), WORDS, WHOLE]))
        kwargs["value_set"] = draw(st.lists(cells, min_size=1, max_size=8))
    elif type_ != "expect_column_values_to_not_be_null":
        bounds = st.none() | st.integers(0, 3) if "lengths" in type_ else BOUNDS
        kwargs |= {name: draw(bounds) for name in draw(st.sets(st.sampled_from(["min_value", "max_value"])))}
    return type_, kwargs


def told(gate: Gate, frame: pl.DataFrame) -> tuple[Any, ...]:
    try:
        judgement = gate.judge(frame)
    except ConfigurationError as refused:
        return (str(refused),)
    places = judgement.accepted["source_pk"].to_list(), judgement.held.select("source_pk", "reason").rows()
    return *places, judgement.checks, judgement.blocked


@SETTINGS
@given(asked(), COLUMNS)
def test_a_gate_finds_the_same_whether_it_asks_always_or_where_it_must(
    each: tuple[str, dict[str, Any]], column: pl.Series
) -> None:
    type_, kwargs = each
    assume(is_known(type_, kwargs))
    expectation = expectation_from(type_, kwargs, severity="critical", meta={"name": "mine", "why": "because"})
    frame = pl.DataFrame({"source_pk": range(len(column)), "problems": None, "c": column}).cast({"problems": pl.String})
    limits = GateLimits(min_rows=1, max_quarantined_share=1.0)
    always = told(Gate("always", [expectation], limits, always=True), frame)
    assert told(Gate("test", [expectation], limits), frame) == always
    if surely_passes(type_, kwargs, column):
        (check,) = always[2]
        assert check.passed
        assert check.failed == 0


@given(st.lists(st.sampled_from([True, False, None]), min_size=6, max_size=6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_suite_of_which_some_fail_is_told_as_it_is_by_great_expectations_alone(
    fails: list[bool | None], mean: bool
) -> None:
    columns = {f"c{place}": pl.Series([True, None if fail is None else not fail]) for place, fail in enumerate(fails)}
    suite = [holds(name, severity="warning" if name == "c1" else "critical") for name in columns]
    if mean:
        suite.insert(3, expect("expect_column_mean_to_be_between", column="source_pk", max_value=0.1))
    frame = rows(2).with_columns(**columns)
    where_needed, always = (
        a_gate(*suite, always=each, min_rows=1, max_quarantined_share=1.0) for each in (False, True)
    )
    assert told(where_needed, frame) == told(always, frame)


@pytest.mark.parametrize("type_", BETWEEN)
@pytest.mark.parametrize("column", [pl.Series([1, 2, None]), pl.Series([1.0, float("nan"), 2.0])])
def test_what_passes_needs_no_great_expectations(type_: str, column: pl.Series) -> None:
    assert surely_passes(type_, {"column": "c", "min_value": 1, "max_value": 2}, column)
    assert not surely_passes(type_, {"column": "c", "min_value": 2, "max_value": 2.5}, column)


def test_texts_sets_and_presence_that_pass_need_none() -> None:
    texts = pl.Series(["a", "😀é", None])
    assert surely_passes("expect_column_value_lengths_to_be_between", {"column": "c", "max_value": 2}, texts)
    assert surely_passes("expect_column_values_to_be_in_set", {"column": "c", "value_set": ["a", "😀é"]}, texts)
    assert surely_passes("expect_column_values_to_be_in_set", {"column": "c", "value_set": [True]}, pl.Series([True]))
    assert surely_passes("expect_column_values_to_not_be_null", {"column": "c"}, pl.Series([0.0, 1.0]))
    assert not surely_passes("expect_column_values_to_not_be_null", {"column": "c"}, texts)


@pytest.mark.parametrize(
    ("type_", "kwargs"),
    [
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": []}),
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": [1, "1"]}),
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": [1.5]}),
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": [2**53 + 1]}),
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": [True], "mostly": 0.9}),
        ("expect_column_values_to_be_in_set", {"column": "c"}),
        ("expect_column_values_to_be_between", {"column": "c"}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": 3, "max_value": 1}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": "a"}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": True}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": float("nan")}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": 1, "strict_min": True}),
        ("expect_column_values_to_be_between", {"column": "c", "min_value": 1, "row_condition": "d == 1"}),
        ("expect_column_value_lengths_to_be_between", {"column": "c", "min_value": 1.5}),
        ("expect_column_value_lengths_to_be_between", {"column": "c", "min_value": -1}),
        ("expect_column_values_to_not_be_null", {"column": ""}),
        ("expect_column_values_to_not_be_null", {"column": 3}),
        ("expect_column_values_to_not_be_null", {}),
        ("expect_column_values_to_match_regex", {"column": "c", "regex": "a"}),
        ("expect_nothing", {"column": "c"}),
    ],
)
def test_a_form_that_is_not_known_is_left_to_great_expectations(type_: str, kwargs: dict[str, Any]) -> None:
    assert not is_known(type_, kwargs)
    assert not Expectation(type_, kwargs, "critical", {}).is_known


@SETTINGS
@given(asked())
def test_every_form_that_is_known_is_one_that_great_expectations_takes(each: tuple[str, dict[str, Any]]) -> None:
    assume(is_known(*each))
    Expectation(*each, "critical", {"why": string.printable}).made()


def test_rows_that_surely_pass_load_no_great_expectations() -> None:
    judge = (
        "import sys, polars as pl\n"
        "from expectations.gate import Gate, GateLimits, expectation_from\n"
        "asked = expectation_from('expect_column_values_to_be_in_set', {'column': 'c', 'value_set': [True]}, severity='critical', meta={})\n"
        "rows = pl.DataFrame({'source_pk': [1, 2], 'problems': ['', ''], 'c': [True, None]})\n"
        "judgement = Gate('g', [asked], GateLimits()).judge(rows)\n"
        "assert judgement.accepted.height == 2 and judgement.checks[0].passed\n"
        "assert 'great_expectations' not in sys.modules and 'pandas' not in sys.modules\n"
        "held = Gate('g', [asked], GateLimits()).judge(rows.with_columns(c=pl.Series([True, False]))).held\n"
        "assert held['source_pk'].to_list() == [2] and 'great_expectations' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", judge], check=True, timeout=120)
