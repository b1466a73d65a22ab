"""The help desk once more: a ticket sends its customer a message instead of being an event."""

from datetime import timedelta
from typing import Any

import orjson

from caspio_sync.sandbox.braze.behaviour import ORDER_CAMPAIGN, ORDER_MAIL
from tests.torture.tickets import TicketShop, Told
from tests.torture.watched_events import WatchedEvents

_SYNC = """\
kind: triggers
source: {{table: Tickets{cursor}}}
identity: {{external_id: CustomerNo}}
campaign_id: {campaign}
transactional: {transactional}
time: OpenedAt
trigger_properties: {{ref: Ref, version: Version, priority: Priority}}
on_update: {on_update}
when_lost: {when_lost}
gate: {{max_quarantined_rows: 2}}
"""


class ToldMessages(Told):
    """What the sync file says; transactional e-mail is known again there, and sent again where its answer was lost."""

    transactional = False

    @property
    def text(self) -> str:
        return _SYNC.format(
            cursor=", cursor: ChangedAt" if self.cursor else "",
            campaign=ORDER_MAIL if self.transactional else ORDER_CAMPAIGN,
            transactional=str(self.transactional).lower(),
            on_update=self.on_update,
            when_lost=self.when_lost,
        )


class MessageShop(TicketShop):
    """Tickets of people who are known in Braze; none is an order."""

    def __init__(self, rng: Any, clock: Any) -> None:
        super().__init__(rng, clock)
        told = ToldMessages(self.told.cursor, self.told.on_update, self.told.when_lost)
        told.transactional = rng.random() < 0.4
        if told.transactional:
            told.when_lost = "resend"
        self.told = told
        for number in range(1, 5):
            self.braze.store.apply_attributes(
                {"external_id": f"c{number}", "email": f"c{number}@example.com"},
                (clock.now() - timedelta(days=1)).timestamp(),
            )


class WatchedMessages(WatchedEvents):
    """Messages: each once, or in doubt; one that Braze knows again arrives once whatever is repeated."""

    shop: MessageShop

    def made_shop(self) -> MessageShop:
        return MessageShop(self.rng, self.clock)

    def people_in(self, path: str, body: bytes) -> set[str]:
        if not path.startswith(("/campaigns/", "/transactional/")):
            return set()
        told = orjson.loads(body)
        named = told.get("recipients") or ([told["recipient"]] if told.get("recipient") else [])
        return {str(each["external_user_id"]) for each in named}

    def look(self) -> None:
        messages = self.shop.braze.messages
        fresh, self._last_request = messages[self._last_request :], len(messages)
        for each in fresh:
            version = (str(each.properties["ref"]), float(each.properties["version"]))
            if self.shop.told.transactional and self.arrivals[version]:  # type: ignore[attr-defined]
                self.faults.append(f"{version} was sent again though Braze knows it by its key")
            self.note_arrival(version)
