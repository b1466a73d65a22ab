"""The account that rows went to is a destination's: which one's."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Rename its columns; what stands in them stays. Up to now there was one destination."""
    for former, name in (("braze", "address"), ("braze_key", "destination_key")):
        op.execute(f"ALTER TABLE workspace RENAME COLUMN {former} TO {name}")
    op.execute("ALTER TABLE workspace ADD COLUMN destination TEXT NOT NULL DEFAULT 'braze'")
