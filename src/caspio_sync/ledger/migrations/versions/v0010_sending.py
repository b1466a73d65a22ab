"""Rows learn what was acknowledged of them a batch at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the rows that are on their way, and the outcomes they have to learn from; nothing is on its way now."""
    op.create_table(
        "sending",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("suite_version", sa.BigInteger, nullable=False),
        sa.Column("mapping_version", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table("unfolded", sa.Column("number", number, primary_key=True, autoincrement=False))
