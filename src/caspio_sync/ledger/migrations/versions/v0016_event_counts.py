"""How many events of a sync went on their way in each minute."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add it, empty: a jump is seen once a day is known."""
    op.create_table(
        "event_count",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )
