"""What two syncs of one ledger have in common."""

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection


class Sharing(LedgerConnection):
    """Comparing the rows of two syncs."""

    def keys_in_both(self, sync: str, other: str) -> int:
        """How many keys both have sent; hashes of one identity are comparable, whichever sync they are of."""
        one, two = schema.row.alias(), schema.row.alias()
        both = (
            sa.select(sa.func.count())
            .select_from(one.join(two, one.c.key_hash == two.c.key_hash))
            .where(one.c.sync == sync, two.c.sync == other, one.c.sent_fp.is_not(None), two.c.sent_fp.is_not(None))
        )
        with self.reading("compare two syncs") as connection:
            return int(connection.execute(both).scalar_one())
