"""The tables of what a destination learned about people; their columns are those of `engagement/fold.py`.

    engagement          one a person and channel: counts and times
    engagement_consent  one a person, scope, state and origin: since when, until when
    campaign_day        one a campaign or canvas, day and channel: counts
    series_day          the same as the destination counts them, for whom Currents does not tell
    engagement_seen     ids of events that were folded, a few a row, by the hour of the event
    engagement_cursor   one a sync: up to where the inbox was folded
    agreed              one a row and scope: the consent that Caspio and the destination last agreed on

Each holds for one sync. There is no address: a person of an e-mail is its keyed hash.
"""

import sqlalchemy as sa

from caspio_sync.engagement.fold import COUNTS
from caspio_sync.ledger.schema import Instant, metadata

# Counts of the destination's own series; null for what a channel has not.
SERIES_COUNTS = (
    "sent",
    "delivered",
    "opens",
    "unique_opens",
    "clicks",
    "unique_clicks",
    "bounces",
    "complaints",
    "unsubscribes",
)


def _counts() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS]


def _person() -> list[sa.Column[str] | sa.Column[int]]:
    # The hash first: rows that come together are then written side by side, and found without case.
    return [
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("person_hash", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("person_kind", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
    ]


engagement = sa.Table(
    "engagement",
    metadata,
    *_person(),
    sa.Column("channel", sa.Text, primary_key=True),
    *_counts(),
    sa.Column("first_at", Instant),
    sa.Column("last_at", Instant),
    sa.Column("last_delivered_at", Instant),
    sa.Column("last_open_at", Instant),
    sa.Column("last_click_at", Instant),
    sa.Column("bounced_at", Instant),
    sa.Column("campaign", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("braze_id", sa.Text),
    sqlite_with_rowid=False,
)

engagement_consent = sa.Table(
    "engagement_consent",
    metadata,
    *_person(),
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("first_at", Instant),
    sa.Column("last_at", Instant),
    sa.Column("source", sa.Text),
    sqlite_with_rowid=False,
)


def _campaign_day() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        sa.Column("sync", sa.Text, primary_key=True),
        sa.Column("campaign_kind", sa.Text, primary_key=True),
        sa.Column("campaign_id", sa.Text, primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),  # since 1970
        sa.Column("channel", sa.Text, primary_key=True),
    ]


campaign_day = sa.Table(
    "campaign_day", metadata, *_campaign_day(), *_counts(), sa.Column("campaign_name", sa.Text), sqlite_with_rowid=False
)
series_day = sa.Table(
    "series_day",
    metadata,
    *_campaign_day(),
    *(sa.Column(name, sa.BigInteger) for name in SERIES_COUNTS),
    sa.Column("campaign_name", sa.Text),
    sqlite_with_rowid=False,
)

engagement_seen = sa.Table(
    "engagement_seen",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),  # since 1970
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # the cursor after that fold
    sa.Column("at", Instant, nullable=False),  # of the fold
    sa.Column("ids", sa.LargeBinary, nullable=False),  # see engagement/duplicates.py
)
sa.Index("engagement_seen_at", engagement_seen.c.at)

engagement_cursor = sa.Table(
    "engagement_cursor",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),  # every post up to this one was folded
    sa.Column("at", Instant, nullable=False),
)

# The consent state of a row that Caspio and the destination last agreed on (see agreed.py).
agreed = sa.Table(
    "agreed",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("scope", sa.Text, primary_key=True),  # email, push, or the id of a subscription group
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", Instant),  # since when; null: before anybody looked
    sa.Column("news", Instant),  # its changes up to here are part of it
    sa.Column("key_hash", sa.BigInteger),  # of the row's key; null where it was agreed before revision 0005
)
sa.Index("agreed_key", agreed.c.sync, agreed.c.key_hash)
