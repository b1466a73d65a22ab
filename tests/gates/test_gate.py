"""The gate: which rows it sets aside, when it blocks a batch, and that threads never judge each other's rows."""

import importlib
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.engine.gates import Judgement
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from expectations.gate import Gate, GateLimits, expectation_from
from expectations.profiles import judged_frame
from expectations.rules import MAX_ROW_EXPECTATIONS
from expectations.suites import gate_of, suite_of
from tests.definitions import profiles

SHIPPED = Path(__file__).parents[2] / "examples" / "customers.yaml"
SECRET = "alice.secret@example.com"


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def expect(
    kind: str = "expect_column_values_to_be_in_set",
    *,
    severity: str = "critical",
    name: str | None = None,
    why: str = "because",
    **kwargs: Any,
) -> Any:
    meta = {"why": why} | ({"name": name} if name else {})
    return expectation_from(kind, kwargs, severity=severity, meta=meta)


def holds(column: str, **more: Any) -> Any:
    return expect(column=column, value_set=[True], name=more.pop("name", column), **more)


def a_gate(*expectations: Any, always: bool = False, **limits: Any) -> Gate:
    return Gate("test", expectations, GateLimits(**limits), always=always)


def rows(count: int, bad: Sequence[int] = (), **columns: Any) -> pl.DataFrame:
    marked = [number in set(bad) for number in range(count)]
    frame = pl.DataFrame({"source_pk": range(count), "ok": [not each for each in marked]})
    problems = pl.Series(
        "problems", ["email: is no address (xxx@xxx)" if each else None for each in marked], dtype=pl.String
    )
    return frame.with_columns(problems, **columns)


def placed(judgement: Judgement) -> tuple[list[int], list[int]]:
    return judgement.accepted["source_pk"].to_list(), judgement.held["source_pk"].to_list()


@pytest.mark.parametrize("always", [True, False])
def test_threads_never_judge_each_others_rows(*, always: bool) -> None:
    # Without the lock about half of these verdicts are wrong, and no exception tells.
    gate = a_gate(
        holds("ok"),
        expect("expect_column_max_to_be_between", column="size", max_value=10),
        max_quarantined_share=1.0,
        always=always,
    )
    size = pl.lit(1, dtype=pl.Int64)
    bad_size = pl.lit(99, dtype=pl.Int64)
    frames = [
        rows(300, size=size),
        rows(250, size=size),
        rows(300, range(0, 300, 3), size=bad_size),
        rows(400, [7], size=bad_size),
    ]
    expected = [[], [], list(range(0, 300, 3)), [7]]
    start = threading.Barrier(4)

    def judge(place: int) -> list[str]:
        start.wait()
        wrong = []
        for _ in range(15):
            judgement = gate.judge(frames[place])
            if placed(judgement)[1] != expected[place] or (judgement.blocked is not None) != (place >= 2):
                wrong.append(f"frame {place}: {placed(judgement)[1][:5]}, {judgement.blocked}")
        return wrong

    with ThreadPoolExecutor(4) as threads:
        assert [wrong for found in threads.map(judge, range(4)) for wrong in found] == []


def test_two_gates_of_one_process_keep_apart() -> None:
    first, second = a_gate(holds("ok")), Gate("other", [holds("fine")], GateLimits())
    assert placed(first.judge(rows(3, [1]))) == ([0, 2], [1])
    assert placed(second.judge(rows(3).rename({"ok": "fine"}))) == ([0, 1, 2], [])


def test_rows_that_fail_are_set_aside_and_the_rest_go_on_in_order() -> None:
    judgement = a_gate(holds("ok")).judge(rows(50, [3, 40]))
    accepted, held = placed(judgement)
    assert held == [3, 40]
    assert accepted == [number for number in range(50) if number not in {3, 40}]
    assert judgement.blocked is None
    assert judgement.accepted.columns == rows(1).columns


def test_a_held_row_names_every_expectation_it_failed_and_its_problem() -> None:
    gate = a_gate(holds("ok", name="email_format"), holds("known", name="known"))
    frame = rows(3, [1], known=pl.Series([True, False, False]))
    assert gate.judge(frame).held.select("source_pk", "reason").rows() == [
        (1, "email_format, known | email: is no address (xxx@xxx)"),
        (2, "known"),
    ]


