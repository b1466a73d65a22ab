"""Where alembic enters: one connection, handed over by `caspio_sync.ledger.upgrade`, inside its transaction."""

from alembic import context

from caspio_sync.ledger.form import VERSION_TABLE
from caspio_sync.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
