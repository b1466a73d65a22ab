"""What is kept of people by the hash of their key alone, taken out of the ledger when they are erased."""

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.bulk import integer_lists
from caspio_sync.ledger.deals import forget_deals
from caspio_sync.ledger.enrolments import forget_enrolled
from caspio_sync.ledger.list_marks import forget_marked
from caspio_sync.ledger.moved_keys import moved_key


def forget_by_hash(connection: sa.Connection, hashes: pl.Series, *, there: bool) -> None:
    """Forget people's noted keys, enrolments, memberships and deals.

    Args:
        connection: in a write transaction.
        hashes: of their keys.
        there: whether the destination has them still: else they would be enrolled once more.
    """
    for numbers in integer_lists(hashes):  # also of rows that are in no other table yet
        noted = moved_key.c.key_hash.in_([int(number) for number in numbers.split(",")])
        connection.execute(sa.delete(moved_key).where(noted))
    if not there:
        forget_enrolled(connection, hashes)
        forget_marked(connection, hashes)
    for named, pks in forget_deals(connection, hashes).items():
        history.forget(connection, named, pl.Series(pks, dtype=pl.Int64))
        connection.execute(sa.delete(schema.row).where(schema.row.c.sync == named, schema.row.c.source_pk.in_(pks)))
