"""The tables that only syncs of catalogs need."""

import sqlalchemy as sa

from caspio_sync.ledger.schema import metadata

# Which catalog a sync feeds: under another name its items are others.
catalog = sa.Table(
    "catalog",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)

# What of a batch was handed to the sender, until the batch is closed (see catalogs.py).
leaving = sa.Table(
    "leaving",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),
)

# Items that the catalog may have although no row is known to have sent one under that id: its row goes by another id
# now, or died before it was recorded. To be deleted once a whole read shows that no row bears the id.
abandoned = sa.Table(
    "abandoned",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
)

# The price an item was last sent with: by it, the gate knows a price that leaps.
price = sa.Table(
    "price",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("price", sa.Float, nullable=False),
)
