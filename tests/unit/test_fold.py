"""What events add up to: counts, times, campaigns, states."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from caspio_sync.engagement.events import (
    POLLED_GROUP_STATE,
    POLLED_HARD_BOUNCE,
    POLLED_PROFILE,
    POLLED_UNSUBSCRIBE,
)
from caspio_sync.engagement.fold import Folded, fold
from caspio_sync.engagement.identity import identified
from caspio_sync.engagement.measures import campaign_names, measures, standing
from tests.unit.engagement_model import EMAIL, GROUP_CHANGE, STATE_CHANGE, Event, at, event, frame

NOW = at(3600)


def digests(emails: pl.Series) -> pl.Series:
    return pl.Series([each[::-1] for each in emails], dtype=pl.String)


def folded(*events: Event, kinds: tuple[str, ...] = ()) -> Folded:
    return fold(identified(frame(events), digests, kinds=kinds), now=NOW)


def measured(*events: Event) -> dict[str, Any]:
    """The measures of the one row that all of the events are of."""
    told = folded(*events)
    contacts = told.contacts.with_columns(key=pl.lit(1))
    (row,) = measures(contacts, campaign_names(told.campaign_days)).to_dicts()
    return row


def stands(*events: Event) -> list[tuple[str, str, Any, str]]:
    return standing(folded(*events).consents.with_columns(key=pl.lit(1))).drop("key").rows()


def test_every_kind_of_contact_is_counted_and_its_times_kept() -> None:
    row = measured(
        event(EMAIL + "Send", 0),
        event(EMAIL + "Delivery", 5),
        event(EMAIL + "Open", 60),
        event(EMAIL + "Open", 90),
        event(EMAIL + "Click", 95),
        event(EMAIL + "MarkAsSpam", 100),
        event(EMAIL + "Unsubscribe", 110),
        event("users.messages.pushnotification.Open", 40, channel="push"),
        event("users.messages.sms.DeliveryFailure", 41, channel="sms"),
        event("users.messages.contentcard.Impression", 42, channel="content_card"),
    )
    counts = {name: row[f"email_{name}"] for name in ("sent", "delivered", "opens", "clicks", "complaints")}
    assert counts == {"sent": 1, "delivered": 1, "opens": 2, "clicks": 1, "complaints": 1}
    assert row["email_unsubscribes"] == row["push_opens"] == row["sms_bounces"] == row["content_card_opens"] == 1
    assert row["email_first_at"] == at(0)
    assert row["email_last_delivered_at"] == at(5)
    assert row["email_last_open_at"] == at(90)
    assert row["last_engaged_at"] == row["email_last_click_at"] == at(95)
    assert row["preferred_channel"] == "email"
    assert row["hard_bounced_at"] is None


def test_machines_neither_open_nor_click() -> None:
    row = measured(event(EMAIL + "Open", 1, machine_open=True), event(EMAIL + "Click", 2, bot_click=True))
    assert row["email_machine_opens"] == 1
    assert row["email_opens"] == row["email_clicks"] == 0
    assert row["last_engaged_at"] is None
    assert row["preferred_channel"] is None


def test_a_late_event_changes_the_past_alone() -> None:
    row = measured(event(EMAIL + "Open", 500), event(EMAIL + "Open", -90_000))
    assert row["email_opens"] == 2
    assert row["email_first_at"] == at(-90_000)
    assert row["email_last_open_at"] == at(500)


def test_a_bounce_is_a_hard_one_whoever_tells_it_and_counted_once() -> None:
    polled = event(POLLED_HARD_BOUNCE, 31, email="a@x.example", external_id=None)
    row = measured(event(EMAIL + "Bounce", 30), event(EMAIL + "SoftBounce", 99), polled)
    assert row["email_bounces"] == 1
    assert row["hard_bounced_at"] == at(31)


def test_the_last_campaign_is_that_of_the_newest_contact_by_its_newest_name() -> None:
    row = measured(
        event(EMAIL + "Send", 1, campaign_id="spring", campaign_name="Spring"),
        event(EMAIL + "Send", 3, campaign_id="summer", campaign_name="Draft"),
        event(EMAIL + "Delivery", 4, canvas_id="welcome"),
        event(EMAIL + "Open", 5, campaign_id="summer", campaign_name="Summer"),
        event(EMAIL + "Open", 9, campaign_id="spring", campaign_name="Spring", machine_open=True),
    )
    assert (row["last_campaign_id"], row["last_campaign_name"], row["last_campaign_at"]) == ("summer", "Summer", at(5))


def test_a_profile_tells_the_last_campaign_without_currents() -> None:
    row = measured(event(POLLED_PROFILE, 7, channel=None, campaign_id="spring", campaign_name="Spring"))
    assert (row["last_campaign_id"], row["email_sent"]) == ("spring", None)


def test_days_of_campaigns_are_those_of_utc() -> None:
    midnight = 15 * 3600
    days = folded(
        event(EMAIL + "Send", midnight - 1, campaign_id="a", campaign_name="Old"),
        event(EMAIL + "Send", midnight, campaign_id="a", campaign_name="New"),
        event(EMAIL + "Open", midnight, canvas_id="b", external_id=None),
    ).campaign_days
    told = days.select("campaign_kind", "campaign_id", "day", "sent", "opens").sort("campaign_id", "day").rows()
    assert told == [
        ("campaign", "a", date(2026, 7, 1), 1, 0),
        ("campaign", "a", date(2026, 7, 2), 1, 0),
        ("canvas", "b", date(2026, 7, 2), 0, 1),
    ]
    assert campaign_names(days).filter(pl.col("campaign_id") == "a")["campaign_name"].to_list() == ["New"]


def test_what_is_not_kept_is_counted_by_its_type() -> None:
    told = folded(
        event("users.behaviors.CustomEvent", 1),
        event("users.messages.telepathy.Wink", 2),
        event("users.messages.featureflag.Impression", 3, channel="feature_flag"),
        event(EMAIL + "Open", 4, external_id=None),
        event(EMAIL + "Open", 2 * 86_400 + 1),
    )
    assert told.counts == {"folded": 1, "other_types": 3, "nobody": 1, "future": 1}
    assert set(told.other_types) == {
        "users.behaviors.CustomEvent",
        "users.messages.telepathy.Wink",
        "users.messages.featureflag.Impression",
    }
    assert told.contacts.is_empty()


@pytest.mark.parametrize(
    ("named", "kind", "person"),
    [
        ({"external_id": "c-1", "email": "a@x.example", "braze_id": "b"}, "external_id", "c-1"),
        ({"alias_label": "shop", "alias_name": "7", "email": "a@x.example"}, "alias", "shop\x1f7"),
        ({"email": "a@x.example", "braze_id": "b"}, "email", "elpmaxe.x@a"),
        ({"braze_id": "b"}, "braze_id", "b"),
    ],
)
def test_a_person_is_the_best_identifier_of_the_event(named: dict[str, Any], kind: str, person: str) -> None:
    contacts = folded(event(EMAIL + "Open", 1, **{"external_id": None, **named})).contacts
    assert contacts.select("person_kind", "person").rows() == [(kind, person)]


def test_a_sync_by_email_names_people_by_their_address_first() -> None:
    contacts = folded(event(EMAIL + "Open", 1, email="a@x.example"), kinds=("email",)).contacts
    assert contacts["person_kind"].to_list() == ["email"]


def test_no_address_is_kept() -> None:
    named = {"email": "a@x.example", "phone": "+34600000001"}
    told = folded(event(EMAIL + "Open", 1, **named), event(STATE_CHANGE, 1, state="subscribed", **named))
    kept = told.contacts.write_json() + told.consents.write_json() + told.campaign_days.write_json()
    assert "elpmaxe.x@a" in kept
    assert not any(each in kept for each in named.values())


def test_a_state_is_the_newest_and_of_two_in_one_second_the_most_restrictive() -> None:
    told = stands(
        event(STATE_CHANGE, 5, state="unsubscribed", source="Preference Center"),
        event(STATE_CHANGE, 9, state="subscribed", source="SDK"),
        event(GROUP_CHANGE, 9, group_id="news", state="subscribed", source="Dashboard"),
        event(GROUP_CHANGE, 9, group_id="news", state="unsubscribed", source="List-Unsubscribe"),
    )
    assert told == [
        ("email", "subscribed", at(9), "SDK"),
        ("news", "unsubscribed", at(9), "List-Unsubscribe"),
    ]


def test_a_click_on_an_unsubscribe_link_is_no_state() -> None:
    assert stands(event(EMAIL + "Unsubscribe", 5)) == []


def test_a_state_that_is_seen_again_is_no_newer() -> None:
    seen = [event(POLLED_GROUP_STATE, 60 * day, group_id="news", state="unsubscribed") for day in range(3)]
    assert stands(*seen) == [("news", "unsubscribed", at(0), POLLED_GROUP_STATE)]
    told = event(GROUP_CHANGE, 30, group_id="news", state="subscribed", source="SDK")
    assert stands(*seen, told) == [("news", "unsubscribed", at(30), POLLED_GROUP_STATE)]


def test_what_the_rest_api_wrote_stands_beside_what_others_changed() -> None:
    told = stands(
        event(STATE_CHANGE, 5, state="unsubscribed", source="List-Unsubscribe"),
        event(STATE_CHANGE, 8, state="subscribed", source="REST API"),
    )
    assert told == [
        ("email", "unsubscribed", at(5), "List-Unsubscribe"),
        ("email", "subscribed", at(8), "REST API"),
    ]


def test_a_polled_unsubscribe_is_a_change_at_its_own_time() -> None:
    polled = event(POLLED_UNSUBSCRIBE, 5, external_id=None, email="a@x.example", state="unsubscribed")
    assert stands(polled) == [("email", "unsubscribed", at(5), POLLED_UNSUBSCRIBE)]


def test_a_state_nobody_knows_and_an_unknown_one_are_no_states() -> None:
    assert stands(event(STATE_CHANGE, 5, state="hibernating"), event(STATE_CHANGE, 6)) == []


def test_a_clock_may_be_fast_by_a_day() -> None:
    told = folded(event(EMAIL + "Open", 3600 + 86_400), event(EMAIL + "Open", 3600 + 86_401))
    assert (told.counts["folded"], told.counts["future"]) == (1, 1)