def test_a_warning_is_reported_and_stops_nothing() -> None:
    judgement = a_gate(holds("ok", severity="warning")).judge(rows(300, range(200)))
    assert (judgement.held.height, judgement.blocked) == (0, None)
    (check,) = judgement.checks
    assert (check.severity, check.rows, check.failed, check.passed) == ("warning", 300, 200, False)


def test_a_failed_expectation_about_the_batch_blocks_it() -> None:
    gate = a_gate(
        expect("expect_column_mean_to_be_between", column="n", max_value=1, name="mean", why="sums look wrong")
    )
    assert gate.judge(rows(200, n=pl.lit(5.0))).blocked == "mean: sums look wrong"
    assert gate.judge(rows(200, n=pl.lit(1.0))).blocked is None


def test_below_min_rows_an_expectation_about_the_batch_does_not_count() -> None:
    gate = a_gate(expect("expect_column_mean_to_be_between", column="n", max_value=1), min_rows=200)
    judgement = gate.judge(rows(199, n=pl.lit(5.0)))
    assert (judgement.blocked, judgement.checks[0].passed) == (None, False)


def test_a_warning_about_the_batch_does_not_block_it() -> None:
    gate = a_gate(expect("expect_column_mean_to_be_between", column="n", max_value=1, severity="warning"))
    assert gate.judge(rows(200, n=pl.lit(5.0))).blocked is None


@pytest.mark.parametrize(
    ("count", "bad", "blocked"), [(200, 20, False), (200, 21, True), (1000, 100, False), (1000, 101, True), (199, 20, False), (199, 21, True), (5, 5, False)]
)  # fmt: skip
def test_too_many_held_rows_block_the_batch_by_share_or_by_number(count: int, bad: int, blocked: bool) -> None:
    judgement = a_gate(holds("ok", name="email_format")).judge(rows(count, range(bad)))
    assert (judgement.blocked is not None) == blocked
    assert judgement.held.height == bad
    if judgement.blocked:
        assert f"{bad} of {count} rows failed" in judgement.blocked
        assert f"email_format ({bad})" in judgement.blocked


def test_the_limits_are_those_of_the_sync() -> None:
    gate = a_gate(holds("ok"), max_quarantined_share=0.5, min_rows=10, max_quarantined_rows=0)
    assert gate.judge(rows(10, range(5))).blocked is None
    assert gate.judge(rows(10, range(6))).blocked
    assert gate.judge(rows(9, [0])).blocked


def test_an_empty_frame_is_neither_held_nor_blocked_nor_reported() -> None:
    judgement = a_gate(holds("ok")).judge(rows(0))
    assert (judgement.accepted.height, judgement.held.height, judgement.checks, judgement.blocked) == (0, 0, (), None)
    assert judgement.held.columns == [*rows(0).columns, "reason"]


def test_a_column_that_is_not_mapped_is_named() -> None:
    gate = a_gate(expect("expect_column_values_to_not_be_null", column="City"))
    with pytest.raises(ConfigurationError, match=r"City.*not map"):
        gate.judge(rows(3))


