"""Who entered an automation of a destination, or may have; memberships on lists that a sync ended."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add them, empty: nobody was enrolled, or taken off a list, before."""
    op.create_table(
        "enrolment",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("automation", sa.Text, primary_key=True),
        sa.Column("left_at", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text),
        sa.Column("entered", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "list_mark",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("list", sa.Text, primary_key=True),
        sa.Column("mark", sa.Text, nullable=False),
    )
