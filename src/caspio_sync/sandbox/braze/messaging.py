"""What became of the workspace's messages: the events of Currents, and what the exports tell of them.

One call of `message` is one event. It changes all that Braze would change: the profile, the lists of addresses, the
series of its campaign or canvas, and, where the workspace has Currents, what waits for the connector (reference,
sections 6.1, 8, 10 and 11).
"""

from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.profiles import ProfileStore, Record

Event = dict[str, Any]
# Kind of message event to the series' channel and the counters it adds to (reference, 10.2).
_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "email.Send": ("email", ("sent",)),
    "email.Delivery": ("email", ("delivered",)),
    "email.Open": ("email", ("opens",)),
    "email.Click": ("email", ("clicks",)),
    "email.Bounce": ("email", ("bounces",)),
    "email.MarkAsSpam": ("email", ("reported_spam",)),
    "email.Unsubscribe": ("email", ("unsubscribes",)),
    "pushnotification.Send": ("ios_push", ("sent",)),
    "pushnotification.Open": ("ios_push", ("total_opens", "direct_opens")),
    "pushnotification.Bounce": ("ios_push", ("bounces",)),
    "sms.Send": ("sms", ("sent",)),
    "sms.CarrierSend": ("sms", ("sent_to_carrier",)),
    "sms.Delivery": ("sms", ("delivered",)),
    "sms.Rejection": ("sms", ("rejected",)),
    "sms.DeliveryFailure": ("sms", ("delivery_failed",)),
    "sms.ShortLinkClick": ("sms", ("clicks",)),
    "whatsapp.Send": ("whats_app", ("sent",)),
    "whatsapp.Delivery": ("whats_app", ("delivered",)),
    "whatsapp.Failure": ("whats_app", ("failed",)),
    "whatsapp.Read": ("whats_app", ("read",)),
    "contentcard.Send": ("content_cards", ("sent",)),
    "contentcard.Impression": ("content_cards", ("total_impressions",)),
    "contentcard.Click": ("content_cards", ("total_clicks",)),
    "inappmessage.Impression": ("trigger_in_app_message", ("impressions",)),
    "inappmessage.Click": ("trigger_in_app_message", ("clicks",)),
    "webhook.Send": ("webhook", ("sent",)),
}
CHANNEL_COUNTERS = {
    "email": ("sent opens unique_opens clicks unique_clicks unsubscribes bounces delivered reported_spam"),
    "ios_push": "sent direct_opens total_opens bounces body_clicks",
    "sms": "sent sent_to_carrier delivered rejected delivery_failed clicks opt_out help",
    "whats_app": "sent delivered failed read",
    "content_cards": (
        "sent total_clicks total_dismissals total_impressions unique_clicks unique_dismissals unique_impressions"
    ),
    "trigger_in_app_message": "impressions clicks first_button_clicks second_button_clicks",
    "webhook": "sent errors",
}
_UNIQUE = {"opens": "unique_opens", "clicks": "unique_clicks"}  # per person and campaign
_ENGAGED = {
    "email.Open": "opened_email",
    "email.Click": "clicked_email",
    "pushnotification.Open": "opened_push",
    "inappmessage.Click": "clicked_triggered_in_app_message",
}
_STATE_WORDS = {"opted_in": "Opted In", "subscribed": "Subscribed", "unsubscribed": "Unsubscribed"}
REST_API = "REST API"


class Sender(NamedTuple):
    """A campaign or canvas."""

    id: str
    name: str
    edited: datetime
    archived: bool = False


