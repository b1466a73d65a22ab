"""Webhooks of the emulated account, and what they post (reference, section 13).

One event a post, as a form with brackets in its keys; nothing is signed, and nothing is posted a second time by the
account's own will. `deliver` posts what waits: some of it lost, twice, or late, where the behaviour says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from caspio_sync.clock import Clock
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, missing
from caspio_sync.sandbox.activecampaign.store import Contact, Store, moment

EVENTS = (
    "bounce", "click", "contact_tag_added", "contact_tag_removed", "deal_add", "deal_note_add", "deal_pipeline_add",
    "deal_stage_add", "deal_task_add", "deal_task_complete", "deal_tasktype_add", "deal_update", "forward", "list_add",
    "open", "reply", "sent", "share", "sms_reply", "sms_sent", "sms_unsub", "subscribe", "subscriber_note",
    "unsubscribe", "update",
)  # fmt: skip
SOURCES = ("public", "admin", "api", "system")
_GONE = 410


@dataclass(slots=True)
class Webhook:
    """A webhook.

    Args:
        on: whether it posts; off for good once it was answered 410.
    """

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    sources: tuple[str, ...]
    listid: str = "0"
    on: bool = True
    made: float = 0.0

    def shown(self) -> dict[str, Any]:
        """As calls tell it: nothing of whether it is on."""
        told = {"cdate": moment(self.made), "listid": self.listid, "name": self.name, "url": self.url}
        return {**told, "events": list(self.events), "sources": list(self.sources), "links": [], "id": self.id}


@dataclass(slots=True)
class _Post:
    hook: Webhook
    form: bytes
    due: float
    number: int = 0


@dataclass(slots=True)
class Webhooks:
    """Answers calls about webhooks, and posts."""

    behaviour: ActiveCampaignBehaviour
    store: Store
    clock: Clock
    made: dict[str, Webhook] = field(default_factory=dict)
    waiting: list[_Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    posted: int = 0

    def list_all(self, call: Call) -> Reply:
        """GET /webhooks."""
        offset, limit = call.page()
        found = list(self.made.values())
        for name in ("name", "url"):
            if (asked := call.asked(f"filters[{name}]")) is not None:
                found = [each for each in found if asked in getattr(each, name)]
        total: object = str(len(found)) if self.behaviour.totals == "text" else len(found)
        return Reply(
            200, {"webhooks": [each.shown() for each in found[offset : offset + limit]], "meta": {"total": total}}
        )

    def list_events(self, _: Call) -> Reply:
        """GET /webhook/events; its total is a number."""
        return Reply(200, {"webhookEvents": list(EVENTS), "meta": {"total": len(EVENTS)}})

    def create(self, call: Call) -> Reply:
        """POST /webhooks."""
        given = _checked(call.json("webhook"))
        made = Webhook(self.store.number("webhook"), made=call.now, **given)
        self.made[made.id] = made
        return Reply(201, {"webhook": made.shown()})

    def read(self, call: Call) -> Reply:
        """GET /webhooks/{id}."""
        return Reply(200, {"webhook": self._one(call).shown()})

    def change(self, call: Call) -> Reply:
        """PUT /webhooks/{id}; one that was answered 410 stays off."""
        hook = self._one(call)
        for name, value in _checked({**hook.shown(), **call.json("webhook")}).items():
            setattr(hook, name, value)
        return Reply(200, {"webhook": hook.shown()})

    def delete(self, call: Call) -> Reply:
        """DELETE /webhooks/{id}."""
        del self.made[self._one(call).id]
        return Reply(200, {})

    def happened(
        self, kind: str, contact: Contact, by: str, more: Mapping[str, str], *, on: str | tuple[str, ...] = "0"
    ) -> None:
        """Something happened to a contact: whoever listens is told.

        Args:
            kind: of EVENTS.
            contact: whom it is about.
            by: of SOURCES.
            more: the event's own fields.
            on: the list it is about, "0" for none, several for those that were left at once.
        """
        now = self.clock.now().timestamp()
        numbers = (on,) if isinstance(on, str) else on
        for hook in self.made.values():
            heard = kind in hook.events and by in hook.sources and hook.listid in {"0", *numbers}
            if hook.on and heard:
                said = [("type", kind), ("initiated_from", by), ("initiated_by", by), *self._lists(numbers)]
                form = urlencode([*said, *self._about(contact, now), *more.items()]).encode()
                self.waiting.append(_Post(hook, form, now + self.behaviour.hook_delay))

    def _lists(self, numbers: tuple[str, ...]) -> list[tuple[str, str]]:
        several = len(numbers) > 1 or self.behaviour.hook_lists == "array"
        return [("list[][id]" if several else "list", each) for each in numbers]

    def _about(self, contact: Contact, now: float) -> list[tuple[str, str]]:
        when = moment(now)
        if self.behaviour.hook_time == "plain":  # a wall clock of the account
            shifted = datetime.fromtimestamp(now + self.behaviour.zone_minutes * 60, UTC)
            when = shifted.strftime("%Y-%m-%d %H:%M:%S")
        tags = ", ".join(self.store.tags[each] for each in contact.tags)
        return [
            ("date_time", when),
            ("contact[id]", contact.id),
            ("contact[email]", contact.email),
            ("contact[first_name]", contact.own.get("firstName", "")),
            ("contact[last_name]", contact.own.get("lastName", "")),
            ("contact[phone]", contact.own.get("phone", "")),
            ("contact[tags]", tags),
            *((f"contact[fields][{number}]", value) for number, value in contact.values.items()),
        ]

    async def deliver(self, transport: httpx.AsyncBaseTransport) -> None:
        """Post what is due, through a transport."""
        now = self.clock.now().timestamp()
        due, self.waiting = [each for each in self.waiting if each.due <= now], [e for e in self.waiting if e.due > now]
        async with httpx.AsyncClient(transport=transport) as client:
            for post in due:
                self.posted += 1
                if self.posted in self.behaviour.hooks_lost:
                    continue
                for _ in range(2 if self.posted in self.behaviour.hooks_doubled else 1):
                    await self._post(client, post)

    async def _post(self, client: httpx.AsyncClient, post: _Post) -> None:
        if not post.hook.on:
            return
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.post(post.hook.url, content=post.form, headers=kind)
        self.answers.append(answer.status_code)
        post.hook.on = answer.status_code != _GONE

    def _one(self, call: Call) -> Webhook:
        if call.parts[1] not in self.made:
            raise missing("Webhook", call.parts[1])
        return self.made[call.parts[1]]


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a webhook may be made of; raises 400 as the vendor does, without a word."""
    name, url, listid = str(given.get("name") or ""), str(given.get("url") or ""), str(given.get("listid") or "0")
    events, sources = given.get("events"), given.get("sources")
    parts = urlsplit(url)
    secure = parts.scheme == "http" or (parts.scheme == "https" and parts.port in {None, 443})
    if not name or not parts.hostname or not secure:
        raise RefusedError(400, {})
    for chosen, known in ((events, EVENTS), (sources, SOURCES)):
        if not isinstance(chosen, list) or not chosen or not set(chosen) <= set(known):
            raise RefusedError(400, {})
    return {"name": name, "url": url, "listid": listid, "events": tuple(events or ()), "sources": tuple(sources or ())}
