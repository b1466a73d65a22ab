"""A realistic day written back to many customers: how many calls, beside one call a row; and how fast it is planned.

The day is made from The Complete Journey (84.51°, CC0): how many of its 27 campaigns each household got (6,589
receipts, 1,559 households), and how many households redeemed a coupon. Clicks go by the Open Bandit Dataset (ZOZO,
Inc., CC BY 4.0): 287 of 60,000 impressions. The numbers stand here; the data sets themselves are not needed.
"""

import random
import time
from datetime import UTC, datetime, timedelta

import polars as pl

from caspio_sync.caspio.write_planner import plan_calls
from caspio_sync.kinds.engagement.wanted import BUCKETS
from caspio_sync.schemas import SOURCE_PK

# Households by the number of campaigns they received, 1 to 15 (counted in campaigns.parquet).
RECEIVED = (277, 234, 209, 209, 164, 151, 109, 89, 48, 33, 23, 8, 2, 2, 1)
CLICKED = 287 / 60_000  # of impressions
OPENED = 410 / 1_559  # households that answered a campaign: redeemed one of its coupons
# Assumed; the data sets say nothing of them.
BOUNCED, UNSUBSCRIBED, MAILED = 0.004, 0.002, 0.2
ROOM = 1_900  # characters of address for keys
COLUMNS = (
    "Newsletter",
    "HardBounced",
    "Engaged",
    "LastOpened",
    "LastClicked",
    "EmailOpens",
    "EmailClicks",
    "LastCampaign",
)


def measure(customers: int) -> dict[str, tuple[float, str]]:
    changes = a_day(customers)
    started = time.perf_counter()
    calls = plan_calls(changes, COLUMNS, room=ROOM)
    seconds = time.perf_counter() - started
    rows = changes.height
    exact = changes.with_columns(
        pl.when(pl.col("LastOpened").is_not_null()).then(
            pl.col("LastOpened") + pl.duration(seconds=pl.col(SOURCE_PK) * 37 % 86_400)
        )
    )
    return {
        "writeback.calls_per_1000_rows": (1_000 * len(calls) / rows, "calls"),
        "writeback.calls_per_1000_rows_one_a_row": (1_000.0, "calls"),
        "writeback.calls_per_1000_rows_exact_times": (
            1_000 * len(plan_calls(exact, COLUMNS, room=ROOM)) / rows,
            "calls",
        ),
        "writeback.planned_rows_per_second": (rows / seconds, "rows/s"),
    }


def a_day(customers: int, seed: int = 1) -> pl.DataFrame:
    """What one day changes in the customers' columns; null for what stays."""
    dice = random.Random(seed)
    today = datetime(2026, 3, 2, tzinfo=UTC).replace(tzinfo=None)
    rows = [made for pk in range(1, customers + 1) if dice.random() < MAILED and (made := _person(dice, pk, today))]
    schema: dict[str, pl.DataType] = {
        SOURCE_PK: pl.Int64(),
        **dict.fromkeys(("Newsletter", "HardBounced", "Engaged"), pl.Boolean()),
        **dict.fromkeys(("LastOpened", "LastClicked"), pl.Datetime("ms")),
        **dict.fromkeys(("EmailOpens", "EmailClicks", "LastCampaign"), pl.String()),
    }
    return pl.DataFrame(rows, schema=schema)


def _person(dice: random.Random, pk: int, today: datetime) -> dict[str, object] | None:
    received = dice.choices(range(1, len(RECEIVED) + 1), RECEIVED)[0]
    opened, clicked = dice.random() < OPENED, dice.random() < CLICKED * received
    before = sum(dice.random() < OPENED for _ in range(received - 1))
    row: dict[str, object] = {SOURCE_PK: pk, "LastCampaign": f"campaign {dice.randrange(3)}"}
    if dice.random() < UNSUBSCRIBED:
        row["Newsletter"] = False
    if dice.random() < BOUNCED:
        row["HardBounced"] = True
        return row
    if opened or clicked:
        # Mails of the evening are opened on the day after.
        row["LastOpened"] = today - timedelta(days=dice.random() < 0.2)
        row |= {"Engaged": True} if not before else {}
        row |= _bucket("EmailOpens", before, before + 1)
    if clicked:
        row["LastClicked"] = today
        row |= _bucket("EmailClicks", 0, 1)
    return row


def _bucket(name: str, before: int, now: int) -> dict[str, object]:
    """The bucket where it is another one than before."""
    was, is_ = (max(low for low in BUCKETS if low <= count) for count in (before, now))
    return {name: BUCKETS[is_]} if was != is_ else {}
