"""Who entered an automation of a destination, or may have: nobody is enrolled a second time.

    noted by a run, before the call ─▶ entered
                                    ├─▶ refused: forgotten
                                    └─▶ in doubt: its answer was lost, or its run died; since when, is known

People are known by a hash of their key alone: an entry outlives the row, and a table that is filled again.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, select_among, signed, upsert
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.schema import Instant

enrolment = sa.Table(
    "enrolment",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("automation", sa.Text, primary_key=True),
    sa.Column("left_at", Instant, nullable=False),  # when it was noted, since when it is in doubt, or when it was taken
    sa.Column("run", sa.Text),  # that is about to enrol; null: none is
    sa.Column("entered", sa.SmallInteger, nullable=False),  # 1: it was taken; 0: that is not known
)

# `left_at` in microseconds since 1970 (UTC); `made_by`: the run, see above.
ENROLMENT_SCHEMA = pl.Schema(
    {
        "key_hash": pl.Int64(),
        "automation": pl.String(),
        "left_at": pl.Int64(),
        "made_by": pl.String(),
        "entered": pl.Int64(),
    }
)


class Enrolments(LedgerConnection):
    """What is known of enrolments. Rows of all calls: key_hash, automation."""

    def enrolments(self, sync: str, key_hashes: pl.Series) -> pl.DataFrame:
        """ENROLMENT_SCHEMA of these people."""
        statement = "SELECT key_hash, automation, left_at, run, entered FROM enrolment WHERE sync = ? AND key_hash"
        with self.reading("read enrolments") as connection:
            return select_among(connection, statement, (sync,), signed(key_hashes), dict(ENROLMENT_SCHEMA))

    def note_enrolments(self, sync: str, run: str, rows: pl.DataFrame) -> None:
        """A run is about to enrol them; who entered is not to be among them, for that would be forgotten."""
        self._write("note enrolments", sync, rows, run=run, entered=0)

    def record_enrolments(self, sync: str, rows: pl.DataFrame) -> None:
        """They entered."""
        self._write("record enrolments", sync, rows, run=None, entered=1)

    def doubt_enrolments(self, sync: str, rows: pl.DataFrame) -> None:
        """They may have entered up to now, and nobody enrols them any more: from now on they are in doubt."""
        self._write("note enrolments in doubt", sync, rows, run=None, entered=0)

    def forget_enrolments(self, sync: str, rows: pl.DataFrame) -> None:
        """They were refused: none of them entered."""
        of = enrolment.c
        with self.writing("forget enrolments", fenced=True) as connection:
            for key_hash, automation in rows.select(signed(rows["key_hash"]), "automation").iter_rows():
                chosen = (of.sync == sync, of.key_hash == key_hash, of.automation == automation, of.entered == 0)
                connection.execute(sa.delete(enrolment).where(*chosen))

    def rename_enrolled(self, sync: str, rows: pl.DataFrame) -> None:
        """People bear another key now: key_hash, and former_hash of the one before.

        What is known under both is known under the present one.
        """
        of, other = enrolment.c, enrolment.alias("other")
        pairs = rows.select(signed(rows["key_hash"]), signed(rows["former_hash"]))
        with self.writing("rename who is enrolled", fenced=True) as connection:
            for key_hash, former in pairs.iter_rows():
                before = (of.sync == sync, of.key_hash == former)
                both = sa.exists().where(
                    other.c.sync == sync, other.c.key_hash == key_hash, other.c.automation == of.automation
                )
                taken = sa.select(of.automation).where(*before, of.entered == 1)
                entered = list(connection.execute(taken).scalars())
                now = (of.sync == sync, of.key_hash == key_hash, of.automation.in_(entered))
                connection.execute(sa.update(enrolment).where(*now).values(entered=1, run=None))
                connection.execute(sa.update(enrolment).where(*before, ~both).values(key_hash=key_hash))
                connection.execute(sa.delete(enrolment).where(*before))

    def _write(self, doing: str, sync: str, rows: pl.DataFrame, *, run: str | None, entered: int) -> None:
        if rows.is_empty():
            return
        values = rows.select(signed(rows["key_hash"]), "automation")
        constants: dict[str, str | int | None] = {
            "sync": sync,
            "left_at": microseconds(self.now()),
            "run": run,
            "entered": entered,
        }
        with self.writing(doing, fenced=True) as connection:
            upsert(connection, enrolment, values, constants=constants, update=("left_at", "run", "entered"))


def forget_enrolled(connection: sa.Connection, key_hashes: pl.Series) -> None:
    """Take people out of the table, in a write transaction."""
    for numbers in integer_lists(key_hashes):
        chosen = enrolment.c.key_hash.in_([int(number) for number in numbers.split(",")])
        connection.execute(sa.delete(enrolment).where(chosen))
