"""Folding the inbox into the ledger: each event once, whatever order it comes in and whatever dies on the way."""

import asyncio
import multiprocessing
import os
import signal
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.series import CAMPAIGN_DAYS
from caspio_sync.engagement.events import read_events
from caspio_sync.errors import TransientError
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement import folding
from caspio_sync.kinds.engagement.folding import fold_inbox
from caspio_sync.kinds.engagement.people import KnownPeople, known_people
from caspio_sync.ledger import bulk
from caspio_sync.ledger import engagement as ledger_engagement
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from tests.unit.engagement_model import (  # noqa: F401 - fixtures
    EMAIL,
    PEOPLE,
    STATE_CHANGE,
    SYNC,
    Event,
    Told,
    at,
    event,
    fold_all,
    histories,
    later,
    opened_inbox,
    opened_ledger,
    post,
    rows_of,
    stored_state,
)
from tests.virtual_clock import VirtualClock

BEGAN = date(2026, 7, 1)


def test_an_inbox_that_holds_what_no_database_takes_is_folded(
    inbox: Inbox, ledger: Ledger, clock: VirtualClock
) -> None:
    """As former receivers kept it: NULs, other control characters, and ids longer than an index entry."""
    odd = [
        event(EMAIL + "Open", 1, campaign_id="spring\0", campaign_name="Spr\0ing\x1b"),
        event(EMAIL + "Open", 2, campaign_id="x" * 9000),
        event(EMAIL + "Open", 3, external_id="".join(map(chr, range(300, 9000)))),
        event(EMAIL + "Open", 4, channel="".join(map(chr, range(300, 9000))), campaign_id="autumn"),
        event(STATE_CHANGE, 5, state="unsubscribed", source="Preference\0 Center"),
    ]
    inbox.add([post(odd)])
    assert fold_all(inbox, ledger, clock).events["folded"] == len(odd)
    rows = rows_of(key=[1], external_id=["c-1"])
    known = known_people(ledger, SYNC, rows)
    assert known.measures["email_opens"].to_list() == [2]
    assert known.consents.select("state", "source").rows() == [("unsubscribed", "Preference Center")]
    days = ledger.campaign_days(SYNC, BEGAN)
    assert set(days.select("campaign_id", "campaign_name").rows()) == {("spring", "Spring"), ("autumn", None)}


def as_told(ledger: Ledger) -> tuple[KnownPeople, Any]:
    rows = rows_of(key=list(range(len(PEOPLE))), external_id=PEOPLE)
    return known_people(ledger, SYNC, rows), ledger.campaign_days(SYNC, BEGAN)


