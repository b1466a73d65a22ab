"""The first tables, and the ledger's salt."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    _create_rows()
    _create_runs()
    _create_leases()
    _create_versions()
    # Made here, inside the migration's transaction, so that two openers never make two.
    op.bulk_insert(
        sa.table("meta", sa.column("name"), sa.column("value")), [{"name": "salt", "value": str(secrets.randbits(64))}]
    )


def _create_rows() -> None:
    op.create_table(
        "row",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text),
        sa.Column("key_hash", sa.BigInteger),
        sa.Column("holds", sa.SmallInteger, nullable=False),
        sa.Column("sent_fp", sa.LargeBinary),
        sa.Column("sent_fields", sa.LargeBinary),
        sa.Column("sent_mapping_version", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("seen_fp", sa.LargeBinary),
        sa.Column("seen_at", sa.BigInteger),
        sa.Column("verdict", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("request", sa.BigInteger),
        sa.Column("run", sa.Text),
        sa.Column("suite_version", sa.BigInteger, nullable=False),
        sa.Column("mapping_version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("row_key", "row", ["sync", "key_hash"])
    op.create_table(
        "outcome",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("sync", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("mapping_version", sa.BigInteger, nullable=False),
        sa.Column("low_pk", sa.BigInteger, nullable=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.LargeBinary, nullable=False),
    )
    op.create_index("outcome_rows", "outcome", ["sync", "low_pk", "high_pk"])
    op.create_index("outcome_batch", "outcome", ["sync", "run", "batch"])


def _create_runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sync", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("report", sa.JSON),
        sa.Column("flow_run_id", sa.Text),
    )
    op.create_index("run_started", "run", ["sync", "started_at"])
    op.create_table(
        "batch",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("low_pk", sa.BigInteger, nullable=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("counts", sa.JSON),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cursor",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("watermark", sa.BigInteger),
        sa.Column("full_sweep_at", sa.BigInteger),
        sa.Column("where_digest", sa.Text),
    )


def _create_leases() -> None:
    op.create_table(
        "lease",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("high_pk", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "budget",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("used", sa.BigInteger, nullable=False),
    )


def _create_versions() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "erased",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("key_digest", sa.Text, primary_key=True),
    )
    op.create_table(
        "mapping",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.UniqueConstraint("sync", "digest", name="mapping_digest"),
    )
    op.create_table(
        "suite",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.UniqueConstraint("sync", "digest", name="suite_digest"),
    )
