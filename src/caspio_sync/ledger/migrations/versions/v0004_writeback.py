"""What an engagement return remembers of consent: the state that Caspio and Braze agreed on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    op.create_table(
        "agreed",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger),
        sa.Column("news", sa.BigInteger),
    )
