"""What the ledger knows of source rows: read by range, by key, by batch."""

from collections.abc import Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history
from caspio_sync.ledger.bulk import Constant, select_among, select_frame, signed
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.schema import CLAIM_SCHEMA, LEDGER_ROW_SCHEMA, outcome, unfolded
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

_VERDICT_CODES = {verdict: number for number, verdict in enumerate(Verdict, start=1)}
_VERDICT_BY_CODE = {0: None, **{number: verdict.value for verdict, number in _VERDICT_CODES.items()}}
_CASES = " ".join(f"WHEN '{verdict}' THEN {number}" for verdict, number in _VERDICT_CODES.items())
_VERSION_BITS, _VERDICT_BITS = 19, 4

# Making Python values is what reading costs. So three versions and the verdict travel as one integer, and a seen_fp
# that equals sent_fp (nearly all do) as null: 40 % less time than the columns one by one.
_SUITE_SHIFT = _VERDICT_BITS
_SENT_SHIFT = _SUITE_SHIFT + _VERSION_BITS
_MAPPING_SHIFT = _SENT_SHIFT + _VERSION_BITS
_PACKED = (
    f"(mapping_version << {_MAPPING_SHIFT}) | (sent_mapping_version << {_SENT_SHIFT}) | "
    f"(suite_version << {_SUITE_SHIFT}) | (CASE verdict {_CASES} ELSE 0 END)"
)
# What was acknowledged under a former key says nothing of the profile that the present key names.
_SENT_FP = "(CASE WHEN holds = 1 THEN sent_fp END)"
ROW_COLUMNS = f"source_pk, key, key_hash, {_SENT_FP}, sent_fields, NULLIF(seen_fp, {_SENT_FP}), {_PACKED}"
"""What a SELECT asks for that `unpacked` reads."""
_READ_ROWS = f"SELECT {ROW_COLUMNS} FROM row WHERE sync = ? AND source_pk BETWEEN ? AND ? ORDER BY source_pk"
_PACKED_SCHEMA = {
    SOURCE_PK: pl.Int64(),
    KEY: pl.String(),
    "key_hash": pl.Int64(),
    "sent_fp": pl.Binary(),
    "sent_fields": pl.Binary(),
    "seen_fp": pl.Binary(),
    "packed": pl.Int64(),
}
_CLAIM_COLUMNS = {"key_hash": pl.Int64(), SOURCE_PK: pl.Int64(), KEY: pl.String(), "holds": pl.Int64()}

_ACKNOWLEDGED = {SOURCE_PK: pl.Int64(), "key_hash": pl.Int64(), "fp": pl.Binary()}


