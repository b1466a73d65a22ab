"""What Braze learned about people, and up to where its events were folded."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COUNTS = ("sent", "delivered", "opens", "machine_opens", "clicks", "bounces", "complaints", "unsubscribes")


def upgrade() -> None:
    """Add it."""
    times = ("first_at", "last_at", "last_delivered_at", "last_open_at", "last_click_at", "bounced_at")
    op.create_table(
        "engagement",
        *_person(),
        sa.Column("channel", sa.Text, primary_key=True),
        *_counts(),
        *(sa.Column(name, sa.BigInteger) for name in times),
        sa.Column("campaign", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("braze_id", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engagement_consent",
        *_person(),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text, primary_key=True),
        sa.Column("first_at", sa.BigInteger),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("source", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "campaign_day", *_campaign_day(), *_counts(), sa.Column("campaign_name", sa.Text), sqlite_with_rowid=False
    )
    series = ("sent", "delivered", "opens", "unique_opens", "clicks", "unique_clicks", "bounces", "complaints")
    columns = [sa.Column(each, sa.BigInteger) for each in (*series, "unsubscribes")]
    op.create_table(
        "series_day", *_campaign_day(), *columns, sa.Column("campaign_name", sa.Text), sqlite_with_rowid=False
    )
    op.create_table(
        "engagement_seen",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("ids", sa.LargeBinary, nullable=False),
    )
    op.create_index("engagement_seen_at", "engagement_seen", ["at"])
    op.create_table(
        "engagement_cursor",
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def _person() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("person_hash", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("person_kind", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
    ]


def _campaign_day() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("campaign_kind", sa.Text, primary_key=True),
        sa.Column("campaign_id", sa.Text, primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.Text, primary_key=True),
    ]


def _counts() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS]
