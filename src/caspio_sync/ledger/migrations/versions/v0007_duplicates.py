"""What rows say of consent that are held because another row bears their key."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add it. What the rows held so far say is read from Caspio by the next run (`HeldRows.owed`)."""
    op.create_table(
        "duplicate_consent",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key_hash", sa.BigInteger, nullable=False),
        sa.Column("states", sa.Text, nullable=False),
        sa.Column("heard", sa.Text),
    )
    op.create_index("duplicate_consent_key", "duplicate_consent", ["sync", "key_hash"])
