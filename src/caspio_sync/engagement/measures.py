"""What is known of each Caspio row: how its person was reached and answered, and which consent stands."""

from collections.abc import Sequence

import polars as pl

from caspio_sync.engagement.fold import (
    CONTACTS,
    COUNTS,
    INSTANT,
    PERSON,
    SEEN,
    STATES,
    WRITTEN,
    combine,
    newest_at,
    newest_value,
)
from caspio_sync.schemas import KEY

CHANNELS = ("email", "push", "sms", "whatsapp", "in_app", "content_card")
_TIMES = ("first_at", "last_delivered_at", "last_open_at", "last_click_at")

MEASURES = pl.Schema(
    {
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
"""Beside the key, one row a Caspio row. Of a channel by which nothing was told the counts are null, not 0: without
Currents nobody knows how many mails somebody opened."""


def measures(contacts: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """`key` and MEASURES, sorted by key; people who are one row are added up.

    Args:
        contacts: `key` and CONTACTS.
        names: campaign_id and campaign_name.
    """
    columns = [name for name in CONTACTS if name not in PERSON]
    by_channel = combine(contacts.select(KEY, *columns), (KEY, "channel"))
    table = by_channel.select(pl.col(KEY).unique())
    for channel in CHANNELS:
        of_channel = by_channel.filter(pl.col("channel") == channel)
        named = [pl.col(name).alias(f"{channel}_{name}") for name in (*COUNTS, *_TIMES)]
        table = table.join(of_channel.select(KEY, *named), on=KEY, how="left")
    bounced = by_channel.filter(pl.col("channel") == "email").select(KEY, hard_bounced_at="bounced_at")
    return (
        table.with_columns(_told(channel, count) for channel in CHANNELS for count in COUNTS)
        .join(bounced, on=KEY, how="left")
        .join(_engaged(by_channel), on=KEY, how="left")
        .join(_last_campaigns(by_channel, names), on=KEY, how="left")
        .select(KEY, *MEASURES.names())
        .sort(KEY)
    )


def _told(channel: str, count: str) -> pl.Expr:
    anything = pl.sum_horizontal(f"{channel}_{each}" for each in COUNTS) > 0
    return pl.when(anything).then(f"{channel}_{count}").alias(f"{channel}_{count}")


def standing(consents: pl.DataFrame) -> pl.DataFrame:
    """What stands, sorted: of several states the newest, of equally new ones the most restrictive.

    One a `key`, `scope` (a channel, or the id of a subscription group) and whether the REST API wrote it, for our own
    writes come back so: `state`, since when as far as is known (`at`), and the `source` that told of it.

    A poll tells which state there is, and not since when: a state that is only seen stands since it was first seen, so
    that looking again makes it no newer. Where it was seen before another state as well, it stands since that one.

    Args:
        consents: `key` and CONSENTS.
    """
    scope = (KEY, "scope", "written")
    one = (*scope, "state", "origin")
    rows = consents.with_columns(written=pl.col("origin") == WRITTEN)
    rows = combine(rows.select(*one, "first_at", "last_at", "source"), one)
    is_newest, told = pl.col("state") == pl.col("newest"), pl.col("origin") != SEEN
    since = (
        rows.join(newest_states(rows, scope), on=scope)
        .group_by(scope)
        .agg(
            pl.col("newest").first().alias("state"),
            pl.col("last_at").filter(~is_newest).max().alias("other_at"),
            pl.col("last_at").filter(is_newest & told).max().alias("told_at"),
            pl.col("first_at").filter(is_newest).min(),
            pl.col("source").filter(is_newest & told).max().alias("told"),
            pl.col("source").filter(is_newest).max().alias("seen"),
        )
    )
    never = pl.col("other_at").is_null()
    by_telling = pl.col("told_at").is_not_null() & (never | (pl.col("told_at") >= pl.col("other_at")))
    by_sight = never | (pl.col("first_at") >= pl.col("other_at"))
    at = pl.when(by_telling).then("told_at").when(by_sight).then("first_at").otherwise("other_at")
    return since.select(
        KEY,
        "scope",
        "state",
        at.alias("at"),
        newest_value(pl.when(by_telling).then("told").otherwise("seen")).alias("source"),
    ).sort(KEY, "scope", "at", "source")


def newest_states(rows: pl.DataFrame, scope: Sequence[str]) -> pl.DataFrame:
    """The newest state of each scope as `newest`; of equally new ones the most restrictive.

    Args:
        rows: state, last_at, and the columns of the scope.
        scope: what there is one state of.
    """
    return (
        rows.with_columns(rank=pl.col("state").replace_strict(STATES, range(len(STATES)), return_dtype=pl.Int8))
        .sort("last_at", "rank")
        .group_by(scope, maintain_order=True)
        .agg(pl.col("state").last().alias("newest"))
    )


def campaign_names(campaign_days: pl.DataFrame) -> pl.DataFrame:
    """campaign_id and its newest campaign_name; a new campaign's may be missing for a while (Braze, 11.3).

    Args:
        campaign_days: campaign_id, and campaign_name as `fold.newest` makes it.
    """
    return campaign_days.group_by("campaign_id").agg(newest_value(pl.col("campaign_name").max()))


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


def _last_campaigns(by_channel: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    named = names.rename({"campaign_id": "last_campaign_id", "campaign_name": "last_campaign_name"})
    return (
        by_channel.group_by(KEY)
        .agg(pl.col("campaign").max())
        .select(KEY, last_campaign_id=newest_value("campaign"), last_campaign_at=newest_at("campaign"))
        .join(named, on="last_campaign_id", how="left")
    )
