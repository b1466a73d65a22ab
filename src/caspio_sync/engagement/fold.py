"""What events add up to: each person's contacts by channel, each person's consents, each campaign's days.

Every column of these states is a sum, a minimum or a maximum over events. So it makes no difference when an event
arrives, in which order, and with which others: what was folded before never has to be read again to add to it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from caspio_sync.engagement.events import (
    POLLED,
    POLLED_GROUP_STATE,
    POLLED_HARD_BOUNCE,
    POLLED_PROFILE,
    POLLED_UNSUBSCRIBE,
)

INSTANT = pl.Datetime("us", "UTC")
PERSON = ("person_kind", "person")
COUNTS = ("sent", "delivered", "opens", "machine_opens", "clicks", "bounces", "complaints", "unsubscribes")
_COUNTS = dict.fromkeys(COUNTS, pl.Int64())
_PERSON = dict.fromkeys(PERSON, pl.String())

CONTACTS = pl.Schema(
    {
        **_PERSON,
        "channel": pl.String(),  # "" for what belongs to none
        **_COUNTS,
        "first_at": INSTANT,  # of what is counted
        "last_at": INSTANT,  # of any event
        "last_delivered_at": INSTANT,
        "last_open_at": INSTANT,  # by the person, not by a machine
        "last_click_at": INSTANT,
        "bounced_at": INSTANT,
        "campaign": pl.String(),  # `newest` send, delivery, open or click: the id of its campaign or canvas
        "address": pl.String(),  # one it had: its keyed hash
        "braze_id": pl.String(),
    }
)
CONSENTS = pl.Schema(
    {
        **_PERSON,
        "scope": pl.String(),  # a channel, or the id of a subscription group
        "state": pl.String(),  # opted_in, subscribed, unsubscribed
        "origin": pl.String(),  # CHANGED, WRITTEN, SEEN
        "first_at": INSTANT,
        "last_at": INSTANT,
        "source": pl.String(),  # `newest`: Braze's state_change_source
    }
)
CAMPAIGN_DAYS = pl.Schema(
    {
        "campaign_kind": pl.String(),  # campaign, canvas
        "campaign_id": pl.String(),
        "day": pl.Date(),  # in UTC
        "channel": pl.String(),
        **_COUNTS,
        "campaign_name": pl.String(),  # `newest`
    }
)
CONTACT_KEY = (*PERSON, "channel")
CONSENT_KEY = (*PERSON, "scope", "state", "origin")
CAMPAIGN_DAY_KEY = ("campaign_kind", "campaign_id", "day", "channel")

CHANGED = "changed"  # at a time of its own, by whomever
WRITTEN = "written"  # by the REST API: perhaps by ourselves
SEEN = "seen"  # by a poll that tells the state, and not since when
# The later in this list, the more restrictive.
STATES = ("opted_in", "subscribed", "unsubscribed")

# Braze, 11.5. What is shown inside an app is opened by being seen, as in Braze's own series; a mailbox that fails for
# now (SoftBounce) is tried again by Braze; an SMS that a carrier takes (CarrierSend) was a Send before.
_MEASURES = {
    "Send": "sent",
    "Delivery": "delivered",
    "Impression": "opens",
    "Open": "opens",
    "Read": "opens",
    "Click": "clicks",
    "ShortLinkClick": "clicks",
    "Bounce": "bounces",
    "DeliveryFailure": "bounces",
    "Rejection": "bounces",
    "Failure": "bounces",
    "MarkAsSpam": "complaints",
    "Unsubscribe": "unsubscribes",
}
_MESSAGE = r"^users\.messages\.[a-z_]+\.(\w+)$"
_NO_MESSAGE = "users.messages.featureflag.Impression"
_STATE_CHANGES = (
    "users.behaviors.subscription.GlobalStateChange",
    "users.behaviors.subscriptiongroup.StateChange",
)
# A click on an unsubscribe link (email.Unsubscribe) is none of them: what it changed is told by a state change of its
# own, be it of a group or of all (Braze, 11.5).
_TELLS_STATE = (*_STATE_CHANGES, POLLED_UNSUBSCRIBE, POLLED_GROUP_STATE, POLLED_PROFILE)
# What lies further ahead is no clock that is a little fast, and would stand as the newest for ever.
FUTURE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Folded:
    """What some events add to the state.

    Args:
        contacts: CONTACTS.
        consents: CONSENTS.
        campaign_days: CAMPAIGN_DAYS.
        counts: events by what became of them: folded, other_types, nobody (without any identity), future.
        other_types: types of which nothing is kept here, with their number.
    """

    contacts: pl.DataFrame
    consents: pl.DataFrame
    campaign_days: pl.DataFrame
    counts: dict[str, int]
    other_types: dict[str, int] = field(default_factory=dict)


def fold(events: pl.DataFrame, *, now: datetime) -> Folded:
    """What events add to the state.

    Args:
        events: EVENTS with `person_kind`, `person` and `address` (see identity.py), each event once.
        now: aware; events more than a day later are counted and left out.
    """
    known = _with_measures(events.filter(pl.col("at") <= now + FUTURE))
    counted = known.filter(pl.col("message") | pl.col("type").is_in([*_STATE_CHANGES, *POLLED]))
    others = known["type"].value_counts().join(counted.select("type").unique(), on="type", how="anti")
    return Folded(
        contacts=_contacts(counted),
        consents=_consents(counted),
        campaign_days=_campaign_days(counted),
        counts={
            "folded": counted.height,
            "other_types": known.height - counted.height,
            "nobody": counted["person"].null_count(),
            "future": events.height - known.height,
        },
        other_types=dict(sorted(others.rows())),
    )


def together(folded: Sequence[Folded]) -> Folded:
    """What several parts add, as one."""
    if len(folded) == 1:
        return folded[0]
    counts, others = Counter[str](), Counter[str]()
    for each in folded:
        counts.update(each.counts)
        others.update(each.other_types)
    return Folded(
        contacts=combine(pl.concat(each.contacts for each in folded), CONTACT_KEY),
        consents=combine(pl.concat(each.consents for each in folded), CONSENT_KEY),
        campaign_days=combine(pl.concat(each.campaign_days for each in folded), CAMPAIGN_DAY_KEY),
        counts=dict(counts),
        other_types=dict(others),
    )


def combine(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Rows of a state that share a key as one: counts are added, the first time is the least, all else the greatest."""
    counts = [name for name in rows.columns if name in COUNTS]
    greatest = [name for name in rows.columns if name not in (*key, *counts, "first_at")]
    least = [name for name in rows.columns if name == "first_at"]
    return (
        rows.lazy()
        .group_by(key)
        .agg(pl.col(counts).sum(), pl.col(least).min(), pl.col(greatest).max())
        .select(rows.columns)
        .collect()
    )


