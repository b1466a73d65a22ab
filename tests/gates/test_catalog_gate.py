"""The gate of catalogs: which items it holds, which it only tells of, and when it blocks."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine.gates import Judgement
from caspio_sync.engine.kind import mapping_of
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from expectations.catalog import judged_frame
from expectations.rules import MAX_ROW_EXPECTATIONS
from expectations.suites import gate_of, suite_of
from expectations.suites import judged_frame as judged_frame_of

TYPES = {
    "Code": "STRING", "Name": "TEXT", "Price": "NUMBER", "Currency": "STRING", "Link": "TEXT", "Picture": "TEXT",
    "Words": "TEXT", "Stock": "INTEGER", "Since": "DATE/TIME", "Tags": "LIST-STRING", "Lon": "NUMBER", "Lat": "NUMBER",
    "Phone": "STRING", "Country": "STRING", "Live": "STRING",
}  # fmt: skip
FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]
SHOP = (
    "{name: Name, price: Price, currency: Currency, product_url: Link, image: Picture, description: Words, "
    "stock: Stock}"
)


@pytest.fixture(scope="module", autouse=True)
def _great_expectations() -> None:
    """Imported once: it takes seconds, and warns of what it imports itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def a_sync(fields: str = SHOP, gate: str = "") -> tuple[CatalogSync, RowMapping]:
    text = (
        "kind: catalog\nsource: {table: Products}\ncatalog: {name: products}\n"
        f"item_id: {{from: Code, id_transform: slug}}\nfields: {fields}\n{gate}"
    )
    sync = parse_sync(text, Path("syncs/products.yaml"))
    assert isinstance(sync, CatalogSync)
    return sync, mapping_of(sync, FIELDS)


def a_frame(mapping: RowMapping, *products: dict[str, Any], **columns: Any) -> pl.DataFrame:
    schema: dict[str, Any] = {"source_pk": pl.Int64} | {each.name: SOURCE_DTYPES[each.type] for each in FIELDS}
    schema |= {"uncastable": pl.List(pl.String)}
    whole = {"Name": "MUG", "Price": 2.5, "Currency": "GBP"}
    rows = [dict.fromkeys(schema) | whole | {"source_pk": n, "Code": f"c{n}"} | row for n, row in enumerate(products)]
    return mapping.apply(pl.DataFrame(rows, schema=schema)).with_columns(key_unique__ok=pl.lit(value=True), **columns)


def judged(*products: dict[str, Any], fields: str = SHOP, gate: str = "", **columns: Any) -> Judgement:
    sync, mapping = a_sync(fields, gate)
    frame = judged_frame(a_frame(mapping, *products, **columns), sync, mapping)
    return gate_of("products", sync, mapping).judge(frame)


def reasons(judgement: Judgement) -> dict[int, str]:
    return dict(zip(judgement.held["source_pk"].to_list(), judgement.held["reason"].to_list(), strict=True))


def warned(judgement: Judgement) -> dict[str, int]:
    return {check.name: check.failed for check in judgement.checks if check.severity == "warning" and check.failed}


def test_a_sound_product_passes() -> None:
    links = {"Link": "https://shop.example.com/p?id=1#top", "Picture": "http://bücher.example:8080/ä.png"}
    judgement = judged({}, links, {"Words": "x" * 1_000, "Price": 0.01})
    assert judgement.accepted["source_pk"].to_list() == [0, 1, 2]
    assert all(check.passed for check in judgement.checks)
    assert judgement.blocked is None


def test_every_rule_holds_the_item_that_breaks_it() -> None:
    judgement = judged(
        {"Price": None},
        {"Price": -1.0},
        {"Price": float("inf")},
        {"Currency": None},
        {"Currency": "XYZ"},
        {"Currency": "gbp"},
        {"Link": "www.example.com"},
        {"Link": "javascript:alert(1)"},
        {"Picture": "https://exa mple.com/a.png"},
        {"Picture": "https://example.com/a b.png"},
        {"Name": "x" * 6_000},
        {"Code": "???"},
        {"Code": "a" * 300},
        gate="gate: {max_quarantined_rows: 100}",
    )
    assert judgement.accepted.is_empty()
    found = {place: reason.split(" | ")[0] for place, reason in reasons(judgement).items()}
    assert found == {
        0: "price_present", 1: "price_not_negative", 2: "value_type, price_present", 3: "currency_known",
        4: "currency_known", 5: "currency_known", 6: "url_form", 7: "url_form", 8: "url_form", 9: "url_form",
        10: "value_size", 11: "item_id", 12: "item_id",
    }  # fmt: skip


