from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.query import and_, condition, encoded, identifier, in_list, literal
from caspio_sync.errors import ConfigurationError

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("O'Brien", "'O''Brien'"),
        ("", "''"),
        ("Zoë", "N'Zoë'"),
        ("it's ☕", "N'it''s ☕'"),
        ("--'; DROP", "'--''; DROP'"),
        (True, "1"),
        (False, "0"),
        (41, "41"),
        (-3, "-3"),
        (1.5, "1.5"),
        (Decimal("12.3400"), "12.3400"),
        (Decimal("1E+3"), "1000"),
        (datetime.fromisoformat("2026-01-31T08:05:00"), "'2026-01-31T08:05:00'"),
        (datetime.fromisoformat("2026-01-31T08:05:01.250999"), "'2026-01-31T08:05:01.250'"),
        (date(2026, 1, 31), "'2026-01-31'"),
    ],
)
def test_a_value_has_its_literal(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), datetime(2026, 1, 1, tzinfo=UTC), b"x", [1]])
def test_what_has_no_literal_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="no literal"):
        literal(value)


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_no_query_can_hold_is_refused_without_showing_it(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="take it out"):
        literal(value)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_text_is_wholly_within_its_quotes(text: str) -> None:
    quoted = literal(text)
    inner = quoted.removeprefix("N")[1:-1]
    assert inner.replace("''", "'") == text
    assert "'" not in inner.replace("''", "")
    assert quoted.startswith("N") is not text.isascii()


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_an_encoded_text_is_one_parameter(text: str) -> None:
    sent = encoded(text)
    assert unquote(sent) == text
    assert not set(sent) & set(' &+#;<>"') or text == ""
    assert sent.isascii()


@given(TEXTS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_conditions_of_literals_can_always_be_joined(left: Any, right: Any) -> None:
    first, second = f"A={literal(left)}", f"B={literal(right)}"
    assert and_(first, second) == f"({first}) AND ({second})"


@pytest.mark.parametrize("name", ["PK_ID", "a", "_PK_ID_Orders", "Straße"])
def test_a_name_is_let_through(name: str) -> None:
    assert identifier(name) == name


@pytest.mark.parametrize("name", ["", "1st", "a b", "a;b", "a]", "a'b", "x,y", "a\n", "COUNT(*)", "x" * 129])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a Caspio field"):
        identifier(name)


@pytest.mark.parametrize(
    "text", ["A=1", "(A=1 OR B='x)')", "A='--' AND B=';'", "A LIKE N'%''%'", "A IN (SELECT B FROM _v_V)", " A=1 "]
)
def test_a_sound_condition_is_kept(text: str) -> None:
    assert condition(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["A=1 -- B", "A=1; DELETE", "A=/* x */1", "A='x", "A='x''", "(A=1", "A=1)", "A=1) OR (B=1", "A=1\0"]
)
def test_a_condition_that_could_swallow_others_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the condition"):
        condition(text)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [([], None), ([None, "", " "], None), (["A=1", None], "A=1"), (["A=1 OR B=2", "C=3"], "(A=1 OR B=2) AND (C=3)")],
)
def test_conditions_are_joined_each_whole(parts: Any, joined: Any) -> None:
    assert and_(*parts) == joined


@given(st.lists(TEXTS, max_size=60), st.integers(320, 900))
@settings(max_examples=100, deadline=None)
def test_a_list_is_cut_into_conditions_within_the_budget(values: Any, budget: int) -> None:
    conditions = in_list("F", values, budget)
    assert all(len(encoded(one)) <= budget for one in conditions)
    inside = [one.removeprefix("F IN (").removesuffix(")") for one in conditions]
    assert ",".join(inside) == ",".join(map(literal, values))


def test_170_keys_of_eight_digits_fit_into_one_request() -> None:
    assert len(in_list("CustomerNo", range(10_000_000, 10_000_170), 1800)) == 1


def test_a_value_over_the_budget_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a value of 502 characters"):
        in_list("F", ["x" * 500], 400)
