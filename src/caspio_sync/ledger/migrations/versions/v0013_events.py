"""The journal of events and purchases, and how far their tables were read."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make both."""
    op.create_table(
        "journal",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fp", sa.LargeBinary, primary_key=True),
        sa.Column("key", sa.Text),
        sa.Column("key_hash", sa.BigInteger),
        sa.Column("fields", sa.LargeBinary, nullable=False),
        sa.Column("mapping_version", sa.BigInteger, nullable=False),
        sa.Column("suite_version", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("request", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_index("journal_key", "journal", ["sync", "key_hash"])
    op.create_table(
        "reach",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
    )
