"""What erasure, verification, sweeps, backfills, catalogs and the watch over the source's fields remember."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them."""
    op.add_column("erased", sa.Column("at", sa.BigInteger))
    op.add_column("erased", sa.Column("state", sa.Text, nullable=False, server_default="requested"))
    op.add_column("erased", sa.Column("identifiers", sa.JSON))
    # Not the salt: what is known of it from fingerprints must not help to guess who was erased.
    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.bulk_insert(meta, [{"name": "erasure_secret", "value": secrets.token_hex(32)}])
    op.add_column("lease", sa.Column("process", sa.Text))
    op.add_column("lease", sa.Column("share", sa.Float))
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("sync", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("key_digest", sa.Text),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_table(
        "sweep",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("after_pk", sa.BigInteger),
    )
    op.create_table(
        "verification",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("sample", sa.BigInteger),
        sa.Column("done_pk", sa.BigInteger, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("page_cursor", sa.Text),
        sa.Column("seen", sa.LargeBinary),
    )
    op.add_column("run", sa.Column("low_pk", sa.BigInteger))
    op.add_column("run", sa.Column("high_pk", sa.BigInteger))
    op.create_table(
        "shard",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("asked", sa.Text, primary_key=True),
        sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text),
        sa.Column("after_pk", sa.BigInteger),
    )
    op.create_table(
        "claim",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("source_pk", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
    )
    not_sent = sa.text("verdict <> 'sent'")
    op.create_index("row_held", "row", ["sync", "source_pk"], sqlite_where=not_sent, postgresql_where=not_sent)
    op.create_table(
        "source",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
    )
    op.create_table(
        "catalog",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "leaving",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "abandoned",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
    )
    op.create_table(
        "price",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("price", sa.Float, nullable=False),
    )
    op.create_table(
        "incident",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("told_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
    )
