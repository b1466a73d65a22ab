"""Under which numbers deals are known at the destination, and which of them may be there without one."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add it, empty: no deal was sent before."""
    op.create_table(
        "deal",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.BigInteger, nullable=False),
        sa.Column("contact_hash", sa.BigInteger),
        sa.Column("number", sa.Text),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("left_at", sa.BigInteger),
        sa.Column("run", sa.Text),
    )
    op.create_index("deal_contact", "deal", ["contact_hash"])