def check_against(told: Told, known: KnownPeople, days: pl.DataFrame) -> None:
    for row in known.measures.to_dicts():
        person = PEOPLE[row["key"]]
        # Of whom nothing is told by this channel, nobody knows how often nothing happened.
        nothing = None if not any(who == person for who, _ in told.counts) else 0
        for count in ("sent", "delivered", "opens", "machine_opens", "clicks", "bounces", "unsubscribes"):
            assert row[f"email_{count}"] == told.counts.get((person, count), nothing), (person, count)
        assert row["email_last_open_at"] == told.last_open.get(person)
        assert row["email_first_at"] == told.first.get(person)
    counted = {PEOPLE[row["key"]] for row in known.measures.to_dicts()}
    assert counted >= {person for person, _ in told.counts}
    states = {(PEOPLE[key], scope): state for key, scope, state, *_ in known.consents.rows()}
    assert states == {where: state for where, (_, _, state) in told.states.items()}
    named = [name for name in days.columns if name in ("sent", "opens", "machine_opens", "clicks")]
    listed = {
        (row["campaign_id"], str(row["day"]), name): row[name] for row in days.to_dicts() for name in named if row[name]
    }
    assert listed == {where: count for where, count in told.days.items() if where[2] in named}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_order_any_parts_any_repetition_are_one_state(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    events = data.draw(histories)
    again = data.draw(st.lists(st.sampled_from(events), max_size=20))
    arriving = data.draw(st.permutations(events + again))
    home, clock = tmp_path_factory.mktemp("fold"), VirtualClock(at(10 * 86_400))
    read, recorded = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 60))
    with (
        pytest.MonkeyPatch.context() as patch,
        Inbox.open(f"sqlite:///{home}/inbox.db", clock=clock) as inbox,
        Ledger.open(f"sqlite:///{home}/a.db", clock=clock) as ledger,
        Ledger.open(f"sqlite:///{home}/b.db", clock=clock) as at_once,
    ):
        patch.setattr(folding, "READ_AT_ONCE", read)
        patch.setattr(folding, "RECORDED_AT_ONCE", recorded)
        left, arrived = list(arriving), 0
        while left:
            cut = data.draw(st.integers(1, len(left)))
            inbox.add([post(left[start : start + 3]) for start in range(0, cut, 3)])
            arrived += len(left[: -(-cut // 3) * 3])
            left = arriving[arrived:]
            if data.draw(st.booleans()):
                fold_all(inbox, ledger, clock)
        fold_all(inbox, ledger, clock)
        check_against(Told(events), *as_told(ledger))
        patch.undo()
        with Inbox.open(f"sqlite:///{home}/once.db", clock=clock) as whole:
            whole.add([post({each["event_id"]: each for each in events}.values())])
            report = fold_all(whole, at_once, clock)
        assert report.events["duplicates"] == 0
        assert _without_salt(stored_state(at_once)) == _without_salt(stored_state(ledger))


def _without_salt(told: dict[str, list[tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Rows without their hash, which each ledger salts by itself."""
    hashed = ("engagement", "engagement_consent")
    return sorted((name, (row[0], *row[2:]) if name in hashed else row) for name, rows in told.items() for row in rows)


def a_day() -> list[Event]:
    """Something of everything, by several people."""
    return [
        each
        for number, person in enumerate(PEOPLE)
        for each in (
            event(EMAIL + "Send", number, external_id=person, campaign_id="spring", campaign_name=f"Name {number}"),
            event(
                EMAIL + "Open", 3600 * number, external_id=person, email=f"{person}@x.example", braze_id=f"b{number}"
            ),
            event(STATE_CHANGE, number, external_id=person, state="unsubscribed", source="SDK"),
        )
    ]


def test_the_same_batch_twenty_times_in_twenty_orders_counts_once(
    inbox: Inbox, ledger: Ledger, clock: VirtualClock
) -> None:
    events = a_day()
    for turn in range(20):
        inbox.add([post(events[turn % 12 :] + events[: turn % 12])])
        report = fold_all(inbox, ledger, clock)
        assert report.events["folded"] == (12 if turn == 0 else 0)
        assert report.events["duplicates"] == (0 if turn == 0 else 12)
    check_against(Told(events), *as_told(ledger))


def test_one_post_at_a_time_adds_up_to_the_same(
    inbox: Inbox, ledger: Ledger, clock: VirtualClock, tmp_path: Path
) -> None:
    """Also where two of one second differ by nothing but the order of their letters, which databases sort in their way."""
    equals = [event(EMAIL + "Send", 1, campaign_id=each, email=f"{each}@x.example") for each in ("a", "B", "_", "é")]
    events = [*a_day(), *equals, event(EMAIL + "Click", -90, source="late"), event(EMAIL + "Open", -95)]
    with Ledger.open(f"sqlite:///{tmp_path}/once.db", clock=clock) as at_once:
        at_once.erasure_secret = ledger.erasure_secret  # the same names for addresses
        inbox.add([post(events)])
        fold_all(inbox, at_once, clock)
        with Inbox.open(f"sqlite:///{tmp_path}/apart.db", clock=clock) as apart:
            for each in reversed(events):
                apart.add([post([each])])
                fold_all(apart, ledger, clock)
        assert _without_salt(stored_state(ledger)) == _without_salt(stored_state(at_once))


def test_many_people_are_added_to_what_is_known_of_them(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    """So many that PostgreSQL takes them by COPY."""
    people, odd = range(1200), "tab\t, line\n, \\N and ünï"

    def opens(seconds: int, campaign: str) -> list[Event]:
        return [event(EMAIL + "Open", seconds, external_id=f"c-{each} {odd}", campaign_id=campaign) for each in people]

    for posted in (opens(50, "new"), opens(10, "old"), opens(50, "new")[:300]):
        inbox.add([post(posted)])
        fold_all(inbox, ledger, clock)
    known = known_people(ledger, SYNC, rows_of(key=list(people), external_id=[f"c-{each} {odd}" for each in people]))
    told = known.measures.select("email_opens", "email_first_at", "email_last_open_at", "last_campaign_id").unique()
    assert told.rows() == [(2, at(10), at(50), "new")]
    assert known.measures.height == len(people)


def _fold_and_die(ledger_url: str, inbox_url: str, step: int) -> None:
    """A process that is killed when it comes to its write number `step`."""
    clock, steps, upsert = VirtualClock(at(10 * 86_400)), iter(range(1000)), bulk.upsert

    def dying(*given: Any, **named: Any) -> None:
        upsert(*given, **named)
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    ledger_engagement.upsert = dying  # type: ignore[attr-defined]
    folding.READ_AT_ONCE = folding.RECORDED_AT_ONCE = 6
    with Ledger.open(ledger_url, clock=clock) as ledger, Inbox.open(inbox_url, clock=clock) as inbox:
        fold_all(inbox, ledger, clock)


@pytest.mark.parametrize("step", [0, 1, 3, 4, 6])
def test_a_killed_fold_is_gone_on_with(
    step: int, ledger_url: str, inbox: Inbox, tmp_path: Path, clock: VirtualClock
) -> None:
    events = a_day()
    inbox.add([post(events[:6]), post(events[6:])])
    Ledger.open(ledger_url, clock=clock).close()
    process = multiprocessing.get_context("spawn").Process(
        target=_fold_and_die, args=(ledger_url, f"sqlite:///{tmp_path}/inbox.db", step)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with Ledger.open(ledger_url, clock=clock) as ledger:
        report = fold_all(inbox, ledger, clock)
        assert report.posts == (2 if step < 4 else 1)
        check_against(Told(events), *as_told(ledger))
        assert fold_all(inbox, ledger, clock).posts == 0


def test_a_run_whose_lease_was_taken_over_records_nothing(
    inbox: Inbox, ledger: Ledger, ledger_url: str, clock: VirtualClock
) -> None:
    inbox.add([post(a_day())])
    ledger.acquire_lease(SYNC, "run one")
    with Ledger.open(ledger_url, clock=clock) as other:
        asyncio.run(clock.sleep(61))
        other.acquire_lease(SYNC, "run two")
        with pytest.raises(LeaseHeldError, match="run two"):
            fold_all(inbox, ledger, clock)
        assert not any(stored_state(ledger).values())
        assert fold_all(inbox, other, clock).events["folded"] == 12


def test_posts_that_another_run_folded_are_not_folded_again(
    inbox: Inbox, ledger: Ledger, ledger_url: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.add([post(a_day())])

    def overtaken(posts: Any) -> pl.DataFrame:
        monkeypatch.setattr(folding, "read_events", read_events)
        with Ledger.open(ledger_url, clock=clock) as other:
            fold_all(inbox, other, clock)
        return read_events(posts)

    monkeypatch.setattr(folding, "read_events", overtaken)
    with pytest.raises(TransientError, match="another shard folded"):
        fold_all(inbox, ledger, clock)
    check_against(Told(a_day()), *as_told(ledger))


def test_ids_are_forgotten_after_a_fortnight(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    inbox.add([post(a_day())])
    fold_all(inbox, ledger, clock)
    hours = len({each["at"].hour for each in a_day()})
    asyncio.run(clock.sleep(timedelta(days=13).total_seconds()))
    assert ledger.purge(clock.now() - timedelta(days=90)).event_ids == 0
    asyncio.run(clock.sleep(timedelta(days=1, seconds=1).total_seconds()))
    assert ledger.purge(clock.now() - timedelta(days=90), dry_run=True).event_ids == hours
    assert ledger.purge(clock.now() - timedelta(days=90)).event_ids == hours
    assert ledger.purge(clock.now() - timedelta(days=90)).event_ids == 0
    check_against(Told(a_day()), *as_told(ledger))


def test_the_inbox_may_lose_what_every_sync_has_folded(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    assert ledger.folded_by_all() is None
    inbox.add([post(a_day())])
    first = fold_all(inbox, ledger, clock).to
    inbox.add([post([event(EMAIL + "Open", 9)])])
    asyncio.run(fold_inbox("another", inbox, LedgerThread(ledger), clock))
    assert ledger.folded_by_all() == ledger.folded_to(SYNC) == first < ledger.folded_to("another")


def test_days_that_braze_counted_itself_stand(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    inbox.add(
        [
            post(
                [
                    event(EMAIL + "Send", each, campaign_id="a", campaign_name="Old", external_id=f"c-{each}")
                    for each in range(3)
                ]
            )
        ]
    )
    inbox.add([post([event(EMAIL + "Send", 86_400, campaign_id="a"), event(EMAIL + "Send", -86_400, campaign_id="a")])])
    fold_all(inbox, ledger, clock)
    told = {"campaign_id": "a", "campaign_name": "New", "day": BEGAN, "channel": "email", "sent": 1, "unique_opens": 2}
    ledger.record_series(SYNC, pl.DataFrame([told], CAMPAIGN_DAYS))
    ledger.record_series(SYNC, pl.DataFrame([{**told, "sent": 5}], CAMPAIGN_DAYS))
    days = ledger.campaign_days(SYNC, BEGAN)
    shown = days.select("campaign_kind", "campaign_name", "day", "sent", "unique_opens", "machine_opens")
    assert shown.rows() == [
        ("campaign", "New", BEGAN, 5, 2, None),
        ("campaign", "New", BEGAN + timedelta(days=1), 1, None, 0),
    ]
