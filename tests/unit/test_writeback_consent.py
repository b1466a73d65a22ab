"""Consent that changes on both sides at once: it always converges, and nothing goes to and fro."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.kinds.engagement.consent import SIDES, Policy, settle

START = datetime(2026, 3, 1, tzinfo=UTC)
STATES = tuple(CONSENT.rank)
POLICIES = get_args(Policy)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def decided(policy: Policy = "most_restrictive", *, seen: int = 100, **sides: Any) -> dict[str, Any]:
    given_sides = dict.fromkeys(SIDES.names()) | {"source_pk": 1} | sides
    frame = pl.DataFrame([given_sides], schema=SIDES)
    return settle(frame, policy, pl.lit(at(seen)), CONSENT).row(0, named=True)


@dataclass
class Sides:
    """Caspio's cell, Braze's state, what lies between them, and both flows."""

    policy: Policy
    caspio: str | None = "subscribed"
    braze: str = "subscribed"
    sent: str | None = "subscribed"
    minute: int = 0
    under_way: list[tuple[int, str]] = field(default_factory=list)
    told: list[tuple[int, str]] = field(default_factory=list)
    agreed: dict[str, Any] = field(default_factory=dict)
    writes: int = 0
    sends: int = 0
    changes: int = 0

    def staff(self, state: str) -> None:
        self.changes += 1
        self.caspio = state

    def customer(self, state: str) -> None:
        self.braze = state
        self.changes += 1
        self.under_way.append((self.minute, state))

    def deliver(self, place: int) -> None:
        if self.under_way:
            self.told.append(self.under_way.pop(place % len(self.under_way)))

    def profile_sync(self) -> None:
        if self.caspio != self.sent and self.caspio is not None:
            self.sends += 1
            self.braze = self.sent = self.caspio

    def engagement_return(self) -> None:
        newest = max(self.told, default=None)
        told = {} if newest is None else {"there": newest[1], "there_at": at(newest[0])}
        answer = decided(self.policy, seen=self.minute, caspio=self.caspio, **told, **self.agreed)
        if answer["write"] is not None:
            self.writes += 1
            self.caspio = answer["write"]
        if answer["tell"]:
            self.sent = None
        self.agreed = {
            "agreed": answer["next_state"], "agreed_at": answer["next_at"], "agreed_news": answer["next_news"]
        }  # fmt: skip


moves = st.lists(
    st.one_of(
        st.tuples(st.just("staff"), st.sampled_from(STATES)),
        st.tuples(st.just("customer"), st.sampled_from(STATES)),
        st.tuples(st.just("deliver"), st.integers(0, 5)),
        st.tuples(st.just("profile_sync")),
        st.tuples(st.just("engagement_return")),
    ),
    max_size=25,
)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=250, deadline=None)
@given(moves)
def test_both_sides_converge_with_one_echo_at_most(policy: Policy, steps: list[tuple[Any, ...]]) -> None:
    sides = Sides(policy)
    sides.engagement_return()
    for name, *arguments in steps:
        sides.minute += 1
        getattr(sides, name)(*arguments)
    while sides.under_way:
        sides.deliver(0)
    before = (sides.writes, sides.sends)
    for _ in range(3):
        sides.minute += 1
        sides.engagement_return()
        sides.profile_sync()
    assert sides.caspio == sides.braze
    # The last change travels once each way, whoever made it; a round later everything is quiet.
    assert sides.writes - before[0] <= 1
    assert sides.sends - before[1] <= 1
    assert sides.sends <= sides.changes
    quiet = (sides.writes, sides.sends)
    sides.engagement_return()
    sides.profile_sync()
    assert (sides.writes, sides.sends) == quiet


def test_a_change_of_brazes_alone_is_written_also_where_it_loosens() -> None:
    known: dict[str, Any] = {"agreed": "unsubscribed", "agreed_at": at(1), "caspio": "unsubscribed"}
    answer = decided(there="subscribed", there_at=at(5), **known)
    assert (answer["write"], answer["conflict"], answer["next_state"]) == ("subscribed", False, "subscribed")


def test_a_change_of_caspios_alone_is_left_to_the_profile_sync() -> None:
    answer = decided(caspio="unsubscribed", agreed="subscribed", there="subscribed", there_at=at(1), agreed_news=at(1))
    assert (answer["write"], answer["tell"], answer["next_at"]) == (None, False, at(100))


@pytest.mark.parametrize(
    ("policy", "caspio", "braze", "write"),
    [
        ("most_restrictive", "subscribed", "unsubscribed", "unsubscribed"),
        ("most_restrictive", "unsubscribed", "subscribed", None),
        ("caspio_wins", "subscribed", "unsubscribed", None),
        ("destination_wins", "unsubscribed", "subscribed", "subscribed"),
        ("newest", "unsubscribed", "opted_in", None),
    ],
)
def test_a_conflict_is_decided_by_its_policy(policy: Policy, caspio: str, braze: str, write: str | None) -> None:
    answer = decided(policy, caspio=caspio, there=braze, there_at=at(50), agreed="never")
    assert (answer["conflict"], answer["write"], answer["tell"]) == (True, write, True)


def test_newest_goes_by_the_stamp_where_the_row_has_one() -> None:
    sides: dict[str, Any] = {"caspio": "subscribed", "there": "unsubscribed", "there_at": at(50), "agreed": "opted_in"}
    assert decided("newest", caspio_stamp=at(40), **sides)["write"] == "unsubscribed"
    assert decided("newest", caspio_stamp=at(60), **sides)["tell"]


def test_news_from_before_caspios_own_change_do_not_undo_it() -> None:
    known: dict[str, Any] = {"caspio": "unsubscribed", "agreed": "unsubscribed", "agreed_at": at(60)}
    answer = decided(there="subscribed", there_at=at(50), **known)
    assert (answer["conflict"], answer["write"], answer["tell"]) == (True, None, True)


def test_an_empty_cell_states_nothing_and_takes_the_news() -> None:
    answer = decided("caspio_wins", there="unsubscribed", there_at=at(5), agreed="subscribed")
    assert (answer["write"], answer["conflict"]) == ("unsubscribed", False)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_poll_merely_sees_is_written_into_an_empty_cell_as_an_opt_out_alone(policy: Policy) -> None:
    def written(state: str, **more: Any) -> Any:
        return decided(policy, there=state, there_at=at(5), **more)["write"]

    assert written("subscribed", there_seen=True) is None
    assert written("opted_in", there_seen=True) is None
    assert written("unsubscribed", there_seen=True) == "unsubscribed"
    assert written("opted_in", there_seen=False) == "opted_in"  # somebody did it
    # A change that is seen against what was agreed on is a change.
    assert written("subscribed", there_seen=True, caspio="unsubscribed", agreed="unsubscribed") == "subscribed"
