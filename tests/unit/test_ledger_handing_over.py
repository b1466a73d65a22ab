"""Memory that moves with its row, whatever numbers a table that is made anew gives out."""

from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.ledger.agreed import AGREED_SCHEMA
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.handing_over import MOVES_SCHEMA, PAIRS_SCHEMA, moves
from caspio_sync.ledger.schema import RECORD_SCHEMA
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

SALT = 7


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def pairs(*rows: tuple[int, int, bool, bool, bool]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None) for row in rows], schema=PAIRS_SCHEMA, orient="row")


def record(ledger: Ledger, keys: dict[int, str]) -> None:
    """Rows sent under these keys; what was sent is told by their fingerprint."""
    known = pl.DataFrame({SOURCE_PK: list(keys), KEY: list(keys.values())}).with_columns(
        fp=pl.col(KEY).cast(pl.Binary),
        sent_fields=pl.col(KEY).cast(pl.Binary),
        changed=pl.lit(b"\1"),
        part=pl.lit("profile"),
        verdict=pl.lit(Verdict.SENT.value),
        reason=pl.lit(None, dtype=pl.String),
        request=pl.lit(1),
        status=pl.lit(201),
        suite_version=pl.lit(1),
        mapping_version=pl.lit(1),
    )
    known = known.with_columns(key_hashes(known[KEY], SALT)).select(RECORD_SCHEMA.names())
    ledger.record(sync="customers", run="r", batch=1, rows=known)


def remembered(ledger: Ledger) -> dict[int, str]:
    rows = ledger.read_rows("customers", -100, 100)
    assert rows["sent_fp"].to_list() == [key.encode() for key in rows[KEY]]
    return dict(rows.select(SOURCE_PK, KEY).iter_rows())


def test_a_row_takes_everything_along(ledger: Ledger) -> None:
    record(ledger, {1: "a", 2: "b"})
    agreed = pl.DataFrame([(1, "email", "unsubscribed", None, None, 5)], schema=AGREED_SCHEMA, orient="row")
    ledger.agree("customers", agreed, None)
    ledger.record_prices("customers", pl.DataFrame({SOURCE_PK: [1], "price": [2.5]}))
    ledger.hand_over("customers", pairs((9, 1, False, False, False)))
    assert remembered(ledger) == {2: "b", 9: "a"}
    assert ledger.agreed("customers", 9, 9).row(0)[1:] == agreed.row(0)[1:]
    assert ledger.prices("customers", 1, 9).rows() == [(9, 2.5)]
    story = ledger.story("customers", "a")
    assert story is not None
    assert [each.request for each in story.outcomes] == [1]


def test_people_who_change_places_keep_what_is_theirs(ledger: Ledger) -> None:
    record(ledger, {1: "a", 2: "b", 3: "c"})
    ledger.hand_over("customers", pairs((1, 2, False, True, False), (2, 3, False, True, False)))
    found = remembered(ledger)
    assert (found.pop(1), found.pop(2)) == ("b", "c")
    ((aside, key),) = found.items()
    assert (aside < 0, key) == (True, "a")
    ledger.hand_over("customers", pairs((3, aside, False, False, False)))
    assert remembered(ledger) == {1: "b", 2: "c", 3: "a"}


def test_a_stale_memory_gives_way_and_an_unsure_one_is_sent_again(ledger: Ledger) -> None:
    record(ledger, {1: "a", 2: "a"})
    ledger.hand_over("customers", pairs((2, 1, True, False, True)))
    rows = ledger.read_rows("customers", -9, 9)
    assert rows.select(SOURCE_PK, "verdict").rows() == [(2, "unknown")]


def test_history_of_a_number_that_two_people_bore_is_told_to_each_of_them(ledger: Ledger) -> None:
    record(ledger, {1: "a"})
    ledger.hand_over("customers", pairs((2, 1, False, False, False)))
    record(ledger, {1: "b", 2: "a"})
    stories = [ledger.story("customers", key) for key in ("a", "b")]
    assert [len(story.outcomes) for story in stories if story is not None] == [1, 1]  # of one run, the later one
    assert [story.source_pk for story in stories if story is not None] == [2, 1]


@given(st.permutations(range(1, 9)), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_any_shuffle_read_in_any_batches_loses_nobody(order: list[int], rows_a_batch: int) -> None:
    """Person p goes from number p to number order[p - 1]; each batch hands over what the ledger has by then."""
    with Ledger.open("sqlite://") as ledger:
        record(ledger, {number: f"p{number}" for number in range(1, 9)})
        now = {number: f"p{person}" for person, number in enumerate(order, start=1)}
        for start in range(1, 9, rows_a_batch):
            batch = [number for number in range(start, min(9, start + rows_a_batch)) if number in now]
            where = {key: number for number, key in remembered(ledger).items()}
            found = [
                (number, where[now[number]], False, number in where.values(), False)
                for number in batch
                if where[now[number]] != number
            ]
            if found:
                ledger.hand_over("customers", pairs(*found))
        assert remembered(ledger) == now


def test_a_row_that_was_recorded_under_another_key_meanwhile_keeps_its_own(ledger: Ledger) -> None:
    record(ledger, {1: "a"})
    pair = pairs((2, 1, False, False, False)).with_columns(key_hashes(pl.Series(["a"]), SALT))
    record(ledger, {1: "b"})
    ledger.hand_over("customers", pair)
    assert remembered(ledger) == {1: "b"}


def test_nothing_is_put_aside_that_leaves_by_itself() -> None:
    placed = moves(pairs((1, 2, False, True, False), (2, 1, False, True, False)), lowest=0)
    assert placed.equals(pl.DataFrame([(2, 1), (1, 2)], schema=MOVES_SCHEMA, orient="row"))
