"""Currents events out of the inbox into the ledger: campaigns that real households got, in a day's hours."""

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from caspio_sync.clock import SystemClock
from caspio_sync.engagement.events import Post
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.folding import FoldReport, fold_inbox
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread

CUSTOMERS = 200_000
EVENTS_A_POST = 100  # as Braze posts them (Braze, 11.1)
_SENDS_A_PART = 40_000
_DATA = Path(__file__).parent / "data"
# Of a hundred delivered mails: what a retailer's newsletter gets, and what mailboxes and link scanners add to it.
_OPENED, _BY_MACHINE, _CLICKED, _BY_BOT, _BOUNCED, _LEFT = 0.22, 0.35, 0.03, 0.02, 0.01, 0.002
_REPEATED = 0.01  # Braze posts at least once
_SECONDS_UNTIL_ANSWER = 6 * 3600


def measure(events: int) -> dict[str, tuple[float, str]]:
    """In a process of its own: its greatest memory is the fold's."""
    with tempfile.TemporaryDirectory(prefix="caspio-sync-bench-") as home:
        _fill(Path(home), events)
        command = [sys.executable, "-m", "benchmarks.engagement", home, str(events)]
        seconds, megabytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {
        "engagement.fold_events_per_second": (events / float(seconds), "events/s"),
        "engagement.fold_peak_memory": (float(megabytes), "MB"),
    }


def _fill(home: Path, count: int) -> None:
    with Inbox.open(f"sqlite:///{home}/inbox.db") as inbox:
        left = count
        for events in _days(np.random.default_rng(7)):
            lines = events.head(left).write_ndjson().encode().splitlines(keepends=True)
            left -= len(lines)
            inbox.add(
                [
                    Post("currents", b"".join(some), len(some))
                    for some in (lines[start : start + EVENTS_A_POST] for start in range(0, len(lines), EVENTS_A_POST))
                ]
            )
            if not left:
                return


def _days(random: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Day after day what the campaigns of that day cause, in the order in which Braze gets to post it."""
    sends = pl.read_parquet(_DATA / "complete-journey" / "campaigns.parquet")
    days = pl.read_parquet(_DATA / "complete-journey" / "campaign_descriptions.parquet")
    shares = sends.group_by("campaign_id").len().join(days, on="campaign_id").sort("start_date", "campaign_id")
    households = sends["household_id"].n_unique()
    hours = pl.read_csv(_DATA / "open-bandit" / "hours.csv")["impressions"].to_numpy()
    while True:
        for campaign, count, start in shares.select("campaign_id", "len", "start_date").iter_rows():
            people = random.permutation(CUSTOMERS)[: CUSTOMERS * count // households]
            for first in range(0, len(people), _SENDS_A_PART):
                yield _caused(people[first : first + _SENDS_A_PART], campaign, start, hours / hours.sum(), random)


def _caused(
    people: np.ndarray, campaign: str, day: object, hours: np.ndarray, random: np.random.Generator
) -> pl.DataFrame:
    number = len(people)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()  # type: ignore[attr-defined]
    seconds = midnight + random.choice(24, size=number, p=hours) * 3600 + random.integers(0, 3600, number)
    parts = []

    def add(word: str, chosen: np.ndarray, later: float, **flags: bool) -> None:
        delays = random.exponential(later, chosen.sum()) if later else np.zeros(chosen.sum())
        parts.append(
            pl.DataFrame({"person": people[chosen], "at": (seconds[chosen] + delays).astype(np.int64)}).with_columns(
                pl.lit(f"users.messages.email.{word}").alias("type"), **{n: pl.lit(v) for n, v in flags.items()}
            )
        )

    arrived = random.random(number) >= _BOUNCED
    add("Send", np.ones(number, bool), 0)
    add("Delivery", arrived, 5)
    add("Bounce", ~arrived, 5)
    add("Open", arrived & (random.random(number) < _BY_MACHINE), 60, machine_open=True)
    opened = arrived & (random.random(number) < _OPENED)
    add("Open", opened, _SECONDS_UNTIL_ANSWER, machine_open=False)
    add("Click", arrived & (random.random(number) < _BY_BOT), 5, bot_click=True)
    add("Click", opened & (random.random(number) < _CLICKED / _OPENED), _SECONDS_UNTIL_ANSWER, bot_click=False)
    left = opened & (random.random(number) < _LEFT / _OPENED)
    add("Unsubscribe", left, _SECONDS_UNTIL_ANSWER)
    parts.append(
        parts[-1].with_columns(
            type=pl.lit("users.behaviors.subscription.GlobalStateChange"),
            state=pl.lit("unsubscribed"),
            source=pl.lit("Subscription Page"),
        )
    )
    events = pl.concat(parts, how="diagonal").sort("at")
    ids = random.integers(0, 2**63, (2, events.height))
    events = events.select(
        event_id=pl.Series([f"{a:016x}-{b:016x}" for a, b in zip(*ids, strict=True)]),
        type="type",
        at=pl.col("at") * 1_000_000,
        external_id=pl.format("c-{}", "person"),
        braze_id=pl.format("64f{}", pl.col("person").cast(pl.String).str.zfill(21)),
        email=pl.format("customer.{}@example.com", "person"),
        channel=pl.lit("email"),
        campaign_id=pl.format("5f3c0a00-0000-4000-8000-{}", pl.lit(campaign).str.zfill(12)),
        campaign_name=pl.format("Campaign {}", pl.lit(campaign)),
        machine_open="machine_open",
        bot_click="bot_click",
        state="state",
        source="source",
    )
    again = events.sample(fraction=_REPEATED, seed=7)
    return pl.concat([events, again])


async def _fold(home: Path) -> FoldReport:
    thread = LedgerThread(Ledger.open(f"sqlite:///{home}/ledger.db"))
    try:
        with Inbox.open(f"sqlite:///{home}/inbox.db") as inbox:
            return await fold_inbox("engagement", inbox, thread, SystemClock())
    finally:
        thread.close()


if __name__ == "__main__":
    started = time.perf_counter()
    report = asyncio.run(_fold(Path(sys.argv[1])))
    seconds = time.perf_counter() - started
    assert report.events["folded"] + report.events["duplicates"] == int(sys.argv[2]), "every event is folded once"
    print(f"{seconds:.3f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
