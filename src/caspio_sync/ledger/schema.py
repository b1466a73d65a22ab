"""The ledger's tables and the frames that travel in and out of it.

    row      one a source row: what was last acknowledged (`sent_*`) and what was last seen (`seen_*`) with its verdict
    outcome  one a commit: what became of its rows, the history behind `why`
    sending  one a batch that is under way: its rows as they will be once acknowledged (see sending.py)
    unfolded one a commit of which its rows are still to learn
    audit    append-only, hash-chained: every step of an erasure
    batch, run, sweep, cursor, lease, budget, erased, verification, source, workspace, former, incident, mapping,
    suite, meta: one noun each
    those of catalogs in catalog_schema.py, of engagement in engagement_schema.py, of events in events_schema.py
    shard, claim: what only backfills need; raw_print: what rows become (raw_prints.py); pause (pauses.py)

No payload is kept: fingerprints, field names, reasons and masked values only. Instants are stored as microseconds since
1970 in UTC, so that SQLite and PostgreSQL hold the same numbers.
"""

from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from caspio_sync.ledger.form import instant, microseconds
from caspio_sync.schemas import KEY, SOURCE_PK

PROFILE = "profile"
CONSENT = "consent"
DELETION = "deletion"  # of a catalog item whose row is gone
VERIFIED = "verified"  # a look at what the destination holds; nothing was sent


