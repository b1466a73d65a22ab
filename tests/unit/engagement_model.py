"""Events for tests, made or drawn, and what they add up to, counted one by one in plain Python."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st

from caspio_sync.engagement.events import EVENTS, Post, event_lines
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.folding import FoldReport, fold_inbox
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from tests.virtual_clock import VirtualClock

SYNC = "engagement"
START = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
EMAIL = "users.messages.email."
STATE_CHANGE = "users.behaviors.subscription.GlobalStateChange"
GROUP_CHANGE = "users.behaviors.subscriptiongroup.StateChange"

Event = dict[str, Any]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def event(kind: str, seconds: float = 0, **more: Any) -> Event:
    """An event that happened so many seconds after the start; c-1's by e-mail unless said otherwise."""
    given = {"type": kind, "at": at(seconds), "external_id": "c-1", "channel": "email", **more}
    named = {name: value for name, value in given.items() if value is not None}
    return {"event_id": f"{kind} {seconds} {sorted(more.items())}", "machine_open": False, "bot_click": False, **named}


def frame(events: Iterable[Event]) -> pl.DataFrame:
    return pl.DataFrame([{"seq": 1, **each} for each in events], EVENTS)


def post(events: Iterable[Event]) -> Post:
    """As the inbox takes it."""
    rows = [{**each, "at": microseconds(each["at"])} for each in events]
    return Post("currents", event_lines(rows), len(rows))


_COUNTED = {
    "Send": "sent",
    "Delivery": "delivered",
    "Open": "opens",
    "Click": "clicks",
    "Bounce": "bounces",
    "MarkAsSpam": "complaints",
    "Unsubscribe": "unsubscribes",
}


def counted(each: Mapping[str, Any]) -> str | None:
    """What an e-mail event counts as."""
    if not each["type"].startswith(EMAIL):
        return None
    count = _COUNTED.get(each["type"].removeprefix(EMAIL))
    if count == "clicks" and each["bot_click"]:
        return None
    return "machine_opens" if count == "opens" and each["machine_open"] else count


class Told:
    """What is known of each person after some events, each counted once."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.counts: dict[tuple[str, str], int] = defaultdict(int)
        self.last_open: dict[str, datetime] = {}
        self.first: dict[str, datetime] = {}
        self.days: dict[tuple[str, str, str], int] = defaultdict(int)
        self.states: dict[tuple[str, str], tuple[datetime, int, str]] = {}
        for each in {each["event_id"]: each for each in events}.values():
            self._take(each)

    def _take(self, each: Event) -> None:
        person, when, count = each["external_id"], each["at"], counted(each)
        if count is not None:
            self.counts[person, count] += 1
            self.first[person] = min(when, self.first.get(person, when))
            if each.get("campaign_id"):
                self.days[each["campaign_id"], f"{when:%Y-%m-%d}", count] += 1
        if count == "opens":
            self.last_open[person] = max(when, self.last_open.get(person, when))
        if each["type"] in (STATE_CHANGE, GROUP_CHANGE):
            scope, state = each.get("group_id") or each["channel"], each["state"]
            rank = ("opted_in", "subscribed", "unsubscribed").index(state)
            known = self.states.get((person, scope))
            if known is None or (when, rank) > known[:2]:
                self.states[person, scope] = (when, rank, state)


KINDS = [EMAIL + each for each in ("Send", "Delivery", "Open", "Click", "Bounce", "Unsubscribe")]
PEOPLE = [f"c-{number}" for number in range(4)]
contacts = st.builds(
    event,
    st.sampled_from(KINDS),
    st.integers(0, 200_000),
    external_id=st.sampled_from(PEOPLE),
    campaign_id=st.sampled_from([None, "spring", "summer"]),
    machine_open=st.booleans(),
    bot_click=st.booleans(),
)
changes = st.builds(
    event,
    st.just(STATE_CHANGE),
    st.integers(0, 20),
    external_id=st.sampled_from(PEOPLE),
    state=st.sampled_from(["opted_in", "subscribed", "unsubscribed"]),
    source=st.sampled_from(["SDK", "Preference Center"]),
)
group_changes = st.builds(
    event,
    st.just(GROUP_CHANGE),
    st.integers(0, 20),
    external_id=st.sampled_from(PEOPLE),
    group_id=st.sampled_from(["news", "offers"]),
    state=st.sampled_from(["subscribed", "unsubscribed"]),
    source=st.just("Dashboard"),
)
histories = st.lists(st.one_of(contacts, changes, group_changes), min_size=1, max_size=40)


def fold_all(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> FoldReport:
    return asyncio.run(fold_inbox(SYNC, inbox, LedgerThread(ledger), clock))


def rows_of(**rows: list[Any]) -> pl.DataFrame:
    columns = {"external_id": pl.String, "alias_label": pl.String, "alias_name": pl.String, "email": pl.String}
    given = pl.DataFrame(rows)
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in rows]
    return given.with_columns(absent)


def stored_state(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """All that was told, as it is stored."""
    tables = ("engagement", "engagement_consent", "campaign_day")
    with ledger.reading("look") as connection:
        return {
            name: sorted(map(tuple, connection.exec_driver_sql(f"SELECT * FROM {name}").all()), key=str)
            for name in tables
        }


@pytest.fixture(name="clock")
def later() -> VirtualClock:
    return VirtualClock(at(10 * 86_400))


@pytest.fixture(name="ledger")
def opened_ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


@pytest.fixture(name="inbox")
def opened_inbox(tmp_path: Path, clock: VirtualClock) -> Iterator[Inbox]:
    with Inbox.open(f"sqlite:///{tmp_path}/inbox.db", clock=clock) as opened:
        yield opened
