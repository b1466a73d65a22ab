"""What was acknowledged stands in the history at once, and in the rows as soon as somebody asks for them."""

from collections.abc import Iterator

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger import schema
from caspio_sync.ledger.columns_in import upsert_columns
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import KEY, SOURCE_PK

SYNC, RUN = "customers", "r1"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        opened.start_run(run=RUN, sync=SYNC, kind="profiles", mode="full")
        yield opened


def sending(*pks: int, batch: int = 1, moved: bool = False, keys: list[str] | None = None) -> Sending:
    rows = pl.DataFrame({SOURCE_PK: pks}, schema={SOURCE_PK: pl.Int64}).with_columns(
        pl.Series(KEY, keys or [f"C-{pk}" for pk in pks]),
        key_hash=pl.col(SOURCE_PK) * 7,
        fp=pl.Series([bytes([pk % 256]) * 16 for pk in pks], dtype=pl.Binary),
        sent_fields=pl.Series([bytes([pk % 256]) * 24 for pk in pks], dtype=pl.Binary),
        changed=pl.lit(b"\xff"),
        moved=pl.lit(moved),
    )
    return Sending(sync=SYNC, run=RUN, batch=batch, rows=rows, suite_version=3, mapping_version=2)


def in_tables(ledger: Ledger) -> dict[str, int]:
    """Rows of the tables, looked at from beside the ledger: asking it would fold."""
    with ledger._engine.connect() as connection:  # noqa: SLF001
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (schema.row, schema.outcome, schema.sending, schema.unfolded)
        }


def test_a_commit_writes_history_alone_and_rows_are_there_when_asked_for(ledger: Ledger) -> None:
    batch = sending(5, 6, 7, 8, 9)
    ledger.record_sent(batch, [Accepted(0, 2, 1, 201)])
    ledger.record_sent(batch, [Accepted(3, 2, 3, 201)])
    assert in_tables(ledger) == {"row": 0, "outcome": 2, "sending": 1, "unfolded": 2}
    rows = ledger.read_rows(SYNC, 1, 100)
    assert rows[SOURCE_PK].to_list() == [5, 6, 8, 9]
    assert rows["verdict"].to_list() == ["sent"] * 4
    assert rows[KEY].to_list() == ["C-5", "C-6", "C-8", "C-9"]
    assert rows["sent_fp"].to_list() == [bytes([pk]) * 16 for pk in (5, 6, 8, 9)]
    assert rows["sent_fields"].to_list() == [bytes([pk]) * 24 for pk in (5, 6, 8, 9)]
    assert in_tables(ledger) == {"row": 4, "outcome": 2, "sending": 1, "unfolded": 0}


def test_what_is_acknowledged_after_a_fold_is_folded_as_well_and_nothing_stays_of_a_closed_batch(
    ledger: Ledger,
) -> None:
    batch = sending(5, 6, 7)
    ledger.open_batch(run=RUN, number=1, low_pk=5, high_pk=7, rows=3)
    ledger.record_sent(batch, [Accepted(0, 1, 1, 201)])
    assert ledger.read_rows(SYNC, 1, 100).height == 1
    ledger.record_sent(batch, [Accepted(1, 2, 2, 201)])
    ledger.close_batch(RUN, 1, state="recorded")
    assert in_tables(ledger) == {"row": 3, "outcome": 2, "sending": 0, "unfolded": 0}


