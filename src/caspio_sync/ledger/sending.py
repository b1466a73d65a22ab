"""Recording what was accepted: nearly every row of a run goes this way, so it is prepared once a batch.

A commit then binds ready values and nothing else: one statement for the rows of a request.
"""

import contextlib
from collections.abc import Iterable, Sequence
from itertools import chain

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import catalog_schema, history, schema
from caspio_sync.ledger.bulk import upsert, upsert_statement
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.leases import LOWEST_PK
from caspio_sync.ledger.schema import microseconds
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_PREPARED = (SOURCE_PK, KEY, "key_hash", "sent_fp", "seen_fp", "sent_fields")
_OF_REQUEST = ("request", "sent_at", "seen_at")
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
        with self.writing("record what was sent", fenced=True) as connection:
            _record_sent(connection, sending, accepted, at=microseconds(self.now()))

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
            raise _TakenBackError


class _TakenBackError(Exception):
    """Rolls a transaction back."""


def _record_sent(connection: sa.Connection, sending: Sending, accepted: Sequence[Accepted], *, at: int) -> None:
    """Write down that requests, sorted by their first row, were accepted."""
    answered = sending.rows[places_of(accepted)]
    moved = answered["moved"].to_list() if sending.any_moved else [False] * answered.height
    values = answered.select(SOURCE_PK, KEY, "key_hash", "fp", pl.col("fp").alias("seen_fp"), "sent_fields").rows()
    start = 0
    for each in accepted:
        of_request = (each.request, at, at)
        rows: dict[bool, list[tuple[object, ...]]] = {False: [], True: []}
        for place in range(start, start + each.count):
            rows[moved[place]].append((*values[place], *of_request))
        for is_moved, some in rows.items():
            if some:
                statement = _statement(connection.dialect, sending, len(some), is_moved=is_moved)
                connection.exec_driver_sql(statement, tuple(chain.from_iterable(some)))
        start += each.count
    history.append_sent(connection, sending, answered, accepted, at=at)
    if "price" in answered.columns:
        record_prices(connection, sending.sync, answered)


def record_prices(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> None:
    """Write down the prices that items were sent with: source_pk and `price`, nulls passed over."""
    prices = rows.select(SOURCE_PK, "price").drop_nulls()
    upsert(connection, catalog_schema.price, prices, constants={"sync": sync}, update=("price",))


def places_of(accepted: Sequence[Accepted]) -> list[int]:
    """The places of these requests' rows, one request after the other."""
    return list(chain.from_iterable(range(each.start, each.start + each.count) for each in accepted))


def _statement(dialect: sa.Dialect, sending: Sending, count: int, *, is_moved: bool) -> str:
    """The statement for so many rows; what is the same throughout a batch stands in it: it is compiled once."""
    if (count, is_moved) not in sending.statements:
        sending.statements[count, is_moved] = upsert_statement(
            dialect,
            schema.row,
            columns=(*_PREPARED, *_OF_REQUEST),
            count=count,
            constants={
                "sync": sending.sync,
                "run": sending.run,
                "holds": 1,
                "verdict": Verdict.SENT.value,
                "reason": None,
                "suite_version": sending.suite_version,
                "mapping_version": sending.mapping_version,
                "sent_mapping_version": sending.mapping_version,
            },
            # Rewriting an equal key would cost as much as the rest of the row: its place in the index is elsewhere.
            update=(*_UPDATED, KEY, "key_hash") if is_moved else _UPDATED,
        )
    return sending.statements[count, is_moved]
