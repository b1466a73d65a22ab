"""Engagement events as one frame, whether a destination posted them or a poll of its API found them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
import polars as pl
import xxhash

from caspio_sync.characters import CONTROLS, without_controls

EVENTS = pl.Schema(
    {
        "event_id": pl.String(),  # Currents' `id`; a polled fact's is made of what it says, so that it is told once
        "type": pl.String(),  # Braze's event_type, known or not; polls have names of their own, POLLED
        "at": pl.Datetime("us", "UTC"),  # when it happened, by Braze
        "external_id": pl.String(),
        "braze_id": pl.String(),
        "alias_label": pl.String(),
        "alias_name": pl.String(),
        "email": pl.String(),  # in lower case
        "phone": pl.String(),
        "channel": pl.String(),  # email, push, sms, whatsapp, in_app, content_card, webhook, …
        "campaign_id": pl.String(),
        "campaign_name": pl.String(),
        "canvas_id": pl.String(),
        "canvas_name": pl.String(),
        "machine_open": pl.Boolean(),  # the mailbox opened it, not the person
        "bot_click": pl.Boolean(),  # Braze suspects that a link scanner clicked
        "group_id": pl.String(),  # of a subscription group
        "state": pl.String(),  # opted_in, subscribed, unsubscribed
        "source": pl.String(),  # state_change_source; "REST API" may be a write of our own
        "seq": pl.Int64(),  # the post it arrived with
    }
)
"""Columns of an events frame; `event_id`, `type`, `at`, `machine_open`, `bot_click` and `seq` always have a value."""

POLLED_UNSUBSCRIBE = "poll.email.Unsubscribe"
POLLED_HARD_BOUNCE = "poll.email.HardBounce"
POLLED_GROUP_STATE = "poll.subscription.Status"
POLLED_PROFILE = "poll.profile"
POLLED = (POLLED_UNSUBSCRIBE, POLLED_HARD_BOUNCE, POLLED_GROUP_STATE, POLLED_PROFILE)

# Keys of tables: PostgreSQL takes 2,704 bytes of an index entry, and Braze's own ids are far shorter.
MOST_BYTES: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("external_id", "alias_name"), 1_000),
        **dict.fromkeys(("type", "braze_id", "alias_label", "channel", "campaign_id", "canvas_id", "group_id"), 200),
    }
)
_ALWAYS = ("machine_open", "bot_click")
_CONTROL = b"\\u00"  # how JSON writes every control character that a database does not take
_LINE = pl.Schema({name: pl.Int64() if name == "at" else kind for name, kind in EVENTS.items() if name != "seq"})


class Malformed(NamedTuple):
    """An event that could not be read: why, and all of it as JSON."""

    reason: str
    event: bytes


@dataclass(frozen=True, slots=True)
class Post:
    """Some events on their way into the inbox.

    Args:
        source: who told of them, such as "currents" or the name of a poll; each destination knows its own.
        lines: `event_lines`, one JSON document a line.
        count: of the lines.
        malformed: what came with them and could not be read.
    """

    source: str
    lines: bytes
    count: int
    malformed: tuple[Malformed, ...] = ()


def told_once(kind: str, says: str, at: datetime, columns: Mapping[str, Any]) -> dict[str, Any]:
    """An event without an id of its own: its id is made of what it says, so that what is told again counts once.

    Args:
        kind: its type.
        says: what it is told from others of this type and moment by.
        at: aware.
        columns: by the names of `EVENTS`; control characters leave, and what is empty.
    """
    moment = int(at.timestamp() * 1_000_000)
    event_id = f"{kind}.{xxhash.xxh3_128_hexdigest(f'{says} {moment}'.encode())}"
    texts = {name: without_controls(value) for name, value in columns.items() if isinstance(value, str)}
    filled = {name: text for name, text in texts.items() if text}
    return {"event_id": event_id, "type": kind, "at": moment, **filled}


def event_lines(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Events as NDJSON. Names are those of `EVENTS`, `at` in microseconds since 1970; what has no column is kept."""
    return b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events)


def read_events(posts: Sequence[tuple[int, bytes]]) -> pl.DataFrame:
    """The events of some posts, in the order of their arrival.

    Args:
        posts: `seq` and `event_lines` of each. Older ones may hold control characters and
            endless ids: both leave here.

    Returns:
        A frame with the schema `EVENTS`.
    """
    lines = b"".join(each for _, each in posts)
    if not lines:
        return pl.DataFrame(schema=EVENTS)
    seqs = pl.Series("seq", [seq for seq, _ in posts], dtype=pl.Int64)
    counts = pl.Series([each.count(b"\n") for _, each in posts], dtype=pl.UInt32)
    events = pl.read_ndjson(lines, schema=_LINE)
    if _CONTROL in lines:
        events = events.with_columns(pl.col(pl.String).str.replace_all(CONTROLS, ""))
    limits = {name: most for name, most in MOST_BYTES.items() if name != "type"}
    longest = events.select(pl.col(name).str.len_bytes().max() for name in limits).row(0, named=True)
    too_long = [name for name, most in limits.items() if (longest[name] or 0) > most]
    return (
        events.with_columns(
            pl.when(pl.col(name).str.len_bytes() <= limits[name]).then(name).alias(name) for name in too_long
        )
        .select(
            pl.exclude("at", *_ALWAYS),
            pl.from_epoch("at", time_unit="us").dt.replace_time_zone("UTC"),
            pl.col(*_ALWAYS).fill_null(value=False),
            seq=seqs.repeat_by(counts).explode(),
        )
        .select(EVENTS.names())
    )
