"""Campaigns and canvases by day, from Braze's series (Braze, 10.2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from caspio_sync.destinations.braze.engagement_client import Series
from caspio_sync.ledger.engagement_schema import SERIES_COUNTS

CAMPAIGN_DAYS = pl.Schema(
    {
        "campaign_id": pl.String(),  # or canvas_id
        "campaign_name": pl.String(),
        "canvas_id": pl.String(),
        "canvas_name": pl.String(),
        "day": pl.Date(),  # of the company's time zone
        "channel": pl.String(),  # in the words of EVENTS
        **dict.fromkeys(SERIES_COUNTS, pl.Int64()),
    }
)
# Braze's channel: ours, and our count by Braze's counters; several are added up. Seen counts as opened where nothing
# is opened; of pushes only direct opens, as Currents has them.
_PUSH = ("push", {"sent": ("sent",), "opens": ("direct_opens",), "bounces": ("bounces",)})
_CHANNELS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "email": (
        "email",
        {**{name: (name,) for name in SERIES_COUNTS if name != "complaints"}, "complaints": ("reported_spam",)},
    ),
    **dict.fromkeys(("ios_push", "android_push", "kindle_push", "web_push"), _PUSH),
    "webhook": ("webhook", {"sent": ("sent",), "bounces": ("errors",)}),
    "sms": (
        "sms",
        {
            "sent": ("sent",),
            "delivered": ("delivered",),
            "clicks": ("clicks",),
            "bounces": ("rejected", "delivery_failed"),
            "unsubscribes": ("opt_out",),
        },
    ),
    "whats_app": (
        "whatsapp",
        {"sent": ("sent",), "delivered": ("delivered",), "opens": ("read",), "bounces": ("failed",)},
    ),
    "content_cards": (
        "content_card",
        {
            "sent": ("sent",),
            "opens": ("total_impressions",),
            "unique_opens": ("unique_impressions",),
            "clicks": ("total_clicks",),
            "unique_clicks": ("unique_clicks",),
        },
    ),
    "trigger_in_app_message": ("in_app", {"opens": ("impressions",), "clicks": ("clicks",)}),
}


def series_rows(sender: Mapping[str, str], series: Series) -> Iterable[dict[str, Any]]:
    """Rows of `CAMPAIGN_DAYS` for the days and channels on which something happened; counts a channel has not are null.

    Args:
        sender: campaign_id and campaign_name, or canvas_id and canvas_name.
        series: of this campaign or canvas.
    """
    for day, channels in series.days:
        rows: dict[str, dict[str, int]] = {}
        for theirs, counters in channels.items():
            if theirs in _CHANNELS and any(counters.values()):
                ours, names = _CHANNELS[theirs]
                row = rows.setdefault(ours, {})
                for count, parts in names.items():
                    row[count] = row.get(count, 0) + sum(counters.get(part, 0) for part in parts)
        for channel, counts in rows.items():
            yield {**sender, "day": day, "channel": channel, **counts}
