"""Whose data the ledger tells of, and which rows go by another PK_ID than they did."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add it. A sync takes the accounts of its next run for its own: nothing tells of the earlier ones."""
    op.create_table(
        "workspace",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("caspio", sa.Text, nullable=False),
        sa.Column("braze", sa.Text, nullable=False),
        sa.Column("braze_key", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "former",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("former_pk", sa.BigInteger, nullable=False),
    )
    # Whom the state was agreed of, should the row come back under another PK_ID; the next run fills it in.
    op.add_column("agreed", sa.Column("key_hash", sa.BigInteger))
    op.create_index("agreed_key", "agreed", ["sync", "key_hash"])