@pytest.mark.parametrize(
    ("kind", "kwargs", "named"),
    [
        ("expect_nothing", {}, "expect_nothing not found"),
        ("expect_column_values_to_be_between", {"column": "n", "maxx": 3}, "maxx"),
        ("expect_column_values_to_not_be_null", {}, "column"),
    ],
)
def test_what_great_expectations_does_not_know_is_named(kind: str, kwargs: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        expect(kind, **kwargs)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_mean_to_be_between", {"max_value": 3}),
        ("expect_column_stdev_to_be_between", {"max_value": 3}),
        ("expect_column_values_to_be_between", {"max_value": 3}),
        ("expect_column_values_to_match_regex", {"regex": "("}),
        ("expect_column_value_z_scores_to_be_less_than", {"threshold": 3, "double_sided": True}),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_is_named_without_values(kind: str, kwargs: dict[str, Any]) -> None:
    gate = a_gate(expect(kind, column="email", name="mine", **kwargs))
    with pytest.raises(ConfigurationError, match=r"mine could not be evaluated") as caught:
        gate.judge(rows(300, email=pl.lit(SECRET)))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "kwargs", "held"),
    [
        ("expect_column_values_to_be_between", {"column": "n", "max_value": 7}, [8, 9]),
        ("expect_column_values_to_be_between", {"column": "n", "max_value": 7, "mostly": 0.5}, [8, 9]),
        ("expect_column_values_to_match_regex", {"column": "email", "regex": "^[a-h]"}, [8, 9]),
        ("expect_column_values_to_not_be_null", {"column": "sparse"}, [8, 9]),
        ("expect_column_values_to_be_unique", {"column": "twice"}, [8, 9]),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "m", "column_B": "n"}, [8, 9]),
    ],
)
def test_a_users_own_expectation_holds_the_rows_that_fail_it(
    kind: str, kwargs: dict[str, Any], held: list[int]
) -> None:
    numbers = list(range(10))
    frame = rows(
        10,
        n=pl.Series(numbers),
        m=pl.Series([99] * 8 + [0] * 2),
        email=pl.Series([f"{letter}@example.com" for letter in "abcdefghij"]),
        sparse=pl.Series(["x"] * 8 + [None] * 2),
        twice=pl.Series([*numbers[:8], 70, 70]),
    )
    judgement = a_gate(expect(kind, name="mine", **kwargs)).judge(frame)
    assert placed(judgement)[1] == held
    assert judgement.held["reason"].to_list() == ["mine", "mine"]


@pytest.mark.filterwarnings("ignore:.*deprecated as of GX Core:DeprecationWarning")
def test_a_condition_may_name_other_columns_than_the_expectation() -> None:
    condition = {"row_condition": "m == 0", "condition_parser": "pandas"}
    gate = a_gate(expect("expect_column_values_to_be_between", column="n", max_value=0, **condition))
    assert placed(gate.judge(rows(4, n=pl.Series([0, 1, 2, 3]), m=pl.Series([9, 9, 0, 0]))))[1] == [2, 3]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String])
def test_a_null_does_not_fail_an_expectation_about_values(dtype: pl.DataType) -> None:
    frame = rows(2, n=pl.Series([None, "5"], dtype=pl.String).cast(dtype))
    assert placed(a_gate(expect(column="n", value_set=["5" if dtype == pl.String else 5])).judge(frame)) == ([0, 1], [])


# The shipped sync -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> tuple[ProfileSync, ProfileMapping]:
    return fitted(SHIPPED.read_text(encoding="utf-8"))


TYPES = {
    **dict.fromkeys(["Orders", "Items"], "INTEGER"),
    "Spend": "CURRENCY",
    "AverageOrder": "NUMBER",
    "Notes": "TEXT",
    "Interests": "LIST-STRING",
    **dict.fromkeys(["FirstOrder", "LastOrder", "BirthDate"], "DATE/TIME"),
    **dict.fromkeys(["Wholesale", "Newsletter", "SmsOffers"], "YES/NO"),
}
NAMES = [
    *("CustomerNo", "FirstName", "LastName", "Email", "Phone", "Country", "City", "Language", "Gender", "TimeZone"),
    *("FavouriteProduct", "EmailConsent", "PushConsent", *TYPES),
]
FIELDS = [CaspioField(name, TYPES.get(name, "STRING")) for name in NAMES]


def fitted(text: str) -> tuple[ProfileSync, ProfileMapping]:
    sync = profiles(text, SHIPPED)
    return sync, ProfileMapping(sync, FIELDS, ATTRIBUTE_VALUES)


def judged(parts: tuple[ProfileSync, ProfileMapping], *customers: dict[str, Any]) -> Judgement:
    sync, mapping = parts
    schema = (
        {"source_pk": pl.Int64}
        | {field.name: SOURCE_DTYPES[field.type] for field in FIELDS}
        | {"uncastable": pl.List(pl.String)}
    )
    whole = {"CustomerNo": "17850", "FirstName": "Ann", "Email": "ann@example.com"}
    source = pl.DataFrame(
        [dict.fromkeys(schema) | whole | {"source_pk": pk, "CustomerNo": str(pk)} | each for pk, each in enumerate(customers, start=1)], schema=schema
    )  # fmt: skip
    mapped = mapping.apply(source).with_columns(key_unique__ok=pl.lit(value=True))
    return gate_of("customers", sync, mapping).judge(judged_frame(mapped, sync, mapping))


