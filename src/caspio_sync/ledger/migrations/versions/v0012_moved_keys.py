"""Keys under which rows may be known that bear another one now, where a destination follows them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add it, empty: no destination that follows keys was there before."""
    op.create_table(
        "moved_key",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.BigInteger, nullable=False),
        sa.Column("was_sent", sa.SmallInteger, nullable=False),
    )
