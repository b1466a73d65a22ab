"""Recording what was accepted: nearly every row of a run goes this way.

With the first outcome of a batch its rows are kept as they will be once acknowledged (`sending`). Each commit appends
to the history alone, and names itself in `unfolded`. The rows learn of it together, once a batch, or when somebody asks
for rows meanwhile: every transaction folds first, unless it says that rows are none of its matter. So what was
acknowledged is what the history says, and a kill between the two loses nothing: whoever opens the ledger next folds.

Rows written one commit after the other cost twice as much: their keys lie all over the index, and each commit wrote
most of its pages anew.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import catalog_schema, history, schema
from caspio_sync.ledger.bulk import upsert
from caspio_sync.ledger.columns_in import upsert_columns
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.events_schema import settle
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.leases import LOWEST_PK
from caspio_sync.ledger.schema import unfolded
from caspio_sync.ledger.sent_rows import Accepted, Sending, acknowledged
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_KEPT = (SOURCE_PK, KEY, "key_hash", "fp", "sent_fields", "moved")
_UPDATED = (
    "sent_fp", "seen_fp", "sent_fields", "sent_mapping_version", "sent_at", "seen_at", "verdict", "reason", "request",
    "run", "suite_version", "mapping_version", "holds",
)  # fmt: skip


class SendingRows(LedgerConnection):
    """The fast way for rows that were accepted."""

    def record_sent(self, sending: Sending, accepted: Iterable[Accepted]) -> None:
        """Write down that these requests were accepted, in one transaction; repeating it is harmless.

        Raises:
            TransientError: the ledger is locked by another process or cannot be reached.
            CaspioSyncError: the database refused otherwise; the message says what to do.
        """
        accepted = sorted(accepted, key=lambda each: each.start)
        # The rows of a batch whose sending begins anew take the place of those it kept before: these learn first.
        with self.writing("record what was sent", fenced=True, fold=not sending.is_noted) as connection:
            _record_sent(connection, sending, accepted, at=microseconds(self.now()))
        sending.is_noted = True

    def try_recording(self, sync: str, run: str) -> None:
        """Record rows that there are none of, and take that back: to be called before a run's first request.

        What leaves and cannot be written down is billed again by every run.

        Raises:
            TransientError, CaspioSyncError: as `record_sent`; nothing may be sent.
        """
        nothing = pl.lit(bytes(16))
        rows = pl.DataFrame({SOURCE_PK: [LOWEST_PK, LOWEST_PK + 1], "moved": [False, True]}).with_columns(
            pl.lit("").alias(KEY), key_hash=pl.lit(0), fp=nothing, sent_fields=nothing, changed=nothing
        )
        sending = Sending(sync=sync, run=run, batch=0, rows=rows, suite_version=0, mapping_version=0)
        with contextlib.suppress(_TakenBackError), self.writing("record what is to be sent", fenced=True) as connection:
            _record_sent(connection, sending, [Accepted(0, rows.height, 0, 0)], at=microseconds(self.now()))
            self._fold(connection)
            raise _TakenBackError

    def _unfolded(self, doing: str) -> bool:
        with self.reading(doing, fold=False) as connection:
            return connection.execute(sa.select(unfolded.c.number).limit(1)).first() is not None

    def _fold(self, connection: sa.Connection) -> None:
        """Have the rows tell what was acknowledged of them since they were last asked."""
        outcome = schema.outcome.c
        waiting = (
            sa.select(outcome.sync, outcome.run, outcome.batch, outcome.number, outcome.at, outcome.rows)
            .join_from(unfolded, schema.outcome, unfolded.c.number == outcome.number)
            .order_by(outcome.sync, outcome.run, outcome.batch, outcome.number)
            .with_for_update(of=unfolded)  # two processes fold one after the other; the second finds nothing
        )
        found = connection.execute(waiting).all()
        for (sync, run, batch), stretches in groupby(found, key=lambda each: (each.sync, each.run, each.batch)):
            _fold_batch(connection, sync, run, batch, list(stretches))
        for start in range(0, len(found), _NUMBERS_A_STATEMENT):
            numbers = [each.number for each in found[start : start + _NUMBERS_A_STATEMENT]]
            connection.execute(sa.delete(unfolded).where(unfolded.c.number.in_(numbers)))


_NUMBERS_A_STATEMENT = 500


class _TakenBackError(Exception):
    """Rolls a transaction back."""


def _record_sent(connection: sa.Connection, sending: Sending, accepted: Sequence[Accepted], *, at: int) -> None:
    """Write down that requests, sorted by their first row, were accepted."""
    if not sending.is_noted:
        _note_sending(connection, sending)
    number = history.append_sent(connection, sending, sending.told[places_of(accepted)], accepted, at=at)
    connection.execute(sa.insert(unfolded).values(number=number))
    if sending.journalled:
        answered = sending.rows[places_of(accepted)]
        settle(connection, sending.sync, answered.select(SOURCE_PK, "fp", verdict=pl.lit(Verdict.SENT.value)))


def _note_sending(connection: sa.Connection, sending: Sending) -> None:
    """Keep the rows of a batch as they will be once acknowledged."""
    own = _own(sending.sync, sending.run, sending.batch)
    connection.execute(sa.delete(schema.sending).where(*own))
    connection.execute(
        sa.insert(schema.sending).values(
            sync=sending.sync,
            run=sending.run,
            batch=sending.batch,
            suite_version=sending.suite_version,
            mapping_version=sending.mapping_version,
            rows=_packed(sending.rows.select(*_KEPT, *({"price"} & set(sending.rows.columns)))),
        )
    )


def _own(sync: str, run: str, batch: int) -> tuple[sa.ColumnElement[bool], ...]:
    table = schema.sending.c
    return table.sync == sync, table.run == run, table.batch == batch


def _packed(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)  # not compressed: fingerprints are as dense as noise
    return buffer.getvalue()


def _fold_batch(connection: sa.Connection, sync: str, run: str, batch: int, stretches: Sequence[Any]) -> None:
    """Write the rows of a batch that these stretches of the history acknowledge."""
    kept = connection.execute(sa.select(schema.sending).where(*_own(sync, run, batch))).one_or_none()
    if kept is None:
        return  # nobody knows what was sent of these rows: the next run sends all of it again
    rows = acknowledged(kept.rows, [(microseconds(each.at), each.rows) for each in stretches])
    for is_moved in (False, True):
        upsert_columns(
            connection,
            schema.row,
            rows.filter(pl.col("moved") == is_moved).select(
                SOURCE_PK,
                KEY,
                "key_hash",
                "sent_fields",
                "request",
                "sent_at",
                sent_fp="fp",
                seen_fp="fp",
                seen_at="sent_at",
            ),
            constants={
                "sync": sync,
                "run": run,
                "holds": 1,
                "verdict": Verdict.SENT.value,
                "reason": None,
                "suite_version": kept.suite_version,
                "mapping_version": kept.mapping_version,
                "sent_mapping_version": kept.mapping_version,
            },
            # Rewriting an equal key would cost as much as the rest of the row: its place in the index is elsewhere.
            update=(*_UPDATED, KEY, "key_hash") if is_moved else _UPDATED,
        )
    if "price" in rows.columns:
        record_prices(connection, sync, rows)


def forget_sending(connection: sa.Connection, hashes: pl.Series, *, but: Sequence[str] = ()) -> None:
    """Take the rows that bear these keys out of the batches that are being sent, or were when their run died.

    Args:
        connection: in a write transaction.
        hashes: of the keys.
        but: syncs that are left as they are.
    """
    for each in connection.execute(sa.select(schema.sending).where(schema.sending.c.sync.not_in(but))).all():
        rows = pl.read_ipc(io.BytesIO(each.rows))
        left = rows.filter(~pl.col("key_hash").is_in(hashes.implode()))
        if left.height < rows.height:
            own = _own(each.sync, each.run, each.batch)
            connection.execute(sa.update(schema.sending).where(*own).values(rows=_packed(left)))


def record_prices(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> None:
    """Write down the prices that items were sent with: source_pk and `price`, nulls passed over."""
    prices = rows.select(SOURCE_PK, "price").drop_nulls()
    upsert(connection, catalog_schema.price, prices, constants={"sync": sync}, update=("price",))


def places_of(accepted: Sequence[Accepted]) -> list[int]:
    """The places of these requests' rows, one request after the other."""
    return [place for each in accepted for place in range(each.start, each.start + each.count)]
