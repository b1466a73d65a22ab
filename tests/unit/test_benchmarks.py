"""The benchmark's vendor sees what must not happen, and `make bench` tells of what became slower."""

import json

import orjson
import pytest

from benchmarks import plot
from benchmarks.__main__ import fallen
from benchmarks.customers import bodies, customers, encoded
from benchmarks.vendor import TOKEN, Vendor

KEY = b"Bearer k"


@pytest.fixture
def vendor() -> Vendor:
    return Vendor(100, "k")


def track(vendor: Vendor, body: bytes, key: bytes = KEY) -> int:
    answer, _ = vendor.answer(b"POST", b"/users/track", key, body)
    return int(answer.split()[1])


def read(vendor: Vendor, query: str) -> list[dict[str, object]]:
    url = f"/integrations/rest/v3/tables/Customers/records?{query}".encode()
    answer, _ = vendor.answer(b"GET", url, f"Bearer {TOKEN}".encode(), b"")
    found: list[dict[str, object]] = orjson.loads(answer.partition(b"\r\n\r\n")[2])["Result"]
    return found


def test_each_object_counts_once(vendor: Vendor) -> None:
    first, second = bodies(100)
    assert (track(vendor, first), track(vendor, second)) == (201, 201)
    counts = vendor.counts.told()
    assert (counts["objects"], counts["cut"], counts["doubled"], counts["refused"]) == (100, 0, 0, 0)


def test_what_is_wrong_with_a_request_is_seen(vendor: Vendor) -> None:
    first, second = bodies(100)
    assert track(vendor, first, b"Bearer another") == 401
    assert track(vendor, first[:-1]) == 400
    assert track(vendor, b'{"attributes":[]}') == 400
    assert (track(vendor, second), track(vendor, second)) == (201, 201)
    counts = vendor.counts.told()
    assert (counts["refused"], counts["cut"], counts["doubled"]) == (1, 2, 1)


def test_a_page_holds_the_rows_of_its_condition(vendor: Vendor) -> None:
    table = customers(0, 100)
    assert read(vendor, "q.select=*&q.where=PK_ID>10 AND PK_ID<=40&q.limit=1000") == [
        row for row in table.to_dicts() if 10 < row["PK_ID"] <= 40
    ]
    (counted,) = read(vendor, "q.select=COUNT(PK_ID) AS n,MIN(PK_ID) AS low,MAX(PK_ID) AS high&q.where=PK_ID>98")
    keys = [key for key in table["PK_ID"] if key > 98]
    assert counted == {"n": len(keys), "low": keys[0], "high": keys[-1]}


def test_two_fields_of_each_nth_row_differ() -> None:
    before, after = customers(0, 50).to_dicts(), customers(0, 50, changed_every=10).to_dicts()
    differing = {
        place: {name for name in row if row[name] != after[place][name]}
        for place, row in enumerate(before)
        if row != after[place]
    }
    assert differing == {place: {"OrderCount", "Note"} for place in range(0, 50, 10)}
    assert encoded(50).text != encoded(50, changed_every=10).text


def test_a_share_that_fell_is_named() -> None:
    told = "| moving.first_load_share_of_httpx | 0.50 |\n| moving.first_load_rows_per_second | 30,000 |"
    assert fallen({"moving.first_load_share_of_httpx": 0.36, "moving.first_load_rows_per_second": 1.0}, told) == []
    assert fallen({"moving.first_load_share_of_httpx": 0.34}, told) == [
        "moving.first_load_share_of_httpx is 0.34, was 0.50"
    ]


def test_the_plot_shows_the_figures_that_are_told() -> None:
    figures = json.loads(plot.FIGURES.read_text(encoding="utf-8"))
    assert plot.PLOT.read_text(encoding="utf-8") == plot.drawn(figures)
    told = (plot.DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert all(f"{rate:,}" in told for line in figures["rows_per_second"].values() for rate in line)