def test_the_shipped_suite_has_at_most_fifteen_row_expectations(shipped: tuple[ProfileSync, ProfileMapping]) -> None:
    assert 5 <= len(suite_of(*shipped)) <= MAX_ROW_EXPECTATIONS == 15


def test_no_sync_makes_more_than_fifteen_row_expectations() -> None:
    more = "  home: {from: Spend, type: number}\n  image_url: Notes\n  current_location: {object: {longitude: Spend, latitude: AverageOrder}}\n"
    text = SHIPPED.read_text(encoding="utf-8").replace("fields:\n", "fields:\n" + more, 1)
    assert len(suite_of(*fitted(text))) <= MAX_ROW_EXPECTATIONS


def test_every_expectation_says_how_severe_it_is_what_it_is_called_and_why_it_exists(
    shipped: tuple[ProfileSync, ProfileMapping],
) -> None:
    suite = suite_of(*shipped)
    for each in suite:
        assert each.severity in {"critical", "warning"}
        assert each.meta["name"]
        assert len(each.meta["why"]) > 10
    names = [each.meta["name"] for each in suite]
    assert len(set(names)) == len(names)


def test_a_clean_customer_passes_the_shipped_suite(shipped: tuple[ProfileSync, ProfileMapping]) -> None:
    judgement = judged(shipped, {"Phone": "+442071234567", "Country": "EIRE", "Orders": 3, "EmailConsent": "yes"})
    assert placed(judgement) == ([1], [])
    assert all(check.passed for check in judgement.checks)


def test_dirty_customers_are_held_with_reasons_that_carry_no_value(shipped: tuple[ProfileSync, ProfileMapping]) -> None:
    dirty = [
        {"Email": "alice.secret@@example"},
        {"Phone": "0207 SECRET 99"},
        {"CustomerNo": ""},
        {"EmailConsent": "perhaps Secret"},
        {"Language": "Klingon Secret"},
    ]
    judgement = judged(shipped, {}, *dirty)
    assert placed(judgement) == ([1], [2, 3, 4, 5, 6])
    for reason in judgement.held["reason"]:
        assert "secret" not in reason.lower()
        assert " | " in reason


def test_a_customer_who_cannot_be_reached_is_only_warned_about(shipped: tuple[ProfileSync, ProfileMapping]) -> None:
    judgement = judged(shipped, {"Email": None, "FirstName": None})
    assert placed(judgement) == ([1], [])
    assert [check.name for check in judgement.checks if not check.passed] == ["reachable", "named"]


def test_the_sync_files_own_expectations_and_limits_are_applied() -> None:
    text = SHIPPED.read_text(encoding="utf-8").split("\ngate:")[0] + (
        "\ngate:\n  max_quarantined_rows: 0\n  expectations:\n"
        "    - {type: expect_column_values_to_be_between, kwargs: {column: spend, max_value: 100}, meta: {name: spend_limit, why: typing mistakes}}\n"
    )
    judgement = judged(fitted(text), {"Spend": 99.0}, {"Spend": 101.0})
    assert placed(judgement) == ([1], [2])
    assert judgement.held["reason"].to_list() == ["spend_limit"]
    assert judgement.blocked is not None
    assert "1 of 2 rows failed, more than 0" in judgement.blocked


def test_an_expectation_about_the_batch_that_says_no_why_blocks_with_what_it_expects() -> None:
    text = SHIPPED.read_text(encoding="utf-8").split("\ngate:")[0] + (
        "\ngate:\n  min_rows: 1\n  expectations:\n"
        "    - {type: expect_column_mean_to_be_between, kwargs: {column: spend, max_value: 10}}\n"
    )
    judgement = judged(fitted(text), {"Spend": 99.0})
    said = "the sync file expects of spend: column mean to be between (max_value 10)"
    assert judgement.blocked == f"expect_column_mean_to_be_between spend: {said}"