def test_the_dirt_of_the_online_retail_set_is_held_or_told_of() -> None:
    notes: list[dict[str, Any]] = [{"Name": note} for note in ("check", "thrown away-can't sell.", "?", "??", None)]
    sound = [{"Name": name} for name in ("NUMBER TILE VINTAGE FONT No ", "1984", "東京", "Dr. Jam's Stress Ball")]
    judgement = judged(*(note | {"Price": 0.0} for note in notes), *notes, {"Price": 0.0}, *sound)
    assert reasons(judgement) == dict.fromkeys(range(5), "product")
    assert warned(judgement) == {"name_is_no_note": 10, "price_not_zero": 6}


def test_a_long_description_is_told_of() -> None:
    judgement = judged({"Words": "x" * 1_001})
    assert (judgement.held.height, warned(judgement)) == (0, {"description_length": 1})


@pytest.mark.parametrize(
    ("last", "price", "passes"),
    [
        (2.0, 10.0, True), (2.0, 10.01, False), (10.0, 2.0, True), (10.0, 1.99, False), (None, 1_000.0, True),
        (0.0, 0.0, True), (0.0, 1.0, False), (1.0, 0.0, False),
    ],
)  # fmt: skip
def test_a_price_that_moves_by_more_than_the_factor_is_held(last: float | None, price: float, passes: bool) -> None:
    judgement = judged({"Price": price}, _last_price=pl.lit(last, dtype=pl.Float64))
    assert reasons(judgement) == ({} if passes else {0: "price_change"})


def test_the_factor_is_the_sync_files() -> None:
    judgement = judged({"Price": 10.0}, gate="gate: {max_price_factor: 2}", _last_price=pl.lit(4.9))
    assert reasons(judgement) == {0: "price_change"}


@pytest.mark.parametrize(
    ("now", "last", "blocks"), [(49, 100, True), (50, 100, False), (0, 100, True), (5, None, False), (5, 0, False)]
)
def test_a_source_that_lost_half_its_rows_blocks_the_smallest_batch(now: int, last: int | None, blocks: bool) -> None:
    counts: dict[str, Any] = {"_rows_now": pl.lit(now), "_rows_last": pl.lit(last, dtype=pl.Int64)}
    judgement = judged({}, **counts)
    assert (judgement.blocked is not None) == blocks
    if blocks:
        assert str(judgement.blocked).startswith("rows_of_last: the source has fewer than 50% of the rows")
    assert judged({}, gate="gate: {min_share_of_last: 0}", **counts).blocked is None


def test_other_expectations_about_a_batch_still_wait_for_enough_rows() -> None:
    gate = "gate: {expectations: [{type: expect_column_max_to_be_between, kwargs: {column: stock, max_value: 1}}]}"
    assert judged({"Stock": 5}, gate=gate).blocked is None


def test_a_sync_without_price_currency_or_name_has_none_of_their_rules() -> None:
    sync, mapping = a_sync("{stock: Stock, link_count: Stock, price: {from: Price, type: string}}")
    names = [each.meta["name"] for each in suite_of(sync, mapping)]
    assert names == ["key_unique", "item_id", "value_type", "value_size", "rows_of_last"]
    assert judged({"Stock": 1, "Price": -1.0}, fields="{stock: Stock}").held.is_empty()


def test_no_sync_makes_more_than_fifteen_row_expectations() -> None:
    more = (
        "since: Since, tags: Tags, place: {geo: {longitude: Lon, latitude: Lat}}, size: {object: {x: Lon}}, "
        "live: {from: Live, type: boolean}, phone: {from: Phone, transform: {phone: GB}}, "
        "country: {from: Country, transform: country}, language: {from: Country, transform: language}, "
        "at: {from: Words, type: time}}"
    )
    sync, mapping = a_sync(f"{SHOP[:-1]}, {more}")
    suite = suite_of(sync, mapping)
    about_rows = [each for each in suite if each.type == "expect_column_values_to_be_in_set"]
    assert 10 <= len(about_rows) <= MAX_ROW_EXPECTATIONS
    for each in suite:
        assert each.severity in {"critical", "warning"}
        assert len(each.meta["why"]) > 10
    assert len({each.meta["name"] for each in suite}) == len(suite)
    frame = judged_frame_of(a_frame(mapping, {"Live": "yes", "Phone": "020 7123 4567"}), sync, mapping)
    assert gate_of("wide", sync, mapping).judge(frame).held.is_empty()
