"""Writing down what became of rows: the row's state and its history, in one transaction."""

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import Constant, integer_lists, placeholders, select_frame, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.rows import signed
from caspio_sync.ledger.schema import CONSENT, PROFILE, REBASE_SCHEMA, RECORD_SCHEMA, microseconds
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_SEEN = ("seen_fp", "seen_at", "verdict", "reason", "request", "run", "suite_version", "mapping_version")
_SENT = ("sent_fp", "sent_fields", "sent_at", "sent_mapping_version")
_KEY = (KEY, "key_hash")
_OUTCOME_KEY = ("sync", "run", SOURCE_PK, "part")
_REBASE = (
    "UPDATE row SET sent_fp = ?, seen_fp = ?, sent_fields = ?, sent_mapping_version = ?, mapping_version = ?, "
    "suite_version = ?, verdict = 'sent', reason = NULL, seen_at = ? WHERE sync = ? AND source_pk = ?"
)


class Recording(LedgerConnection):
    """Writing rows in bulk."""

    def record(self, *, sync: str, run: str, batch: int, rows: pl.DataFrame) -> None:
        """Write down outcomes; the transaction holds all of them or none.

        A profile part sets `seen_*`, verdict and reason, and `sent_*` where the verdict is "sent". A consent part sets
        `sent_fields` where it is "sent", and nothing else of a row that is known. The same (run, row, part) twice is
        one outcome, the later one.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run.
            rows: RECORD_SCHEMA (`key_hash` may be UInt64 of the same bits).

        Raises:
            TransientError: the ledger is locked by another process or cannot be reached.
            CaspioSyncError: the database refused otherwise; the message says what to do.
        """
        if rows.is_empty():
            return
        rows = _checked(rows)
        at = microseconds(self._clock.now())
        with self._write("record outcomes") as connection:
            rows = _with_moved(connection, sync, rows)
            # Consent first: where one frame holds both parts of a row, the profile's sent_fields are the later ones.
            _record_consent(connection, sync, run, rows)
            _record_profiles(connection, sync, run, rows, at)
            _record_outcomes(connection, rows, {"sync": sync, "run": run, "batch": batch, "at": at})

    def rebase(self, *, sync: str, rows: pl.DataFrame) -> None:
        """Take rows over to a new mapping under which nothing of them is left to send.

        Args:
            sync: name of the sync.
            rows: REBASE_SCHEMA; a `source_pk` that the ledger does not know is passed over.
        """
        if rows.is_empty():
            return
        at = microseconds(self._clock.now())
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
        with self._write("rebase rows") as connection:
            connection.exec_driver_sql(placeholders(connection.dialect, _REBASE), values.rows())


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    """RECORD_SCHEMA, sorted by the tables' own order, without the earlier of two equal (source_pk, part)."""
    rows = rows.select(RECORD_SCHEMA.names()).with_columns(signed(rows["key_hash"])).cast(RECORD_SCHEMA)
    unknown = rows.filter(~pl.col("part").is_in([PROFILE, CONSENT]) | ~pl.col("verdict").is_in(list(Verdict)))
    if not unknown.is_empty():
        part, verdict = unknown.select("part", "verdict").row(0)
        raise ValueError(f"part {part!r}, verdict {verdict!r}: not a part or not a Verdict")
    # PostgreSQL has no NUL in text; both databases shall hold the same.
    texts = pl.col(KEY, "reason").str.replace_all("\0", "\ufffd", literal=True)
    return rows.with_columns(texts).unique([SOURCE_PK, "part"], keep="last").sort(SOURCE_PK, "part")


def _with_moved(connection: sa.Connection, sync: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `moved`: whether the ledger knows the row under another key.

    Rewriting an equal key costs as much as the rest of the row, for its place in the index is far from the last one's.
    """
    known = _known_keys(connection, sync, rows[SOURCE_PK])
    another = pl.col(KEY).ne_missing(pl.col("known_key")) | pl.col("key_hash").ne_missing(pl.col("known_hash"))
    return (
        rows.join(known, on=SOURCE_PK, how="left", maintain_order="left")
        .with_columns(moved=pl.col("known").fill_null(value=False) & another)
        .drop("known", "known_key", "known_hash")
    )


def _known_keys(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.DataFrame:
    columns = {SOURCE_PK: pl.Int64(), "known_key": pl.String(), "known_hash": pl.Int64()}
    statement = "SELECT source_pk, key, key_hash FROM row WHERE sync = ? AND source_pk"
    low, high = int(source_pks[0]), int(source_pks[-1])
    if high - low < 4 * len(source_pks):
        frames = [select_frame(connection, f"{statement} BETWEEN ? AND ?", (sync, low, high), columns)]
    else:
        frames = [
            select_frame(connection, f"{statement} IN ({numbers})", (sync,), columns)
            for numbers in integer_lists(source_pks)
        ]
    return pl.concat(frames).with_columns(known=pl.lit(value=True))


def _record_profiles(connection: sa.Connection, sync: str, run: str, rows: pl.DataFrame, at: int) -> None:
    sent, moved = pl.col("verdict") == Verdict.SENT, pl.col("moved")
    profiles = rows.filter(pl.col("part") == PROFILE).with_columns(seen_fp="fp")
    shared: dict[str, Constant] = {"sync": sync, "run": run, "seen_at": at}
    delivered = profiles.with_columns(sent_fp="fp", sent_mapping_version="mapping_version")
    acknowledged = {**shared, "sent_at": at, "holds": 1}
    # A row that is held back owns no new key; what Braze has of it stays as it was.
    held_back = {**shared, "sent_mapping_version": 0, "holds": 0}
    _upsert_rows(connection, delivered.filter(sent & ~moved), acknowledged, (*_SEEN, *_SENT, "holds"))
    _upsert_rows(connection, delivered.filter(sent & moved), acknowledged, (*_SEEN, *_SENT, "holds", *_KEY))
    held = profiles.drop("sent_fields")
    _upsert_rows(connection, held.filter(~sent & ~moved), held_back, _SEEN)
    _upsert_rows(connection, held.filter(~sent & moved), held_back, (*_SEEN, "holds", *_KEY))


def _record_consent(connection: sa.Connection, sync: str, run: str, rows: pl.DataFrame) -> None:
    acknowledged = rows.filter((pl.col("part") == CONSENT) & (pl.col("verdict") == Verdict.SENT)).select(
        SOURCE_PK, *_KEY, "sent_fields", "suite_version", "mapping_version", sent_mapping_version="mapping_version"
    )
    constants: dict[str, Constant] = {"sync": sync, "run": run, "holds": 1}
    _upsert_rows(connection, acknowledged, constants, ("sent_fields", "sent_mapping_version"))


def _upsert_rows(
    connection: sa.Connection, rows: pl.DataFrame, constants: dict[str, Constant], update: Sequence[str]
) -> None:
    columns = [name for name in rows.columns if name in schema.row.c and name not in constants]
    upsert(connection, schema.row, rows.select(columns), constants=constants, update=update)


def _record_outcomes(connection: sa.Connection, rows: pl.DataFrame, constants: dict[str, Constant]) -> None:
    columns = [name for name in rows.columns if name in schema.outcome.c]
    update = [column.name for column in schema.outcome.c if column.name not in _OUTCOME_KEY]
    upsert(connection, schema.outcome, rows.select(columns), constants=constants, update=update)