def newest(value: str, at: pl.Expr | None = None) -> pl.Expr:
    """A value with its time (`at`) in front: of several, the newest is the greatest. Null where the value is."""
    at = pl.col("at") if at is None else at
    digits = at.dt.epoch("us").cast(pl.String).str.zfill(_DIGITS)
    return pl.concat_str(digits, pl.col(value), separator=":").alias(value)


def newest_value(made: str | pl.Expr) -> pl.Expr:
    """The value in what `newest` made."""
    return _expression(made).str.slice(_DIGITS + 1)


def newest_at(made: str | pl.Expr) -> pl.Expr:
    """The time in what `newest` made."""
    return pl.from_epoch(_expression(made).str.head(_DIGITS).cast(pl.Int64), time_unit="us").dt.replace_time_zone("UTC")


_DIGITS = 16  # microseconds until the year 2286


def _expression(column: str | pl.Expr) -> pl.Expr:
    return pl.col(column) if isinstance(column, str) else column


def _with_measures(events: pl.DataFrame) -> pl.DataFrame:
    """Adds `message` (it tells of one), `measure` (of COUNTS, or null), and `campaign` (its or its canvas's id)."""
    types = (
        events.select(pl.col("type").unique())
        .filter(pl.col("type") != _NO_MESSAGE)
        .with_columns(
            measure=pl.col("type").str.extract(_MESSAGE).replace_strict(_MEASURES, default=None, return_dtype=pl.String)
        )
    )
    said = pl.col("measure")
    return events.join(types, on="type", how="left").with_columns(
        message=said.is_not_null(),
        measure=pl.when((said == "opens") & pl.col("machine_open"))
        .then(pl.lit("machine_opens"))
        .when((said != "clicks") | ~pl.col("bot_click"))
        .then(said),
        campaign=pl.coalesce("campaign_id", "canvas_id"),
    )


