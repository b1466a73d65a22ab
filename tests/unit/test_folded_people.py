"""Of whom the inbox told: found among Caspio's rows, and forgotten."""

import asyncio
from typing import Any

import polars as pl
import pytest

from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.engagement.fold import fold
from caspio_sync.errors import TransientError
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement import folding
from caspio_sync.kinds.engagement.folding import fold_inbox
from caspio_sync.kinds.engagement.people import known_people, known_states
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.thread import LedgerThread
from tests.unit.engagement_model import (  # noqa: F401 - fixtures
    EMAIL,
    GROUP_CHANGE,
    STATE_CHANGE,
    SYNC,
    at,
    event,
    fold_all,
    later,
    opened_inbox,
    opened_ledger,
    post,
    rows_of,
    stored_state,
)
from tests.virtual_clock import VirtualClock


def test_somebody_unknown_is_found_when_the_row_appears(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    events = [
        event(EMAIL + "Open", 1, external_id=None, email="new@x.example", braze_id="b9"),
        event("users.messages.pushnotification.Open", 2, external_id=None, braze_id="b9", channel="push"),
        event("users.messages.pushnotification.Open", 3, external_id="c-9", braze_id="b9", channel="push"),
        event(EMAIL + "Click", 4, external_id=None, alias_label="shop", alias_name="9"),
        event(STATE_CHANGE, 5, external_id=None, email="new@x.example", state="unsubscribed", source="SDK"),
    ]
    inbox.add([post(events)])
    fold_all(inbox, ledger, clock)
    assert known_people(ledger, SYNC, rows_of(key=[1], external_id=["c-1"])).measures.is_empty()
    assert ledger.known_people(SYNC).height == 4
    row = rows_of(key=[9], external_id=["c-9"], email=[" New@X.example"], alias_label=["shop"], alias_name=["9"])
    known = known_people(ledger, SYNC, row)
    (told,) = known.measures.to_dicts()
    assert (told["key"], told["email_opens"], told["email_clicks"], told["push_opens"]) == (9, 1, 1, 2)
    assert known.consents.rows() == [(9, "email", "unsubscribed", at(5), "SDK")]
    assert known.found == 4


def test_what_is_folded_is_counted_and_found(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    named = {"email": "a@x.example", "campaign_id": "spring", "campaign_name": "Spring"}
    opened = event(EMAIL + "Open", 1, **named)
    inbox.add(
        [post([opened, opened, event(EMAIL + "Open", 2, external_id="c-2"), event("users.behaviors.CustomEvent", 3)])]
    )
    report = asyncio.run(fold_inbox(SYNC, inbox, LedgerThread(ledger), clock, kinds=("email",)))
    assert +report.events == {"folded": 2, "other_types": 1, "duplicates": 1}
    known = known_people(ledger, SYNC, rows_of(key=[1], email=["a@x.example"]))
    assert known.measures.select("key", "email_opens", "last_campaign_name").rows() == [(1, 1, "Spring")]
    assert (known.found, ledger.known_people(SYNC).height) == (1, 2)
    assert ledger.campaign_days(SYNC, at(0).date()).select("campaign_name", "opens").rows() == [("Spring", 1)]
    assert ledger.campaign_days(SYNC, at(86_400).date()).is_empty()


def test_an_address_tells_of_every_row_that_has_it(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    inbox.add([post([event(STATE_CHANGE, 1, external_id=None, email="a@x.example", state="unsubscribed", source="S")])])
    fold_all(inbox, ledger, clock)
    known = known_people(ledger, SYNC, rows_of(key=[1, 2, 3], email=["a@x.example", "A@x.example", "b@x.example"]))
    assert known.consents["key"].to_list() == [1, 2]
    assert known.found == 1


def test_ids_differing_by_case_are_two_people(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    inbox.add([post([event(EMAIL + "Open", 1, external_id="A"), event(EMAIL + "Open", 2, external_id="a")])])
    fold_all(inbox, ledger, clock)
    known = known_people(ledger, SYNC, rows_of(key=[1, 2], external_id=["A", "a"]))
    assert known.measures["email_opens"].to_list() == [1, 1]


def test_states_that_are_known_are_told_to_the_polls(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    changes = [
        event(GROUP_CHANGE, each, group_id="news", state=state)
        for each, state in ((1, "subscribed"), (2, "unsubscribed"))
    ]
    inbox.add([post(changes)])
    fold_all(inbox, ledger, clock)
    assert known_states(ledger, SYNC, ["c-1", "c-2"]).rows() == [("c-1", "news", "unsubscribed")]


IDS, ADDRESSES = Keyspace("external_id", naming=NAMING), Keyspace("email", naming=NAMING)


def erase(ledger: Ledger, keyspace: Keyspace, *keys: str) -> None:
    ledger.request_erasure("customers", keyspace, keys, by="a test")
    digests = ledger.key_digests(keyspace, keys)
    ledger.mark_proven("customers", keyspace, list(ledger.erased(digests).values()))


def people(ledger: Ledger) -> set[tuple[str, str]]:
    return set(ledger.known_people(SYNC).select("person_kind", "person").rows())


def test_an_erased_person_leaves_the_state_with_address_and_profile(
    inbox: Inbox, ledger: Ledger, clock: VirtualClock
) -> None:
    shared = "shared@x.example"
    inbox.add(
        [
            post(
                [
                    event(EMAIL + "Open", 1, external_id="C-1", email="one@x.example", braze_id="b1"),
                    event(EMAIL + "Open", 2, external_id=None, email="one@x.example"),
                    event("users.messages.pushnotification.Open", 3, external_id=None, braze_id="b1", channel="push"),
                    event(STATE_CHANGE, 4, external_id="C-1", state="unsubscribed"),
                    event(EMAIL + "Open", 5, external_id="c-2", email=shared),
                    event(EMAIL + "Open", 6, external_id="c-3", email=shared),
                    event(EMAIL + "Open", 7, external_id=None, email=shared),
                ]
            )
        ]
    )
    fold_all(inbox, ledger, clock)
    assert len(people(ledger)) == 6
    by_address = ("email", ledger.address_digests(pl.Series([shared]))[0])
    erase(ledger, IDS, "c-1")
    assert people(ledger) == {("external_id", "c-2"), ("external_id", "c-3"), by_address}
    assert not any("one@x.example" in str(rows) or "C-1" in str(rows) for rows in stored_state(ledger).values())
    erase(ledger, IDS, "c-2")
    assert by_address in people(ledger)
    erase(ledger, IDS, "c-3")
    assert people(ledger) == set()


def test_an_erased_address_leaves_the_state(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    inbox.add([post([event(EMAIL + "Open", 1, external_id=None, email="one@x.example")])])
    fold_all(inbox, ledger, clock)
    erase(ledger, ADDRESSES, "One@x.example")
    assert people(ledger) == set()


def test_events_of_an_erased_person_are_not_folded(inbox: Inbox, ledger: Ledger, clock: VirtualClock) -> None:
    ledger.request_erasure("customers", IDS, ["c-1"], by="a test")
    ledger.request_erasure("customers", ADDRESSES, ["gone@x.example"], by="a test")
    ledger.request_erasure("customers", Keyspace("user_alias", "shop", naming=NAMING), ["7"], by="a test")
    kept = event(EMAIL + "Open", 4, external_id="c-2", email="here@x.example")
    alias = {"external_id": None, "alias_name": "7"}
    inbox.add(
        [
            post(
                [
                    event(EMAIL + "Open", 1, external_id="C-1"),
                    event(EMAIL + "Open", 2, external_id="c-3", email="gone@x.example"),
                    event(EMAIL + "Open", 3, **alias, alias_label="shop"),
                    event(EMAIL + "Open", 3, **alias, alias_label="other"),
                    kept,
                ]
            )
        ]
    )
    report = fold_all(inbox, ledger, clock)
    assert report.events["erased"] == 3
    assert people(ledger) == {("external_id", "c-2"), ("alias", "other\x1f7")}


def test_whoever_is_erased_while_events_are_folded_is_not_in_the_state(
    inbox: Inbox, ledger: Ledger, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.add([post([event(EMAIL + "Open", 1), event(EMAIL + "Open", 2, external_id="c-2")])])

    def erased_meanwhile(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        erase(ledger, IDS, "c-1")
        return fold(*given, **named)

    monkeypatch.setattr(folding, "fold", erased_meanwhile)
    with pytest.raises(TransientError, match="fold it again"):
        fold_all(inbox, ledger, clock)
    assert people(ledger) == set()
    fold_all(inbox, ledger, clock)
    assert people(ledger) == {("external_id", "c-2")}