class Rows(LedgerConnection):
    """Reading rows in bulk."""

    def read_rows(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """What is known of the rows whose `source_pk` lies in low..high, both included.

        Returns:
            LEDGER_ROW_SCHEMA, sorted by `source_pk`. `sent_fp` is null where nothing was acknowledged under the row's
            present key. `seen_fp` and `verdict` are null for a row of which nothing but an
            opt-out was recorded.
        """
        with self.reading("read rows", fold=self._unfolded_within(sync, low, high)) as connection:
            return unpacked(connection, _READ_ROWS, (sync, low, high))

    def acknowledged(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """source_pk, key_hash and fp of the rows in low..high of which the very version last seen was acknowledged.

        None of them is held, owed, in doubt, drifted or deleted. Sorted by `source_pk`.
        """
        statement = (
            "SELECT source_pk, key_hash, sent_fp FROM row WHERE sync = ? AND source_pk BETWEEN ? AND ? "
            "AND verdict = 'sent' AND holds = 1 AND sent_fp = seen_fp ORDER BY source_pk"
        )
        with self.reading("read rows", fold=self._unfolded_within(sync, low, high)) as connection:
            return select_frame(connection, statement, (sync, low, high), _ACKNOWLEDGED)

    def _unfolded_within(self, sync: str, low: int, high: int) -> bool:
        """Whether rows of this range are still to learn what was acknowledged of them."""
        overlapping = (
            sa.select(outcome.c.number)
            .join_from(unfolded, outcome, unfolded.c.number == outcome.c.number)
            .where(outcome.c.sync == sync, outcome.c.low_pk <= high, outcome.c.high_pk >= low)
            .limit(1)
        )
        with self.reading("read rows", fold=False) as connection:
            return connection.execute(overlapping).first() is not None

    def claims(self, sync: str, key_hashes: pl.Series) -> pl.DataFrame:
        """Which rows bear these keys.

        Args:
            sync: name of the sync.
            key_hashes: Int64, or UInt64 of the same bits; nulls are passed over.

        A batch that is being sent is not asked: it has claimed its keys (`Turns.claim`, and `claim_keys` for others).
        These are to be looked at first: what ends meanwhile would be in neither.

        Returns:
            CLAIM_SCHEMA, one row a claimant, sorted by `key_hash`, then holders first, then `source_pk`: the first of a
            key owns it. `holds` is true where a version with this very key was acknowledged, false where it is only
            the last one seen. Two keys may share a hash: compare `key`.
        """
        with self.reading("look up keys", fold=False) as connection:
            rows = of_keys(connection, sync, ", ".join(_CLAIM_COLUMNS), key_hashes, _CLAIM_COLUMNS)
        return rows.cast(CLAIM_SCHEMA).sort("key_hash", "holds", SOURCE_PK, descending=[False, True, False])

    def sent_keys(self, sync: str, *, after: int, limit: int) -> pl.DataFrame:
        """Keys under which something was acknowledged, of the next rows after a `source_pk`.

        Returns:
            `source_pk` and `key`, sorted by `source_pk`; fewer than `limit` where there are no more.
        """
        statement = (
            "SELECT source_pk, key FROM row WHERE sync = ? AND source_pk > ? AND holds = 1 AND sent_fp IS NOT NULL "
            f"ORDER BY source_pk LIMIT {int(limit)}"
        )
        with self.reading("read keys") as connection:
            return select_frame(connection, statement, (sync, after), {SOURCE_PK: pl.Int64(), KEY: pl.String()})

    def delivered(self, sync: str, run: str, batch: int) -> pl.DataFrame:
        """What this batch of this run has recorded already: a repeated task plans only the rest.

        Returns:
            DELIVERED_SCHEMA, sorted by `source_pk`; every verdict counts, not only `sent`.
        """
        with self.reading("read outcomes", fold=False) as connection:
            return history.delivered(connection, sync, run, batch)


def of_keys(
    connection: sa.Connection, sync: str, columns: str, key_hashes: pl.Series, schema: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """These columns, with `schema`, of the rows that bear one of these keys."""
    # Left alone, SQLite prefers to walk all rows of the sync to a long IN list on the index.
    index = "INDEXED BY row_key" if connection.dialect.name == "sqlite" else ""
    statement = f"SELECT {columns} FROM row {index} WHERE sync = ? AND key_hash"
    return select_among(connection, statement, (sync,), signed(key_hashes), schema)


def unpacked(connection: sa.Connection, statement: str, parameters: Sequence[Constant]) -> pl.DataFrame:
    """LEDGER_ROW_SCHEMA of what a statement yields that asks for `ROW_COLUMNS`."""
    rows = select_frame(connection, statement, parameters, _PACKED_SCHEMA)
    packed, mask = pl.col("packed"), 2**_VERSION_BITS
    return rows.with_columns(
        seen_fp=pl.coalesce("seen_fp", "sent_fp"),
        verdict=(packed % 2**_VERDICT_BITS).replace_strict(_VERDICT_BY_CODE, return_dtype=pl.String),
        suite_version=packed // 2**_SUITE_SHIFT % mask,
        sent_mapping_version=packed // 2**_SENT_SHIFT % mask,
        mapping_version=packed // 2**_MAPPING_SHIFT,
    ).select(LEDGER_ROW_SCHEMA.names())