class Instant(TypeDecorator[datetime]):
    """An aware datetime in Python, a BIGINT of microseconds in the database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002, D102 - SQLAlchemy's own
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102 - SQLAlchemy's own
        return None if value is None else instant(value)


metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

row = sa.Table(
    "row",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text),
    sa.Column("key_hash", sa.BigInteger),
    # 1 where a version with this very key was acknowledged: it tells the owner of a key from a later claimant.
    sa.Column("holds", sa.SmallInteger, nullable=False),
    sa.Column("sent_fp", sa.LargeBinary),
    sa.Column("sent_fields", sa.LargeBinary),
    # The layout of sent_fields; `mapping_version` is that of the verdict, and moves on also when nothing is sent.
    sa.Column("sent_mapping_version", sa.BigInteger, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("seen_fp", sa.LargeBinary),
    sa.Column("seen_at", Instant),
    sa.Column("verdict", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("request", sa.BigInteger),
    sa.Column("run", sa.Text),
    sa.Column("suite_version", sa.BigInteger, nullable=False),
    sa.Column("mapping_version", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("row_key", row.c.sync, row.c.key_hash)
# Of a million rows some hundred are held; every run asks which. It holds those alone (migrations/versions): to say so
# here would load the dialect of PostgreSQL with every command.
sa.Index("row_held", row.c.sync, row.c.source_pk)

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
outcome = sa.Table(
    "outcome",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("part", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("mapping_version", sa.BigInteger, nullable=False),
    sa.Column("low_pk", sa.BigInteger, nullable=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),  # see history.py
)
sa.Index("outcome_rows", outcome.c.sync, outcome.c.low_pk, outcome.c.high_pk)
sa.Index("outcome_batch", outcome.c.sync, outcome.c.run, outcome.c.batch)

# The rows of a batch that is being sent, as `row` is to have them once they are acknowledged.
sending = sa.Table(
    "sending",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("suite_version", sa.BigInteger, nullable=False),
    sa.Column("mapping_version", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),  # an Arrow frame
)

# Outcomes, by number, of which `row` does not tell yet.
unfolded = sa.Table("unfolded", metadata, sa.Column("number", _NUMBER, primary_key=True, autoincrement=False))

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("exit_code", sa.Integer),
    sa.Column("report", sa.JSON),
    sa.Column("flow_run_id", sa.Text),
    sa.Column("low_pk", sa.BigInteger),  # of a run that holds a range of its sync; null for all of it
    sa.Column("high_pk", sa.BigInteger),
)
sa.Index("run_started", run.c.sync, run.c.started_at)

batch = sa.Table(
    "batch",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("low_pk", sa.BigInteger, nullable=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("counts", sa.JSON),
    sa.Column("at", Instant, nullable=False),
)

# The whole read of a sync that is under way, or was interrupted: the next run goes on where its recorded batches end.
sweep = sa.Table(
    "sweep",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("began_at", Instant, nullable=False),  # by the source's clock
    sa.Column("after_pk", sa.BigInteger),
)

# The parts of a backfill that are not done: one that died goes on where its recorded batches end.
shard = sa.Table(
    "shard",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),  # of what is read, and of what it is judged under
    sa.Column("asked", sa.Text, primary_key=True),  # the range that was asked for, as A..B; "" for all rows
    sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),  # about
    sa.Column("at", Instant, nullable=False),
    sa.Column("run", sa.Text),
    sa.Column("after_pk", sa.BigInteger),
)

# Keys that shards under way have claimed: until they are recorded no other process would know.
claim = sa.Table(
    "claim",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key_hash", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("source_pk", sa.BigInteger, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
)

cursor = sa.Table(
    "cursor",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("watermark", Instant),
    sa.Column("full_sweep_at", Instant),
    sa.Column("where_digest", sa.Text),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("low_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("high_pk", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("process", sa.Text),  # see processes.py
    sa.Column("share", sa.Float),  # of the accounts' limits; null where its holder takes no part in them
)

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("window_start", Instant, primary_key=True, autoincrement=False),
    sa.Column("used", sa.BigInteger, nullable=False),
)

erased = sa.Table(
    "erased",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("key_digest", sa.Text, primary_key=True),
    sa.Column("at", Instant),
    sa.Column("state", sa.Text, nullable=False, server_default="requested"),  # requested, deleted, proven
    # The destination's identifiers of the profiles to delete, until their deletion is proven; then null.
    sa.Column("identifiers", sa.JSON(none_as_null=True)),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("key_digest", sa.Text),
    sa.Column("details", sa.Text, nullable=False),  # canonical JSON: what is hashed is what is stored
    sa.Column("hash", sa.Text, nullable=False),  # of the hash before it and this entry
)

# Where a verification stands, so that a killed one goes on.
verification = sa.Table(
    "verification",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("sample", sa.BigInteger),  # rows asked for; null is all of them
    sa.Column("done_pk", sa.BigInteger, nullable=False),  # every row up to this PK_ID has been looked at
    sa.Column("counts", sa.JSON, nullable=False),
    # Of one that reads a catalog page by page, else null: the next page (null for the first, "" after the last), and
    # the rows whose items have been on a page (see pk_sets.py).
    sa.Column("page_cursor", sa.Text),
    sa.Column("seen", sa.LargeBinary),
)

# The source's fields as the last run found them.
source = sa.Table(
    "source",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
)

# The accounts that a sync's rows were read from and sent to: of others, nothing in this ledger is true.
workspace = sa.Table(
    "workspace",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("caspio", sa.Text, nullable=False),  # its host
    sa.Column("address", sa.Text, nullable=False),  # the destination's host
    sa.Column("destination_key", sa.Text, nullable=False),  # salted hash of the key there
    sa.Column("at", Instant, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),  # its name
)

# The PK_ID that a row bore before its table was filled again: its history stands under it.
former = sa.Table(
    "former",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, primary_key=True, autoincrement=False),  # what was recorded before is not the row's own,
    sa.Column("former_pk", sa.BigInteger, nullable=False),  # but what was recorded before of this one is
)

# What is wrong with a sync, so that it is told once, and its end once.
incident = sa.Table(
    "incident",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("told_at", Instant),
    sa.Column("ended_at", Instant),
)

mapping = sa.Table(
    "mapping",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("rules", sa.SmallInteger, nullable=False, server_default="1"),  # the version of the rules it read by
    sa.UniqueConstraint("sync", "digest", name="mapping_digest"),
)

suite = sa.Table(
    "suite",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.UniqueConstraint("sync", "digest", name="suite_digest"),
)

INSTANT = pl.Datetime("us", "UTC")

LEDGER_ROW_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "key_hash": pl.Int64(),
        "sent_fp": pl.Binary(),
        "sent_fields": pl.Binary(),
        "seen_fp": pl.Binary(),
        "verdict": pl.String(),
        "suite_version": pl.Int64(),
        "mapping_version": pl.Int64(),  # of the verdict
        "sent_mapping_version": pl.Int64(),  # the layout of sent_fields
    }
)

RECORD_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "key_hash": pl.Int64(),
        "fp": pl.Binary(),
        "sent_fields": pl.Binary(),  # what the row's sent_fields will be once acknowledged
        "changed": pl.Binary(),
        "part": pl.String(),
        "verdict": pl.String(),
        "reason": pl.String(),
        "request": pl.Int64(),
        "status": pl.Int64(),
        "suite_version": pl.Int64(),
        "mapping_version": pl.Int64(),
    }
)

REBASE_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        "fp": pl.Binary(),
        "sent_fields": pl.Binary(),
        "mapping_version": pl.Int64(),
        "suite_version": pl.Int64(),
    }
)

SENT_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "sent_fp": pl.Binary(),
        "sent_fields": pl.Binary(),
        "sent_mapping_version": pl.Int64(),
        "sent_at": pl.Int64(),  # microseconds since 1970; null where nothing was asked (a baseline)
    }
)

CLAIM_SCHEMA = pl.Schema({"key_hash": pl.Int64(), SOURCE_PK: pl.Int64(), KEY: pl.String(), "holds": pl.Boolean()})
DELIVERED_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), "part": pl.String()})
HELD_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "verdict": pl.String(),
        "reason": pl.String(),
        "seen_at": INSTANT,
        "run": pl.String(),
        "request": pl.Int64(),
    }
)
