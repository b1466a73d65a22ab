"""Deals: the number under which each is known at the destination, and whether one may be there that we do not know.

    noted by a run, before it may be made ─▶ number known
                                          ├─▶ refused: nothing is there
                                          └─▶ in doubt: its answer was lost, or its run died; since when, is known

It is written before the call, so that a kill between the two makes no second deal: what may be there is looked for.
"""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import integer_lists, signed, upsert
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.leases import Leases
from caspio_sync.ledger.schema import INSTANT, Instant
from caspio_sync.schemas import KEY, SOURCE_PK

deal = sa.Table(
    "deal",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.BigInteger, nullable=False),
    sa.Column("contact_hash", sa.BigInteger),  # of the address of its contact: by it an erasure finds the deal
    sa.Column("number", sa.Text),  # of the deal there; null: it is not known whether there is one
    sa.Column("first_at", Instant, nullable=False),  # when it was first about to be made
    sa.Column("left_at", Instant),  # when it was noted, or since when it is in doubt; null: it was not made
    sa.Column("run", sa.Text),  # that is about to make it; null: none is, and what may be there is in doubt
)
sa.Index("deal_contact", deal.c.contact_hash)

# Times are microseconds since 1970 (UTC).
DEAL_SCHEMA = pl.Schema(
    {KEY: pl.String(), "number": pl.String(), "first_at": pl.Int64(), "left_at": pl.Int64(), "made_by": pl.String()}
)
IN_DOUBT_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), KEY: pl.String(), "at": INSTANT})
_KEYS_A_QUERY = 500


class Deals(Leases):
    """What is known of deals."""

    def deals(self, sync: str, keys: pl.Series) -> pl.DataFrame:
        """DEAL_SCHEMA of these keys, of those that are known."""
        of, found = deal.c, []
        times = [sa.type_coerce(each, sa.BigInteger) for each in (of.first_at, of.left_at)]
        with self.reading("read deals") as connection:
            for start in range(0, len(keys), _KEYS_A_QUERY):
                some = keys.slice(start, _KEYS_A_QUERY).to_list()
                chosen = sa.select(of.key, of.number, *times, of.run).where(of.sync == sync, of.key.in_(some))
                found += [tuple(row) for row in connection.execute(chosen)]
        return pl.DataFrame(found, DEAL_SCHEMA, orient="row")

    def deals_in_doubt(self, sync: str) -> pl.DataFrame:
        """IN_DOUBT_SCHEMA: deals that may be there without a number, oldest first; not those of runs under way.

        `source_pk` is null where the row has another key by now.
        """
        of, row = deal.c, schema.row.c
        ended = sa.or_(of.run.is_(None), of.run.not_in(self.runs_under_way(sync)))
        same = sa.and_(row.sync == of.sync, row.key_hash == of.key_hash, row.key == of.key)
        chosen = (
            sa.select(sa.func.min(row.source_pk), of.key, of.left_at)
            .select_from(deal.outerjoin(schema.row, same))
            .where(of.sync == sync, of.number.is_(None), of.left_at.is_not(None), ended)
            .group_by(of.key, of.left_at)
            .order_by(of.left_at, of.key)
        )
        with self.reading("read deals in doubt") as connection:
            found = [tuple(each) for each in connection.execute(chosen)]
        return pl.DataFrame(found, schema=IN_DOUBT_SCHEMA, orient="row")

    def note_deals(self, sync: str, run: str, rows: pl.DataFrame) -> None:
        """A run is about to make these deals, where it does not find them.

        Args:
            sync: name of the sync.
            run: its id.
            rows: key, key_hash, contact_hash.
        """
        if rows.is_empty():
            return
        values = rows.select(KEY, signed(rows["key_hash"]), signed(rows["contact_hash"]))
        now = microseconds(self.now())
        with self.writing("note deals", fenced=True) as connection:
            constants: dict[str, str | int | None] = {"sync": sync, "first_at": now, "left_at": now, "run": run}
            upsert(connection, deal, values, constants=constants, update=("contact_hash", "left_at", "run"))

    def number_deals(self, sync: str, rows: pl.DataFrame) -> None:
        """These deals are there, under these numbers.

        Args:
            sync: name of the sync.
            rows: key, key_hash, contact_hash, number.
        """
        if rows.is_empty():
            return
        values = rows.select(KEY, signed(rows["key_hash"]), signed(rows["contact_hash"]), "number")
        now = microseconds(self.now())
        with self.writing("record the numbers of deals", fenced=True) as connection:
            constants: dict[str, str | int | None] = {"sync": sync, "first_at": now, "left_at": now}
            upsert(connection, deal, values, constants=constants, update=("contact_hash", "number"))

    def doubt_deals(self, sync: str, keys: pl.Series) -> None:
        """These deals may have been made up to now, and nobody makes them any more: from now on they are in doubt."""
        of = deal.c
        with self.writing("note deals in doubt", fenced=True) as connection:
            for start in range(0, len(keys), _KEYS_A_QUERY):
                some = keys.slice(start, _KEYS_A_QUERY).to_list()
                chosen = sa.update(deal).where(of.sync == sync, of.key.in_(some), of.number.is_(None))
                connection.execute(chosen.values(left_at=self.now(), run=None))

    def note_not_made(self, sync: str, keys: pl.Series) -> None:
        """Nothing is there of these deals: they were refused, or somebody deleted them."""
        of = deal.c
        with self.writing("forget deals", fenced=True) as connection:
            for start in range(0, len(keys), _KEYS_A_QUERY):
                some = keys.slice(start, _KEYS_A_QUERY).to_list()
                chosen = sa.update(deal).where(of.sync == sync, of.key.in_(some))
                connection.execute(chosen.values(number=None, left_at=None, run=None))


def forget_deals(connection: sa.Connection, contact_hashes: pl.Series) -> dict[str, list[int]]:
    """Take the deals of these people out of their table: `source_pk` of the rows that they were made of, by sync.

    Args:
        connection: in a write transaction.
        contact_hashes: of their addresses.
    """
    of, row = deal.c, schema.row.c
    found: dict[str, list[int]] = {}
    for numbers in integer_lists(contact_hashes):
        theirs = of.contact_hash.in_([int(number) for number in numbers.split(",")])
        same = sa.and_(row.sync == of.sync, row.key_hash == of.key_hash, row.key == of.key)
        for sync, source_pk in connection.execute(sa.select(row.sync, row.source_pk).where(same, theirs)):
            found.setdefault(sync, []).append(source_pk)
        connection.execute(sa.delete(deal).where(theirs))
    return found
