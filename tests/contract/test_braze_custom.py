"""Custom attributes and dates of the Braze emulator, against sections 3.4 and 3.5 of the reference."""

from typing import Any

import pytest

from caspio_sync.sandbox.braze.dates import parse_instant
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.contract.conftest import a_workspace, stored, track


def custom(sandbox: BrazeSandbox, *values: Any, **steering: Any) -> Any:
    """What the custom attribute `x` holds after these values; `missing` where it holds nothing."""
    profile = stored(sandbox, *({"x": value} | steering for value in values))
    return profile["custom_attributes"].get("x", "missing")


# 3.4: custom attributes.


@pytest.mark.parametrize("value", ["text", "", 1, 2.5, True, "2026-01-31", ["a", "b"], {"k": 1}, [{"k": 1}]])
def test_every_documented_type_is_stored(value: Any) -> None:
    assert custom(a_workspace(), value) == value


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["text", 5], "5"),
        (["text", True], "text"),
        ([1, "2"], 2),
        ([1, "2.5"], 2.5),
        ([1, "two"], 1),
        ([1, "inf"], 1),
        ([True, "f"], False),
        ([True, 0], False),
        ([True, "perhaps"], True),
        ([["a"], "b"], ["a"]),
        ([{"k": 1}, "b"], {"k": 1}),
        (["2026-01-01", "soon"], "soon"),
        (["2026-01-01", 5], "2026-01-01"),
    ],
)
def test_first_value_fixes_the_type(values: list[Any], kept: Any) -> None:
    assert custom(a_workspace(), *values) == kept


def test_type_may_stay_open() -> None:
    assert custom(a_workspace(first_value_fixes_type=False), 1, "two") == "two"


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("number", "12", 12),
        ("number", "twelve", "missing"),
        ("string", 12, "12"),
        ("boolean", "true", True),
        ("boolean", "yes", "missing"),
        ("date", "2026-01-31", "2026-01-31"),
        ("date", "soon", "missing"),
        ("array", "a", "missing"),
    ],
)
def test_forced_type_coerces_or_ignores(kind: str, value: Any, kept: Any) -> None:
    assert custom(a_workspace(forced_types={"x": kind}), value) == kept


@pytest.mark.parametrize(("choice", "kept"), [("truncate", "x" * 255), ("drop", "missing")])
def test_long_string_is_cut_or_dropped(choice: str, kept: str) -> None:
    assert custom(a_workspace(long_strings=choice), "x" * 256) == kept


def test_long_string_does_not_pass_once_the_type_is_fixed() -> None:
    assert custom(a_workspace(), "short", "x" * 300) == "x" * 255


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([["a", "b", "a"]], ["b", "a"]),
        ([["a"], {"add": ["b", "a"]}], ["b", "a"]),
        ([["a", "b"], {"remove": ["a", "c"]}], ["b"]),
        ([["a"], {"add": ["b"], "remove": ["a"]}], ["b"]),
        ([["a", None]], "missing"),
        ([[str(n) for n in range(501)]], [str(n) for n in range(500)]),
        ([1, {"inc": 2}, {"inc": -1}], 2),
        ([{"inc": 2}], 2),
        ([1, {"inc": "2"}], 1),
    ],
)
def test_array_and_increment_operations(values: list[Any], kept: Any) -> None:
    assert custom(a_workspace(), *values) == kept


@pytest.mark.parametrize(
    "unsound",
    [
        {"k": None},
        {"k": {"$time": "never"}},
        {"a b": 1},
        {"a.b": 1},
        {"$a": 1},
        {"k": "x" * 256},
        {"k": [None]},
        {"k": ["x" * 250] * 500},
    ],
)
def test_one_unsound_part_drops_the_whole_object_and_keeps_the_old(unsound: Any) -> None:
    assert custom(a_workspace(), {"ok": 1}, {"fine": 2} | unsound) == {"ok": 1}


def test_object_is_replaced_unless_merged() -> None:
    assert custom(a_workspace(), {"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"c": 2}}
    assert custom(a_workspace(), {"a": {"b": 1}}, {"a": {"c": 2}}, _merge_objects=True) == {"a": {"b": 1, "c": 2}}


def test_dates_inside_objects_are_kept_as_written() -> None:
    assert custom(a_workspace(), {"at": {"$time": "2026-01-31"}}) == {"at": {"$time": "2026-01-31"}}


def test_array_of_objects_adds_then_removes_then_updates() -> None:
    operations = {
        "$update": [{"$identifier_key": "id", "$identifier_value": 3, "$new_object": {"id": 3, "n": "c"}}],
        "$remove": [{"$identifier_key": "id", "$identifier_value": 1}],
        "$add": [{"id": 3}],
    }
    assert custom(a_workspace(), [{"id": 1}, {"id": 2}], operations) == [{"id": 2}, {"id": 3, "n": "c"}]


def test_array_of_objects_over_the_limit_is_dropped_while_the_answer_says_success() -> None:
    sandbox = a_workspace()
    answer = track(sandbox, {"external_id": "c", "x": [{"k": "y" * 250}] * 500})
    assert answer.json() == {"message": "success", "attributes_processed": 1}
    assert sandbox.profiles()["c"]["custom_attributes"] == {}


def test_names_are_stripped_bounded_and_blocklisted() -> None:
    sandbox = a_workspace(blocklisted_attributes={"secret"})
    profile = stored(sandbox, {" spend ": 1, "secret": 1, "n" * 256: 1})
    assert profile["custom_attributes"] == {"spend": 1}


# 3.5: dates.


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T10:20:30", "2026-01-31T10:20:30+00:00"),
        ("2026-01-31 10:20:30", "2026-01-31T10:20:30+00:00"),
        ("2026-01-31T10:20:30Z", "2026-01-31T10:20:30+00:00"),
        ("2026-01-31T10:20:30.123+01:00", "2026-01-31T09:20:30.123000+00:00"),
        ("2026-01-31T10:20:30:123+0100", "2026-01-31T09:20:30.123000+00:00"),
        ("01/31/2026", "2026-01-31T00:00:00+00:00"),
        ("Sat 01 31 10:20:30.Z 2026", "2026-01-31T10:20:30+00:00"),
    ],
)
def test_documented_date_formats_are_read(text: str, iso: str) -> None:
    instant = parse_instant(text)
    assert instant is not None
    assert instant.isoformat() == iso


@pytest.mark.parametrize("text", ["2026-13-01", "31/01/2026", "3001-01-01", "20260131", "2026-01-31T25:00:00", "x", ""])
def test_other_formats_are_no_dates(text: str) -> None:
    assert parse_instant(text) is None


def test_array_is_cut_at_the_workspace_s_limit() -> None:
    """3.4: 500 elements by default and at most; 25 until 2025. Longer arrays are truncated."""
    assert custom(a_workspace(max_array=25), [str(number) for number in range(30)]) == [str(n) for n in range(25)]
    assert len(custom(a_workspace(), [str(number) for number in range(501)])) == 500
