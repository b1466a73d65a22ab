"""The account that rows went to is a destination's, whichever it is."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Rename its columns; what stands in them stays."""
    for former, name in (("braze", "destination"), ("braze_key", "destination_key")):
        op.execute(f"ALTER TABLE workspace RENAME COLUMN {former} TO {name}")