def _ones() -> list[pl.Expr]:
    return [(pl.col("measure") == name).fill_null(value=False).cast(pl.Int64).alias(name) for name in COUNTS]


def _contacts(events: pl.DataFrame) -> pl.DataFrame:
    measure, bounced = pl.col("measure"), pl.col("type") == POLLED_HARD_BOUNCE
    counted = measure.is_not_null()
    # What is not counted may still tell who a person is, or of a campaign that reached it. (A person who is known by an
    # address alone has it as a name already.)
    tells = (
        pl.col("braze_id").is_not_null()
        | pl.col("campaign").is_not_null()
        | ((pl.col("person_kind") != "email") & pl.col("address").is_not_null())
    )
    reached = measure.is_in(["sent", "delivered", "opens", "clicks"]) | (pl.col("type") == POLLED_PROFILE)
    rows = events.filter(pl.col("person").is_not_null() & (pl.col("message") | bounced | tells)).select(
        *PERSON,
        pl.when("message").then("channel").when(bounced).then(pl.lit("email")).fill_null("").alias("channel"),
        *_ones(),
        pl.when(counted).then("at").alias("first_at"),
        pl.col("at").alias("last_at"),
        pl.when(measure == "delivered").then("at").alias("last_delivered_at"),
        pl.when(measure == "opens").then("at").alias("last_open_at"),
        pl.when(measure == "clicks").then("at").alias("last_click_at"),
        pl.when((measure == "bounces") | bounced).then("at").alias("bounced_at"),
        pl.when(reached).then(newest("campaign")).alias("campaign"),
        "address",
        "braze_id",
    )
    return combine(rows.select(CONTACTS.names()), CONTACT_KEY).cast(CONTACTS)


def _consents(events: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("type")
    origin = (
        pl.when(kind.is_in([POLLED_GROUP_STATE, POLLED_PROFILE]))
        .then(pl.lit(SEEN))
        .when(pl.col("source") == "REST API")
        .then(pl.lit(WRITTEN))
        .otherwise(pl.lit(CHANGED))
    )
    rows = (
        events.filter(kind.is_in(_TELLS_STATE) & pl.col("person").is_not_null() & pl.col("state").is_in(STATES))
        .with_columns(
            scope=pl.coalesce("group_id", "channel"),
            origin=origin,
            source=pl.coalesce("source", "type"),
            first_at="at",
            last_at="at",
        )
        .filter(pl.col("scope").is_not_null())
        .with_columns(source=newest("source"))
    )
    return combine(rows.select(CONSENTS.names()), CONSENT_KEY)


def _campaign_days(events: pl.DataFrame) -> pl.DataFrame:
    rows = events.filter(pl.col("measure").is_not_null() & pl.col("campaign").is_not_null()).select(
        pl.when(pl.col("campaign_id").is_not_null())
        .then(pl.lit("campaign"))
        .otherwise(pl.lit("canvas"))
        .alias("campaign_kind"),
        pl.col("campaign").alias("campaign_id"),
        pl.col("at").dt.date().alias("day"),
        pl.col("channel").fill_null(""),
        *_ones(),
        pl.coalesce(
            pl.when(pl.col("campaign_id").is_not_null()).then(newest("campaign_name")), newest("canvas_name")
        ).alias("campaign_name"),
    )
    return combine(rows.select(CAMPAIGN_DAYS.names()), CAMPAIGN_DAY_KEY)
