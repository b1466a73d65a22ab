"""Expectations of a sync file against the types of what they judge: judged right, or refused with file and line."""

import importlib
import textwrap
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from caspio_sync.engine.kind import mapping_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.kinds.engagement.mapping import EngagementMapping
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import DATETIME, SOURCE_DTYPES, CaspioField
from expectations.rules import try_expectations
from expectations.suites import gate_of, judged_frame

PROFILES = """\
kind: profiles
source: {table: Customers}
identity: {external_id: No}
fields:
  nick: Nick
  visits: Visits
  spent: Spent
  vip: Vip
  dob: Born
  last_visit: Seen
  interests: Interests
  home: {object: {city: City}}
"""
FIELDS = [
    CaspioField(name, type_)
    for name, type_ in {
        "No": "STRING", "Nick": "STRING", "Visits": "INTEGER", "Spent": "NUMBER", "Vip": "YES/NO", "Born": "DATE/TIME",
        "Seen": "DATE/TIME", "Interests": "LIST-STRING", "City": "STRING", "Opened": "DATE/TIME", "Opens": "INTEGER",
    }.items()
]  # fmt: skip
FIRST_LINE = PROFILES.count("\n") + 3  # of the first expectation


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def fitted(text: str, *expectations: dict[str, Any]) -> tuple[Sync, Any]:
    own = yaml.safe_dump({"expectations": list(expectations)}, sort_keys=False)
    sync = parse_sync(f"{text}gate:\n{textwrap.indent(own, '  ')}", Path("syncs/people.yaml"))
    return sync, mapping_of(sync, FIELDS)


