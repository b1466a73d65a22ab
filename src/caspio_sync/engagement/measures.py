"""What is known of each Caspio row: how its person was reached and answered, and which consent stands."""

import polars as pl

from caspio_sync.engagement.fold import (
    CHANGED,
    CONTACTS,
    COUNTS,
    INSTANT,
    PERSON,
    SEEN,
    STATES,
    combine,
    newest_at,
    newest_value,
)
from caspio_sync.engagement.identity import Resolved
from caspio_sync.schemas import KEY

CHANNELS = ("email", "push", "sms", "whatsapp", "in_app", "content_card")
_TIMES = ("first_at", "last_delivered_at", "last_open_at", "last_click_at")

MEASURES = pl.Schema(
    {
        KEY: pl.String(),
        **{f"{channel}_{count}": pl.Int64() for channel in CHANNELS for count in COUNTS},
        **{f"{channel}_{time}": INSTANT for channel in CHANNELS for time in _TIMES},
        "last_campaign_id": pl.String(),  # of the newest send, delivery, open or click: campaign or canvas
        "last_campaign_name": pl.String(),
        "last_campaign_at": INSTANT,
        "last_engaged_at": INSTANT,  # open by the person, or click
        "preferred_channel": pl.String(),  # most opens and clicks; of equals the last used; null without any
        "hard_bounced_at": INSTANT,  # of an e-mail, the last
    }
)
"""One row a Caspio row. Counts are 0 where nothing happened."""

STANDING = pl.Schema(
    {
        KEY: pl.String(),
        "scope": pl.String(),  # a channel, or the id of a subscription group
        "state": pl.String(),
        "at": INSTANT,  # since when, as far as is known
        "source": pl.String(),  # Braze's state_change_source, or the poll that told it
        "own_state": pl.String(),  # the newest that nobody wrote by the REST API; null where there is none
        "own_at": INSTANT,
        "own_source": pl.String(),
    }
)
"""One row a Caspio row and scope."""


def measures(contacts: pl.DataFrame, campaign_days: pl.DataFrame, resolved: Resolved) -> pl.DataFrame:
    """MEASURES, sorted by key; people who are one row are added up.

    Args:
        contacts: CONTACTS.
        campaign_days: CAMPAIGN_DAYS, for the names of campaigns.
        resolved: which people are which rows.
    """
    rows = contacts.join(resolved.keys, on=PERSON).drop(PERSON)
    by_channel = combine(rows.select(KEY, *(name for name in CONTACTS if name not in PERSON)), (KEY, "channel"))
    table = by_channel.select(pl.col(KEY).unique())
    for channel in CHANNELS:
        of_channel = by_channel.filter(pl.col("channel") == channel)
        named = [pl.col(name).alias(f"{channel}_{name}") for name in (*COUNTS, *_TIMES)]
        table = table.join(of_channel.select(KEY, *named), on=KEY, how="left")
    bounced = by_channel.filter(pl.col("channel") == "email").select(KEY, hard_bounced_at="bounced_at")
    return (
        table.with_columns(pl.col(f"{channel}_{count}" for channel in CHANNELS for count in COUNTS).fill_null(0))
        .join(bounced, on=KEY, how="left")
        .join(_engaged(by_channel), on=KEY, how="left")
        .join(_last_campaigns(by_channel, campaign_days), on=KEY, how="left")
        .select(MEASURES.names())
        .sort(KEY)
    )


def standing(consents: pl.DataFrame, resolved: Resolved) -> pl.DataFrame:
    """STANDING, sorted by key and scope: of several states the newest, of equally new ones the most restrictive.

    A poll tells which state there is, and not since when: a state that is only seen stands since it was first seen, so
    that looking again makes it no newer. Where it was seen before another state as well, it stands since that one.
    """
    scope = (KEY, "scope")
    rows = combine(
        consents.join(resolved.keys, on=PERSON)
        .drop(PERSON)
        .select(*scope, "state", "origin", pl.exclude(*scope, "state", "origin")),
        (*scope, "state", "origin"),
    )
    last = _newest_state(rows, "newest")
    rows = rows.join(last.select(*scope, "newest"), on=scope)
    is_newest, told = pl.col("state") == pl.col("newest"), pl.col("origin") != SEEN
    since = rows.group_by(scope).agg(
        pl.col("newest").first().alias("state"),
        pl.col("last_at").filter(~is_newest).max().alias("other_at"),
        pl.col("last_at").filter(is_newest & told).max().alias("told_at"),
        pl.col("first_at").filter(is_newest).min().alias("first_at"),
        pl.col("source").filter(is_newest & told).max().alias("told"),
        pl.col("source").filter(is_newest).max().alias("seen"),
    )
    never = pl.col("other_at").is_null()
    by_telling = pl.col("told_at").is_not_null() & (never | (pl.col("told_at") >= pl.col("other_at")))
    own = rows.filter(pl.col("origin") == CHANGED)
    return (
        since.select(
            *scope,
            "state",
            pl.when(by_telling)
            .then("told_at")
            .when(never | (pl.col("first_at") >= pl.col("other_at")))
            .then("first_at")
            .otherwise("other_at")
            .alias("at"),
            newest_value(pl.when(by_telling).then("told").otherwise("seen")).alias("source"),
        )
        .join(_newest_state(own, "own_state").rename({"last_at": "own_at"}), on=scope, how="left")
        .with_columns(own_source=newest_value("source_right"))
        .select(STANDING.names())
        .sort(scope)
    )


def campaign_names(campaign_days: pl.DataFrame) -> pl.DataFrame:
    """campaign_id and its newest campaign_name; a new campaign's may be missing for a while (Braze, 11.3)."""
    return campaign_days.group_by("campaign_id").agg(newest_value(pl.col("campaign_name").max()))


def _newest_state(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """key, scope, the newest state under a name, its `last_at`, and its source."""
    scope = (KEY, "scope")
    return (
        rows.with_columns(rank=pl.col("state").replace_strict(STATES, range(len(STATES)), return_dtype=pl.Int8))
        .sort("last_at", "rank", "source")
        .group_by(scope, maintain_order=True)
        .agg(pl.col("state").last().alias(name), pl.col("last_at").last(), pl.col("source").last())
    )


def _engaged(by_channel: pl.DataFrame) -> pl.DataFrame:
    """key, last_engaged_at and preferred_channel of those who opened or clicked."""
    return (
        by_channel.select(
            KEY,
            "channel",
            answers=pl.col("opens") + pl.col("clicks"),
            at=pl.max_horizontal("last_open_at", "last_click_at"),
        )
        .filter(pl.col("answers") > 0)
        .sort("answers", "at", "channel")
        .group_by(KEY)
        .agg(pl.col("at").max().alias("last_engaged_at"), pl.col("channel").last().alias("preferred_channel"))
    )


def _last_campaigns(by_channel: pl.DataFrame, campaign_days: pl.DataFrame) -> pl.DataFrame:
    return (
        by_channel.group_by(KEY)
        .agg(pl.col("campaign").max())
        .select(KEY, last_campaign_id=newest_value("campaign"), last_campaign_at=newest_at("campaign"))
        .join(
            campaign_names(campaign_days).rename(
                {"campaign_id": "last_campaign_id", "campaign_name": "last_campaign_name"}
            ),
            on="last_campaign_id",
            how="left",
        )
    )
