"""Which syncs have keys with blanks at their ends: their hashes are made anew when the sync is opened."""

from alembic import op

from caspio_sync.ledger.blanks import mark_former_keys

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Note them."""
    mark_former_keys(op.get_bind())
