"""Enrolments and marks of lists in the ledger, on both databases: what is noted, what becomes of it, and whose it is."""

from collections.abc import Iterator

import polars as pl
import pytest

from caspio_sync.ledger.enrolments import forget_enrolled
from caspio_sync.ledger.list_marks import LIST_MARK_SCHEMA, forget_marked
from caspio_sync.ledger.store import Ledger
from tests.unit.test_ledger_erasure import START
from tests.virtual_clock import VirtualClock

SYNC = "contacts"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=VirtualClock(START)) as opened:
        yield opened


def people(*pairs: tuple[int, str]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), {"key_hash": pl.Int64(), "automation": pl.String()}, orient="row")


def known(ledger: Ledger, *hashes: int, sync: str = SYNC) -> dict[tuple[int, str], tuple[int, str | None]]:
    """Whether they entered, and the run that enrols them."""
    found = ledger.enrolments(sync, pl.Series(hashes, dtype=pl.Int64))
    return {(each["key_hash"], each["automation"]): (each["entered"], each["made_by"]) for each in found.to_dicts()}


def test_what_is_noted_has_one_end_of_three(ledger: Ledger) -> None:
    ledger.note_enrolments(SYNC, "r1", people((1, "A"), (2, "A"), (-3, "A"), (3, "B")))
    assert set(known(ledger, 1, 2, -3, 3).values()) == {(0, "r1")}
    ledger.record_enrolments(SYNC, people((1, "A")))
    ledger.doubt_enrolments(SYNC, people((2, "A")))
    ledger.forget_enrolments(SYNC, people((1, "A"), (-3, "A")))  # who entered stays
    assert known(ledger, 1, 2, -3, 3) == {(1, "A"): (1, None), (2, "A"): (0, None), (3, "B"): (0, "r1")}
    assert known(ledger, 1, 2, sync="others") == {}


def test_what_is_known_goes_over_to_the_present_key(ledger: Ledger) -> None:
    ledger.record_enrolments(SYNC, people((1, "A"), (3, "A")))
    ledger.note_enrolments(SYNC, "r1", people((1, "B"), (2, "A"), (4, "A")))
    ledger.rename_enrolled(SYNC, pl.DataFrame({"key_hash": [2, 3, 6], "former_hash": [1, 4, 5]}))
    assert known(ledger, 1, 4, 5, 6) == {}
    assert known(ledger, 2, 3) == {(2, "A"): (1, None), (2, "B"): (0, "r1"), (3, "A"): (1, None)}


def test_many_are_noted_and_people_are_forgotten_in_all_syncs(ledger: Ledger) -> None:
    many = people(*((number, "A") for number in range(6_000)))
    ledger.note_enrolments(SYNC, "r1", many)
    ledger.record_enrolments("others", many.head(2))
    assert len(known(ledger, *range(6_000))) == 6_000
    with ledger.writing("forget") as connection:
        forget_enrolled(connection, pl.Series([0, 1], dtype=pl.Int64))
    assert len(known(ledger, *range(6_000))) == 5_998
    assert known(ledger, 0, 1, sync="others") == {}


def test_marks_are_kept_renamed_and_given_up(ledger: Ledger) -> None:
    def marks(*hashes: int) -> list[tuple[int, str, str]]:
        return sorted(ledger.list_marks(SYNC, pl.Series(hashes, dtype=pl.Int64)).rows())

    def noted(*rows: tuple[int, str, str]) -> pl.DataFrame:
        return pl.DataFrame(list(rows), LIST_MARK_SCHEMA, orient="row")

    ledger.note_list_marks(SYNC, noted((1, "A", "x"), (1, "B", "y"), (-2, "A", "z"), (4, "A", "old")))
    ledger.note_list_marks(SYNC, noted((1, "A", "w"), (1, "B", ""), (9, "A", "")))
    assert marks(1, -2, 9) == [(-2, "A", "z"), (1, "A", "w")]
    ledger.rename_marked(SYNC, pl.DataFrame({"key_hash": [3, 4], "former_hash": [1, -2]}))
    assert marks(1, -2, 3, 4) == [(3, "A", "w"), (4, "A", "old")]
    with ledger.writing("forget") as connection:
        forget_marked(connection, pl.Series([3], dtype=pl.Int64))
    assert marks(3, 4) == [(4, "A", "old")]