def test_a_ledger_that_was_left_in_between_tells_it_to_whoever_opens_it_next(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as first:
        first.start_run(run=RUN, sync=SYNC, kind="profiles", mode="full")
        first.record_sent(sending(5, 6), [Accepted(0, 2, 1, 201)])
        assert in_tables(first)["row"] == 0
    with Ledger.open(ledger_url) as second:
        assert second.read_rows(SYNC, 5, 6).height == 2
        second.end_killed_runs(SYNC, but="r2")
        assert in_tables(second) == {"row": 2, "outcome": 1, "sending": 0, "unfolded": 0}


def test_what_a_shard_that_is_told_to_end_still_writes_down_is_known_of_its_rows(ledger: Ledger) -> None:
    ledger.start_run(run="shard", sync=SYNC, kind="profiles", mode="partial", pk_range=(1, 100))
    batch = sending(5, 6)
    batch.run = "shard"
    ledger.record_sent(batch, [Accepted(0, 1, 1, 201)])
    ledger.interrupt_run("shard", exit_code=143)
    ledger.end_killed_runs(SYNC, but=RUN, low_pk=101, high_pk=200)  # another shard begins
    ledger.record_sent(batch, [Accepted(1, 1, 2, 201)])
    assert ledger.read_rows(SYNC, 1, 100)[SOURCE_PK].to_list() == [5, 6]
    ledger.end_killed_runs(SYNC, but=RUN, low_pk=1, high_pk=100)  # whoever has its lease knows that it is over
    assert in_tables(ledger)["sending"] == 0


def test_of_a_batch_that_is_sent_anew_both_parts_are_known(ledger: Ledger) -> None:
    ledger.record_sent(sending(5, 6, 7), [Accepted(0, 1, 1, 201)])
    ledger.record_sent(sending(6, 7), [Accepted(0, 2, 2, 201)])  # the rest, by another call of the step
    assert ledger.read_rows(SYNC, 1, 100)[SOURCE_PK].to_list() == [5, 6, 7]


def test_a_row_that_is_known_under_another_key_takes_the_new_one(ledger: Ledger) -> None:
    ledger.record_sent(sending(5), [Accepted(0, 1, 1, 201)])
    ledger.record_sent(sending(5, batch=2, keys=["other"]), [Accepted(0, 1, 2, 201)])
    assert ledger.read_rows(SYNC, 5, 5)[KEY].to_list() == ["C-5"]  # the engine says what moved
    ledger.record_sent(sending(5, batch=3, moved=True, keys=["other"]), [Accepted(0, 1, 3, 201)])
    assert ledger.read_rows(SYNC, 5, 5)[KEY].to_list() == ["other"]


def test_what_follows_in_the_same_run_stands_over_what_was_sent_before(ledger: Ledger) -> None:
    ledger.record_sent(sending(5), [Accepted(0, 1, 1, 201)])
    held = sending(5).rows.rename({"moved": "_"}).select(
        SOURCE_PK, KEY, "key_hash", "fp", "sent_fields", "changed",
        part=pl.lit("profile"), verdict=pl.lit("quarantined"), reason=pl.lit("no address"), request=pl.lit(None),
        status=pl.lit(None), suite_version=pl.lit(3), mapping_version=pl.lit(2),
    )  # fmt: skip
    ledger.record(sync=SYNC, run=RUN, batch=2, rows=held)
    assert ledger.read_rows(SYNC, 5, 5)["verdict"].to_list() == ["quarantined"]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
COLUMNS = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), TEXTS, st.binary(max_size=40)), min_size=1, max_size=30,
    unique_by=lambda row: row[0],
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(rows=COLUMNS)
def test_columns_arrive_as_they_are(rows: list[tuple[int, str, bytes]]) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.row.create(connection)
        _columns_arrive(connection, rows)
    engine.dispose()


def test_columns_arrive_as_they_are_in_either_database(ledger: Ledger) -> None:
    rows = [(-(2**63), "", b""), (-1, "Køln '☃'", bytes(range(256))), (2**63 - 1, "a" * 3000, b"\0")]
    with ledger.writing("try") as connection:
        _columns_arrive(connection, rows)


def _columns_arrive(connection: sa.Connection, rows: list[tuple[int, str, bytes]]) -> None:
    frame = pl.DataFrame(rows, schema={SOURCE_PK: pl.Int64, KEY: pl.String, "sent_fp": pl.Binary}, orient="row")
    shared: dict[str, str | int | None] = {
        "sync": "it's: a ? sync",
        "holds": 1,
        "sent_mapping_version": 1,
        "suite_version": 0,
        "mapping_version": 0,
    }
    for _ in range(2):  # the second time in place of the first
        upsert_columns(connection, schema.row, frame, constants=shared, update=(KEY, "sent_fp"))
    table = schema.row.c
    chosen = sa.select(table.source_pk, table.key, table.sent_fp).where(table.sync == shared["sync"])
    found = connection.execute(chosen.order_by(table.source_pk)).all()
    assert [(pk, key, bytes(value)) for pk, key, value in found] == sorted(rows)


def test_a_null_would_shift_its_column_and_is_refused(ledger: Ledger) -> None:
    rows = pl.DataFrame({SOURCE_PK: [1, 2], KEY: ["a", None]})
    with pytest.raises(ValueError, match="1 nulls"), ledger.writing("try") as connection:
        upsert_columns(connection, schema.row, rows, constants={"sync": SYNC}, update=(KEY,))


def test_a_run_that_lost_its_lease_writes_nothing_of_it(ledger: Ledger) -> None:
    lease = ledger.acquire_lease(SYNC, "one")
    with ledger.writing("take it over", fold=False) as connection:
        connection.execute(sa.update(schema.lease).values(holder="another"))
    with pytest.raises(CaspioSyncError):
        ledger.record_sent(sending(5), [Accepted(0, 1, 1, 201)])
    assert in_tables(ledger) == {"row": 0, "outcome": 0, "sending": 0, "unfolded": 0}
    assert lease.sync == SYNC