class Messaging:
    """One workspace's messages.

    Args:
        behaviour: whether it has Currents, and what its groups are.
        store: its profiles; from here on it tells every change of a state.
    """

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore) -> None:
        self._behaviour = behaviour
        self._store = store
        store.on_state = self._state_changed
        self.campaigns: dict[str, Sender] = {}
        self.canvases: dict[str, Sender] = {}
        self.outbox: deque[Event] = deque()
        """Events that the connector has not taken, in the order in which they happened."""
        self.unsubscribes: dict[str, tuple[str, float]] = {}
        """Latest unsubscribe by address without case: the address, and when (epoch seconds)."""
        self.hard_bounces: dict[str, tuple[str, float]] = {}
        self.days: Counter[tuple[str, date, str, str]] = Counter()
        """Campaign or canvas, day, channel, counter."""
        self._seen: set[tuple[str, str, str]] = set()
        self._number = 0
        self._source = REST_API

    # What is set up and what happens; for tests and the demo.

    def add_campaign(self, campaign_id: str, name: str, *, edited: datetime, archived: bool = False) -> None:
        """Make a campaign, or change it."""
        self.campaigns[campaign_id] = Sender(campaign_id, name, edited, archived)

    def add_canvas(self, canvas_id: str, name: str, *, edited: datetime, archived: bool = False) -> None:
        """Make a canvas, or change it."""
        self.canvases[canvas_id] = Sender(canvas_id, name, edited, archived)

    def message(
        self,
        kind: str,
        external_id: str,
        *,
        at: datetime,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        **properties: Any,
    ) -> Event:
        """One event of a message, such as `email.Open`, and its effects.

        Args:
            kind: what follows `users.messages.` in the event's type.
            external_id: of a profile that is there.
            at: when; it may be long past.
            campaign_id: one that was added, or
            canvas_id: one that was added.
            properties: further ones, which win over those made here.
        """
        number = self._number_of(external_id)
        record = self._store.read(number)
        sender = self.campaigns[campaign_id] if campaign_id else self.canvases[canvas_id] if canvas_id else None
        named = {"campaign_id": campaign_id, "campaign_name": sender.name} if campaign_id and sender else {}
        if canvas_id and sender:
            named = {"canvas_id": canvas_id, "canvas_name": sender.name}
        address = _address(kind, record)
        event = self._event(f"users.messages.{kind}", record, at, {**named, **address, **properties})
        if sender is not None:
            self._count(kind, record, sender.id, at.astimezone(UTC).date())
        if campaign_id and sender is not None:
            self._mark_received(number, kind, sender, at)
        if kind == "email.Bounce" and "email" in record and not properties.get("is_drop"):
            self.hard_bounces[record["email"].lower()] = (record["email"], at.timestamp())
        if kind == "email.Unsubscribe":
            self.change_state(external_id, {"email_subscribe": "unsubscribed"}, at=at, source="List-Unsubscribe")
        return event

    def change_state(self, external_id: str, change: dict[str, Any], *, at: datetime, source: str) -> None:
        """A person, or somebody in the dashboard, changes states: `email_subscribe`, `push_subscribe`, groups.

        Args:
            external_id: of a profile that is there.
            change: as attributes of `/users/track`.
            at: when.
            source: one of `state_change_source` (reference, 11.5).
        """
        self._number_of(external_id)
        self._source = source
        try:
            self._store.apply_attributes({"external_id": external_id, **change}, at.timestamp())
        finally:
            self._source = REST_API

    def _number_of(self, external_id: str) -> int:
        number = self._store.find(external_id=external_id)
        if number is None:
            raise KeyError(f"the workspace has no profile {external_id!r}")
        return number

    # Effects.

    def _state_changed(self, record: Record, name: str, state: str, when: float) -> None:
        """The store's report: `name` is email_subscribe, push_subscribe or the id of a subscription group."""
        if name == "email_subscribe" and "email" in record:
            folded = record["email"].lower()
            self.unsubscribes.pop(folded, None)
            if state == "unsubscribed":
                self.unsubscribes[folded] = (record["email"], when)
        if not self._behaviour.currents:
            return
        at = datetime.fromtimestamp(when, UTC)
        properties = {"subscription_status": _STATE_WORDS[state], "state_change_source": self._source}
        if name in {"email_subscribe", "push_subscribe"}:
            channel = name.removesuffix("_subscribe")
            properties |= {"channel": channel} | (_email(record) if channel == "email" else {})
            self._event("users.behaviors.subscription.GlobalStateChange", record, at, properties)
            return
        channel = self._behaviour.subscription_groups[name]
        phone = {"phone_number": record["phone"]} if "phone" in record else {}
        properties |= {"subscription_group_id": name, "channel": channel}
        properties |= _email(record) if channel == "email" else phone
        self._event("users.behaviors.subscriptiongroup.StateChange", record, at, properties)

    def _event(self, kind: str, record: Record, at: datetime, properties: dict[str, Any]) -> Event:
        self._number += 1
        user = {"user_id": record["braze_id"]}
        user |= {"external_user_id": record["external_id"]} if "external_id" in record else {}
        event = {
            "event_type": kind,
            "id": f"00000000-0000-4000-8000-{self._number:012d}",
            "time": int(at.timestamp()),
            "user": user,
            "properties": properties,
        }
        if self._behaviour.currents and ("external_id" in record or self._behaviour.currents_anonymous):
            self.outbox.append(event)
        return event

    def _count(self, kind: str, record: Record, sender: str, day: date) -> None:
        channel, counters = _COUNTERS.get(kind, ("", ()))  # soft bounces, deferrals and others have none
        for counter in counters:
            self.days[sender, day, channel, counter] += 1
            seen = (sender, counter, record["braze_id"])
            if counter in _UNIQUE and channel == "email" and seen not in self._seen:
                self._seen.add(seen)
                self.days[sender, day, channel, _UNIQUE[counter]] += 1

    def _mark_received(self, number: int, kind: str, campaign: Sender, at: datetime) -> None:
        record = self._store.read(number)
        received: list[dict[str, Any]] = record.setdefault("campaigns_received", [])
        entry = next((each for each in received if each["api_campaign_id"] == campaign.id), None)
        if entry is None:
            entry = {"name": campaign.name, "api_campaign_id": campaign.id, "engaged": {}, "converted": False}
            received.append(entry)
        moment = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        if kind.endswith((".Send", ".Delivery")):
            entry["last_received"] = max(entry.get("last_received", moment), moment)
        if kind in _ENGAGED:
            entry["engaged"][_ENGAGED[kind]] = True
        self._store.replace(number, record)

    # What the exports tell.

    def series(self, sender: str, last: date, length: int) -> Iterator[tuple[date, dict[str, list[dict[str, Any]]]]]:
        """Day and `messages` of a campaign or canvas, for so many days, oldest first; days without any are zeros."""
        channels = {channel for each, _, channel, _ in self.days if each == sender}
        for back in range(length - 1, -1, -1):
            day = last - timedelta(days=back)
            yield day, {channel: [self._counters(sender, day, channel)] for channel in sorted(channels)}

    def _counters(self, sender: str, day: date, channel: str) -> dict[str, Any]:
        counters = CHANNEL_COUNTERS[channel].split()
        return {
            "variation_api_id": f"{sender}-1",
            **{name: self.days[sender, day, channel, name] for name in counters},
        }


def _address(kind: str, record: Record) -> dict[str, str]:
    if kind.startswith("email."):
        return _email(record)
    if kind.startswith(("sms.", "whatsapp.")) and "phone" in record:
        return {"to_phone_number": record["phone"]}
    return {}


def _email(record: Record) -> dict[str, str]:
    return {"email_address": record["email"]} if "email" in record else {}
