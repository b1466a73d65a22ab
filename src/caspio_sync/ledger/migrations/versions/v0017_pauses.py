"""Syncs that somebody has paused."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add it, empty: nothing was paused."""
    op.create_table(
        "pause",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("everything", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
