"""By which rules each mapping read: what was acknowledged under former ones is not sent again for being read better."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add it; every mapping until now read by the first."""
    op.add_column("mapping", sa.Column("rules", sa.SmallInteger, nullable=False, server_default="1"))
