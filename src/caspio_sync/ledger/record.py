"""Writing down what became of rows: the row's state and its history, in one transaction."""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import Constant, placeholders, signed, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.events_schema import settle
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.known import known_keys, moved
from caspio_sync.ledger.schema import CONSENT, PROFILE, REBASE_SCHEMA, RECORD_SCHEMA
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_SEEN = ("seen_fp", "seen_at", "verdict", "reason", "request", "run", "suite_version", "mapping_version")
_SENT = ("sent_fp", "sent_fields", "sent_at", "sent_mapping_version")
_KEY = (KEY, "key_hash")
# Stands for "none of the versions we know": what is there once an opt-out left alone. Without it a row that goes back
# to its former version would pass for unchanged.
NO_VERSION = bytes(16)
_REBASE = (
    "UPDATE row SET sent_fp = ?, seen_fp = ?, sent_fields = ?, sent_mapping_version = ?, mapping_version = ?, "
    "suite_version = ?, verdict = 'sent', reason = NULL, seen_at = ? WHERE sync = ? AND source_pk = ?"
)


class Recording(LedgerConnection):
    """Writing rows in bulk."""

    def record(self, *, sync: str, run: str, batch: int, rows: pl.DataFrame, journalled: bool = False) -> None:
        """Write down outcomes; the transaction holds all of them or none.

        A profile part sets `seen_*`, verdict and reason, and `sent_*` where the verdict is "sent". A consent part sets
        `sent_fields` where it is "sent", and leaves a known row without a version that would be held whole there. The
        same (run, row, part) twice is one outcome, the later one.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run.
            rows: RECORD_SCHEMA (`key_hash` may be UInt64 of the same bits).
            journalled: whether they stand in the journal of events, which they leave unless they are unknown.

        Raises:
            TransientError: the ledger is locked by another process or cannot be reached.
            CaspioSyncError: the database refused otherwise; the message says what to do.
        """
        if rows.is_empty():
            return
        at = microseconds(self.now())
        with self.writing("record outcomes", fenced=True) as connection:
            known = known_keys(connection, sync, rows[SOURCE_PK])
            # One lazy query: a commit has few rows, and each eager step would cost more than what it does.
            rows = _with_moved(_checked(rows), known).with_columns(seen_fp="fp", at=pl.lit(at)).collect()
            # Consent first: where one frame holds both parts of a row, the profile's sent_fields are the later ones.
            groups = rows.partition_by("part", "sent", "moved", as_dict=True)
            for (part, sent, is_moved), group in sorted(groups.items()):
                if part == PROFILE:
                    _record_profiles(connection, sync, run, group, sent=bool(sent), is_moved=bool(is_moved))
                elif sent:
                    _record_consent(connection, sync, run, group, is_moved=bool(is_moved))
            history.append(connection, rows, sync=sync, run=run, batch=batch, at=at)
            if journalled:
                settle(connection, sync, rows)

    def rebase(self, *, sync: str, rows: pl.DataFrame) -> None:
        """Take rows over to a new mapping under which nothing of them is left to send.

        Args:
            sync: name of the sync.
            rows: REBASE_SCHEMA; a `source_pk` that the ledger does not know is passed over.
        """
        if rows.is_empty():
            return
        at = microseconds(self.now())
        values = (
            rows.select(REBASE_SCHEMA.names())
            .sort(SOURCE_PK)
            .select(
                "fp",
                pl.col("fp").alias("seen_fp"),
                "sent_fields",
                "mapping_version",
                pl.col("mapping_version").alias("verdict_mapping_version"),
                "suite_version",
                pl.lit(at).alias("at"),
                pl.lit(sync).alias("sync"),
                SOURCE_PK,
            )
        )
        with self.writing("rebase rows", fenced=True) as connection:
            connection.exec_driver_sql(placeholders(connection.dialect, _REBASE), values.rows())


def _checked(rows: pl.DataFrame) -> pl.LazyFrame:
    """RECORD_SCHEMA, sorted by the tables' own order, without the earlier of two equal (source_pk, part)."""
    # PostgreSQL has no NUL in text; both databases shall hold the same.
    texts = pl.col(KEY, "reason").str.replace_all("\0", "\ufffd", literal=True)
    # A word that is no part or no Verdict is refused by the cast.
    words = (
        pl.col("part").cast(pl.Enum([CONSENT, PROFILE])),
        pl.col("verdict").cast(pl.Enum([verdict.value for verdict in Verdict])),
    )
    return (
        rows.select(RECORD_SCHEMA.names())
        .with_columns(signed(rows["key_hash"]))
        .lazy()
        .cast(RECORD_SCHEMA)
        .with_columns(texts, *words)
        .with_columns(pl.col("part", "verdict").cast(pl.String))
        .unique([SOURCE_PK, "part"], keep="last")
        .sort(SOURCE_PK, "part")
    )


def _with_moved(rows: pl.LazyFrame, known: pl.DataFrame) -> pl.LazyFrame:
    """Adds `moved` (the ledger knows the row under another key), `known_sent` (a version was acknowledged) and `sent`.

    Rewriting an equal key costs as much as the rest of the row, for its place in the index is far from the last one's.
    """
    return (
        rows.join(known.lazy(), on=SOURCE_PK, how="left", maintain_order="left")
        .with_columns(
            moved=moved(),
            known_sent=pl.col("known_sent").fill_null(value=0) == 1,
            sent=pl.col("verdict") == Verdict.SENT,
        )
        .drop("known", "known_key", "known_hash")
    )


_PROFILE = (SOURCE_PK, *_KEY, "seen_fp", "seen_at", "verdict", "reason", "request", "suite_version", "mapping_version")


def _record_profiles(
    connection: sa.Connection, sync: str, run: str, rows: pl.DataFrame, *, sent: bool, is_moved: bool
) -> None:
    # What stays the same throughout a run stands in the statement, which is then compiled once; the time does not.
    shared: dict[str, Constant] = {"sync": sync, "run": run}
    values = [*(pl.col("at").alias("seen_at") if name == "seen_at" else pl.col(name) for name in _PROFILE)]
    key = _KEY if is_moved else ()
    if sent:
        values += [
            pl.col("fp").alias("sent_fp"),
            pl.col("sent_fields"),
            pl.col("mapping_version").alias("sent_mapping_version"),
            pl.col("at").alias("sent_at"),
        ]
        update = (*_SEEN, *_SENT, "holds", *key)
        upsert(connection, schema.row, rows.select(values), constants={**shared, "holds": 1}, update=update)
        return
    # A row that is held back owns no new key, and what was acknowledged under the former one says nothing of it; under
    # the same key, what is there of it stays as it was.
    update = (*_SEEN, "holds", "sent_fields", "sent_mapping_version", *key) if is_moved else _SEEN
    held = {**shared, "sent_mapping_version": 0, "sent_fields": None, "holds": 0}
    upsert(connection, schema.row, rows.select(values), constants=held, update=update)


def _record_consent(connection: sa.Connection, sync: str, run: str, rows: pl.DataFrame, *, is_moved: bool) -> None:
    acknowledged = rows.select(
        SOURCE_PK,
        *_KEY,
        "sent_fields",
        "suite_version",
        "mapping_version",
        sent_mapping_version="mapping_version",
        sent_fp=pl.when("known_sent").then(pl.lit(None if is_moved else NO_VERSION)),
    )
    constants: dict[str, Constant] = {"sync": sync, "run": run, "holds": 1, "seen_fp": None, "verdict": None}
    update = ("sent_fields", "sent_mapping_version", "sent_fp")
    # Under another key it is another profile, of which nothing but this opt-out is known.
    moved_on = (*_KEY, "holds", "seen_fp", "verdict") if is_moved else ()
    upsert(connection, schema.row, acknowledged, constants=constants, update=(*update, *moved_on))
