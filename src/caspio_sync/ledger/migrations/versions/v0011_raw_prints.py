"""What rows become, by a hash of their raw cells."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add it. The next read of all rows fills it in."""
    op.create_table(
        "raw_print",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
