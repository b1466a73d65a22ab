"""The gate of deals: which rows it holds."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine.kind import mapping_of
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import CaspioField
from expectations.rules import MAX_ROW_EXPECTATIONS
from expectations.suites import gate_of, judged_frame, suite_of
from tests.flows.deal_orders import SYNC

SYNC_FILE = parse_sync(SYNC + "deal_owner: Owner\nfields: {Due: Due, Many: Many}\n", Path("deals.yaml"))
TYPES = {
    "OrderNo": "STRING", "Email": "STRING", "Total": "NUMBER", "State": "STRING", "Result": "STRING", "Note": "TEXT",
    "Owner": "STRING", "Due": "DATE/TIME", "Many": "LIST-STRING", "ChangedAt": "TIMESTAMP",
}  # fmt: skip
MAPPING = mapping_of(SYNC_FILE, [CaspioField(name, type_) for name, type_ in TYPES.items()])
SOUND: dict[str, Any] = {
    "source_pk": 1,
    "key": "o1",
    "contact": "a@example.com",
    "title": "o1",
    "value": 12.99,
    "currency": "GBP",
    "pipeline": "Shop",
    "stage": "Placed",
    "deal_owner": None,
    "status": None,
    "description": None,
    "Due": None,
    "Many": None,
}


@pytest.fixture(autouse=True, scope="module")
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def failed(**more: Any) -> set[str]:
    """The rules that a row does not keep."""
    types = {column.name: column.dtype for column in MAPPING.columns}
    frame = pl.DataFrame([SOUND | more], schema={"source_pk": pl.Int64, "key": pl.String, **types})
    checks = {f"{check.column}__ok": pl.lit(value=True) for check in MAPPING.checked}
    frame = frame.with_columns(
        **checks,
        key_unique__ok=pl.lit(value=True),
        problems=pl.lit(None, dtype=pl.String),
        _op=pl.lit("new"),
        _changed=pl.lit(""),
    )
    judged = gate_of("deals", SYNC_FILE, MAPPING).judge(judged_frame(frame, SYNC_FILE, MAPPING))
    return {check.name for check in judged.checks if check.failed}


def test_a_sound_row_passes() -> None:
    assert failed() == set()
    assert failed(deal_owner="17", status="won", value=0.0, currency="gbp") == set()


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"contact": None}, "contact_present"),
        ({"title": None}, "title_present"),
        ({"title": ""}, "title_present"),
        ({"value": None}, "value_present"),
        ({"value": -0.01}, "value_present"),
        ({"value": 1e13}, "value_present"),
        ({"value": 12.345}, "value_in_cents"),
        ({"currency": None}, "currency_known"),
        ({"currency": "XXQ"}, "currency_known"),
        ({"currency": "£"}, "currency_known"),
        ({"pipeline": ""}, "pipeline_present"),
        ({"stage": None}, "stage_present"),
        ({"deal_owner": "ann"}, "owner_is_id"),
        ({"deal_owner": "0"}, "owner_is_id"),
        ({"status": "Won"}, "status_known"),
    ],
)
def test_what_is_wrong_is_held_for_it_and_for_nothing_else(more: dict[str, Any], rule: str) -> None:
    assert failed(**more) == {rule}


@pytest.mark.parametrize("value", [0.1 + 0.2, 1_000_000.01, 139.12000000000000455, 99_999_999.99])
def test_sums_that_computers_make_are_whole_cents(value: float) -> None:
    assert failed(value=value) == set()


def test_there_are_no_more_rules_than_a_gate_has_time_for() -> None:
    assert len(suite_of(SYNC_FILE, MAPPING)) <= MAX_ROW_EXPECTATIONS
