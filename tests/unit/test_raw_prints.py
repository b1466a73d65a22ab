"""What rows become is kept by stretches of keys, and believed for a week; on both databases."""

from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.ledger import raw_prints
from caspio_sync.ledger.raw_prints import PRINTS, forget_prints
from caspio_sync.ledger.store import Ledger
from tests.unit.test_ledger_rows import a_row, frame

TODAY = date(2026, 3, 2)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def prints(*source_pks: int, raw: int = 1) -> pl.DataFrame:
    rows = [(pk, pk * 1000 + raw, (pk * 1000 + raw).to_bytes(16, "big"), pk) for pk in source_pks]
    return pl.DataFrame(rows, PRINTS, orient="row")


def keep(ledger: Ledger, rows: pl.DataFrame, mapped: list[int], *, digest: str = "d", today: date = TODAY) -> None:
    pks = pl.Series("source_pk", mapped, dtype=pl.Int64)
    ledger.record_prints("it", digest, rows, pks, low=min(mapped), high=max(mapped), today=today)


def kept(ledger: Ledger, *, digest: str = "d", today: date = TODAY, low: int = 0, high: int = 10**9) -> dict[int, int]:
    found = ledger.raw_prints("it", digest, low=low, high=high, today=today)
    return dict(found.sort("source_pk").select("source_pk", "raw_print").iter_rows())


def told(rows: pl.DataFrame) -> dict[int, int]:
    return dict(rows.select("source_pk", "raw_print").iter_rows())


def test_what_is_kept_comes_back(ledger: Ledger) -> None:
    rows = prints(*range(1, 4_001))
    keep(ledger, rows, [1, 4_000])
    found = ledger.raw_prints("it", "d", low=0, high=5_000, today=TODAY).sort("source_pk")
    assert found.equals(rows)
    assert set(kept(ledger, low=10, high=20)) >= set(range(10, 21))
    assert len(kept(ledger, low=10, high=20)) <= 2_000


def test_under_another_digest_nothing_is_believed_and_what_was_there_goes(ledger: Ledger) -> None:
    keep(ledger, prints(1, 2, 3), [1, 2, 3])
    assert kept(ledger, digest="other") == {}
    keep(ledger, prints(2), [1, 2, 3], digest="other")
    assert kept(ledger) == {}
    assert kept(ledger, digest="other") == told(prints(2))


@pytest.mark.parametrize(("later", "believed"), [(-1, False), (0, True), (6, True), (7, False)])
def test_no_print_is_believed_for_longer_than_a_week_nor_before_it_was_made(
    ledger: Ledger, later: int, believed: bool
) -> None:
    keep(ledger, prints(1, 2), [1, 2])
    assert bool(kept(ledger, today=TODAY + timedelta(days=later))) == believed


def test_what_is_kept_beside_older_rows_is_believed_no_longer_than_these(ledger: Ledger) -> None:
    keep(ledger, prints(1, 2), [1, 2])
    keep(ledger, prints(2, raw=2), [2], today=TODAY + timedelta(days=5))
    assert kept(ledger, today=TODAY + timedelta(days=6)) == told(prints(1)) | told(prints(2, raw=2))
    assert kept(ledger, today=TODAY + timedelta(days=7)) == {}


def test_a_row_that_is_forgotten_takes_its_stretch_along(ledger: Ledger) -> None:
    keep(ledger, prints(*range(1, 3_001)), [1, 3_000])
    with ledger.writing("forget") as connection:
        forget_prints(connection, "it", pl.Series([1_500]))
    left = kept(ledger)
    assert 1_500 not in left
    assert len(left) == 2_000


def test_only_a_row_whose_newest_version_was_acknowledged_is_told_of(ledger: Ledger) -> None:
    ledger.record(sync="it", run="r", batch=1, rows=frame(*map(a_row, range(1, 8))))
    held = {"verdict": "quarantined", "reason": "why", "fp": b"2" * 16}
    ledger.record(
        sync="it",
        run="r",
        batch=2,
        rows=frame(
            a_row(2, **held),
            a_row(3, verdict="unknown", reason="lost"),
            a_row(4, part="consent"),  # an opt-out left alone
            a_row(5, **held, key="another"),
        ),
    )
    found = ledger.acknowledged("it", 1, 6)
    assert found.rows() == [(pk, pk * 7, pk.to_bytes(16, "big")) for pk in (1, 6)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)), st.booleans()), max_size=12))
def test_the_newest_of_every_row_is_kept_whatever_came_before(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[set[int], set[int], bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, Ledger.open("sqlite://") as ledger:
        patch.setattr(raw_prints, "_ROWS_A_STRETCH", 4)
        model: dict[int, int] = {}
        for number, (fresh, others, narrow) in enumerate(history):
            mapped = sorted(fresh | others)
            if narrow:
                mapped = [pk for pk in mapped if 20 <= pk <= 40]
            rows = prints(*(pk for pk in mapped if pk in fresh), raw=number)
            if not mapped:
                continue
            keep(ledger, rows, mapped)
            if not rows.is_empty():
                # What was mapped and not kept goes where its stretch is written anew; else it tells the truth still.
                model |= told(rows)
        found = kept(ledger)
        assert {pk: raw for pk, raw in found.items() if pk in model} == found
        assert all(raw == model[pk] or raw < model[pk] for pk, raw in found.items())
        for number, (fresh, _, narrow) in enumerate(history[-1:], start=len(history) - 1):
            last = {pk for pk in fresh if not narrow or 20 <= pk <= 40}
            assert all(found[pk] == pk * 1000 + number for pk in last)