def expectation(type_: str, /, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{type_}", "kwargs": kwargs, "meta": {"name": "mine", "why": "because"}}


def people(**cells: list[Any]) -> pl.DataFrame:
    count = len(next(iter(cells.values())))
    schema = {field.name: SOURCE_DTYPES[field.type] for field in FIELDS}
    columns = {name: pl.Series(cells.get(name, [None] * count)) for name in schema}
    columns = {
        name: (values.str.to_datetime() if values.dtype == pl.String and schema[name] == DATETIME else values).cast(
            schema[name]
        )
        for name, values in columns.items()
    }
    keys = pl.Series([f"c-{number}" for number in range(count)])
    pks, uncastable = pl.int_range(1, count + 1, eager=True), pl.Series([None] * count, dtype=pl.List(pl.String))
    return pl.DataFrame({**columns, "No": keys, "source_pk": pks, "uncastable": uncastable})


ON_A_LIST = "cannot judge 'interests', which is a list; of a list or an object only its presence can be judged"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        # never failed
        (expectation("column_values_to_not_be_in_set", column="interests", value_set=["golf"]), ON_A_LIST),
        (expectation("column_values_to_be_unique", column="interests"), ON_A_LIST),
        (expectation("column_value_lengths_to_be_between", column="interests", max_value=3), ON_A_LIST),
        (expectation("column_values_to_not_be_in_set", column="home", value_set=["Paris"]), "'home', which is an object"),
        (expectation("column_values_to_not_be_in_set", column="visits", value_set=["0"]), "'0' in value_set, but the attribute is a whole number; write it without quotes"),
        (expectation("column_values_to_not_be_in_set", column="nick", value_set=[7]), "7 in value_set, but the attribute is text; put it in quotes"),
        # held every row
        (expectation("column_values_to_be_in_set", column="interests", value_set=["golf"]), ON_A_LIST),
        (expectation("column_values_to_match_regex", column="interests", regex="golf"), ON_A_LIST),
        (expectation("column_values_to_be_in_set", column="home", value_set=["Paris"]), "'home', which is an object"),
        (expectation("column_values_to_be_in_set", column="nick", value_set=[True, False]), "True in value_set, but the attribute is text"),
        (expectation("column_values_to_be_in_set", column="vip", value_set=["yes"]), "'yes' in value_set, but the attribute is yes or no"),
        (expectation("column_values_to_be_in_set", column="last_visit", value_set=["spring"]), "'spring' in value_set, which is no date; write it as 2026-01-31"),
        (expectation("column_pair_values_to_be_equal", column_A="visits", column_B="nick"), "compares unlike things: 'visits' is a whole number and 'nick' is text"),
        (expectation("column_pair_values_to_be_in_set", column_A="vip", column_B="visits", value_pairs_set=[[True]]), "value_pairs_set of other than 2 values"),
        # stopped every run
        (expectation("column_values_to_be_between", column="nick", max_value=3), "cannot judge 'nick', which is text; name a number or a date"),
        (expectation("column_values_to_be_between", column="last_visit", max_value=3), "3 in max_value, which is no date"),
        (expectation("column_mean_to_be_between", column="dob", max_value=3), "cannot judge 'dob', which is a date; name a number"),
        (expectation("column_values_to_match_strftime_format", column="visits", strftime_format="%Y"), "cannot judge 'visits'"),
        (expectation("column_pair_values_a_to_be_greater_than_b", column_A="last_visit", column_B="spent"), "compares unlike things"),
        (expectation("column_max_to_be_between", column="spent", max_value="many"), "'many' in max_value, but the attribute is a number"),
        # about something else than the rows
        (expectation("table_column_count_to_equal", value=5), "judges the columns of a frame"),
        (expectation("column_values_to_be_of_type", column="visits", type_="int64"), "leave it out: the mapping already makes"),
        (expectation("column_values_to_be_unique", column="salary"), "names salary, which is not mapped"),
        (expectation("compound_columns_to_be_unique", column_list=["nick", "interests"]), ON_A_LIST),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_with_file_and_line(given: dict[str, Any], said: str) -> None:
    sync, mapping = fitted(PROFILES, given)
    with pytest.raises(ConfigurationError) as refused:
        gate_of("people", sync, mapping)
    assert str(refused.value).startswith(f"syncs/people.yaml:{FIRST_LINE}: gate.expectations: {given['type']} ")
    assert said in str(refused.value)


def test_every_misfit_is_told_at_once() -> None:
    wrong = [expectation("column_values_to_be_unique", column=name) for name in ("interests", "visits", "salary")]
    with pytest.raises(ConfigurationError) as refused:
        gate_of("people", *fitted(PROFILES, *wrong))
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == [str(FIRST_LINE), str(FIRST_LINE + 12)]


@pytest.mark.parametrize(
    ("given", "cells", "held"),
    [
        (expectation("column_values_to_be_between", column="dob", min_value="2000-01-01"), {"Born": ["1990-05-01T00:00:00", None, "2001-05-01T00:00:00"]}, [1]),
        (expectation("column_values_to_be_between", column="last_visit", min_value="2026-01-01", max_value="2026-01-31"), {"Seen": ["2025-12-31T23:59:59", "2026-01-31T00:00:00", "2026-01-31T00:00:01"]}, [1, 3]),
        (expectation("column_values_to_be_between", column="last_visit", max_value="2026-01-31T12:00:00+02:00"), {"Seen": ["2026-01-31T10:00:00", "2026-01-31T10:00:01"]}, [2]),
        (expectation("column_pair_values_a_to_be_greater_than_b", column_A="last_visit", column_B="dob", or_equal=True), {"Seen": ["2026-01-01T00:00:00"] * 2, "Born": ["2025-12-31T00:00:00", "2026-01-02T00:00:00"]}, [2]),
        (expectation("column_values_to_be_in_set", column="dob", value_set=["1990-05-01"]), {"Born": ["1990-05-01T00:00:00", "1991-05-01T00:00:00"]}, [2]),
        (expectation("column_values_to_not_be_in_set", column="last_visit", value_set=["1900-01-01"]), {"Seen": ["1900-01-01T00:00:00", None]}, [1]),
        (expectation("column_values_to_match_regex", column="visits", regex="^[0-9]$"), {"Visits": [5, None, 10]}, [3]),
        (expectation("column_values_to_match_regex", column="spent", regex="^[0-9]+$"), {"Spent": [5.0, None, 10.5]}, [3]),
        (expectation("column_value_lengths_to_be_between", column="visits", max_value=2), {"Visits": [99, None, 100]}, [3]),
        (expectation("column_values_to_match_regex", column="home", regex="Paris"), {"City": ["Paris", "Rome"]}, [2]),
        (expectation("column_values_to_not_be_null", column="interests"), {"Interests": [["golf"], None]}, [2]),
        (expectation("column_values_to_be_in_set", column="vip", value_set=[True]), {"Vip": [True, None, False]}, [3]),
        (expectation("column_values_to_be_in_set", column="visits", value_set=[1, 2.0]), {"Visits": [1, 2, None, 3]}, [4]),
        (expectation("column_pair_values_to_be_in_set", column_A="nick", column_B="visits", value_pairs_set=[["a", 1]]), {"Nick": ["a", "b"], "Visits": [1, 1]}, [2]),
    ],
)  # fmt: skip
def test_what_fits_is_judged_by_what_the_attribute_means(
    given: dict[str, Any], cells: dict[str, list[Any]], held: list[int]
) -> None:
    sync, mapping = fitted(PROFILES, given)
    assert isinstance(mapping, ProfileMapping)
    try_expectations(sync, mapping)
    rows = mapping.apply(people(**cells)).with_columns(key_unique__ok=pl.lit(value=True))
    judgement = gate_of("people", sync, mapping).judge(judged_frame(rows, sync, mapping))
    assert judgement.held["source_pk"].to_list() == held
    assert set(judgement.held["reason"]) == {"mine"}


@pytest.mark.parametrize(
    "given",
    [
        expectation("column_values_to_match_regex", column="nick", regex="("),
        expectation("column_values_to_match_like_pattern", column="nick", like_pattern="a%"),
        expectation("column_quantile_values_to_be_between", column="spent", quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 1]]}),
        expectation("query_results_to_match_comparison", comparison_data_source_name="x", comparison_query="x", base_query="x"),
    ],
)  # fmt: skip
def test_what_great_expectations_cannot_evaluate_is_found_before_a_run(given: dict[str, Any]) -> None:
    sync, mapping = fitted(PROFILES, expectation("column_values_to_not_be_null", column="nick"), given)
    with pytest.raises(ConfigurationError, match=rf"^syncs/people.yaml:\d+: .*{given['type']}"):
        try_expectations(sync, mapping)


def test_times_of_a_catalog_and_clocks_of_an_engagement_return_are_dates_too() -> None:
    late = expectation("column_values_to_be_between", column="last", max_value="2026-01-31")
    catalog, items = fitted(
        "kind: catalog\nsource: {table: T}\ncatalog: {name: t}\nitem_id: {from: No}\nfields: {last: Seen}\n", late
    )
    assert isinstance(items, CatalogMapping)
    rows = items.apply(people(Seen=["2026-01-01T00:00:00", "2026-02-01T00:00:00"]))
    rows = rows.with_columns(key_unique__ok=pl.lit(value=True))
    try_expectations(catalog, items)
    held = gate_of("t", catalog, items).judge(judged_frame(rows, catalog, items)).held
    assert held["source_pk"].to_list() == [2]

    late["kwargs"]["column"] = "Opened"
    returned, mapping = fitted(
        "kind: engagement\nsource: {table: T}\nidentity: {external_id: No}\n"
        "fields: {Opened: email_last_open_at, Opens: email_opens}\n",
        late,
        expectation("column_values_to_match_regex", column="Opened", regex="^20"),
    )
    assert isinstance(mapping, EngagementMapping)
    try_expectations(returned, mapping)
