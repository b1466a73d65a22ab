"""The account's outgoing webhooks and their events, and the operations of REST v3 on them (5.1, 5.6).

Unlike tables, nothing here is wrapped in `Result`; a request says `EventType`, an answer `Type`.
"""

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson

from caspio_sync.clock import Clock
from caspio_sync.sandbox.caspio.account import Account, forbidden
from caspio_sync.sandbox.caspio.app import Answer, Request
from caspio_sync.sandbox.caspio.behaviour import Refusal, bad_body, no_field, no_object
from caspio_sync.sandbox.caspio.requests import json_object

EVENT_TYPES = ("table.recordInsert", "table.recordUpdate", "table.recordDelete")
SOURCES = ("Datasheet", "DataPages", "RESTAPIs", "TriggeredActions", "Tasks")
_BY = "sandbox"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_WEBHOOK_KEYS = {"Name", "Description", "OutgoingUrls", "CallThrottling"}
_EVENT_KEYS = {
    *("EventType", "ObjectName", "ObjectFields", "EventSources"),
    *("CustomPayloadFields", "CustomPayloadTemplate", "Enabled"),
}


@dataclass(slots=True)
class Counters:
    """What Caspio counts of the last 30 days; the emulator since it began."""

    messages: int = 0
    calls: int = 0
    errors: int = 0

    def as_read(self) -> dict[str, int]:
        """As an answer shows them."""
        return {"Messages": self.messages, "Calls": self.calls, "Errors": self.errors}


@dataclass(slots=True)
class HookEvent:
    """What makes messages: a kind of change of one table.

    Args:
        id: constant; it names no delivery.
        type: one of EVENT_TYPES.
        table: its name as declared.
        fields: of an update: which fields have to change; none for any.
        sources: whose changes it hears.
        payload_fields: what `data` holds; none for all.
        template: the message, in single quotes; "" for the default.
        active: an inactive one makes no messages: what changes meanwhile is lost to it.
        created: when.
        counters: of it.
    """

    id: str
    type: str
    table: str
    fields: tuple[str, ...]
    sources: tuple[str, ...]
    payload_fields: tuple[str, ...]
    template: str
    active: bool
    created: str
    counters: Counters = field(default_factory=Counters)

    def as_read(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {
            "Id": self.id,
            "Type": self.type,
            "Status": _status(active=self.active),
            "ObjectName": self.table,
            "ObjectFields": list(self.fields),
            "EventSources": list(self.sources),
            "CustomPayloadFields": list(self.payload_fields),
            "CustomPayloadTemplate": self.template or None,
            "DateCreated": self.created,
            "CreatedBy": _BY,
        }


@dataclass(slots=True)
class Webhook:
    """Where messages go.

    Args:
        id: of it.
        name: one in the account.
        description: of it.
        urls: each message goes to every one of them.
        throttling: calls a second, at most.
        secret: signs its messages; shown by the call that makes it and never again (5.4).
        created: when.
        modified: when last.
        events: by id.
        counters: of all of its events.
    """

    id: str
    name: str
    description: str
    urls: tuple[str, ...]
    throttling: int
    secret: str
    created: str
    modified: str
    events: dict[str, HookEvent] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    def as_listed(self) -> dict[str, Any]:
        """As the list shows it."""
        return {
            "Id": self.id,
            "Status": _status(active=not self.events or any(each.active for each in self.events.values())),
            "Name": self.name,
            "Description": self.description,
            "OutgoingUrls": list(self.urls),
            "CallThrottling": self.throttling,
            "LastModified": self.modified,
            "ModifiedBy": _BY,
            "DateCreated": self.created,
            "CreatedBy": _BY,
        }

    def as_created(self) -> dict[str, Any]:
        """As it is shown once: with its secret."""
        names = ("Id", "Name", "Description", "OutgoingUrls", "CallThrottling")
        shown = self.as_listed()
        made = {"Secret": self.secret, "DateCreated": self.created, "CreatedBy": _BY}
        return {name: shown[name] for name in names} | made


class Webhooks:
    """Every webhook of the account, and what answers for them.

    Args:
        account: its tables.
        clock: dates what is made.
    """

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._behaviour = account.behaviour
        self._clock = clock
        self.random = random.Random(account.behaviour.seed)  # noqa: S311 - secrets of an emulator guard nothing
        self.made: dict[str, Webhook] = {}

    def listening(self, table: str, source: str) -> list[tuple[Webhook, HookEvent]]:
        """The active events that hear changes of a table from a source."""
        return [
            (webhook, event)
            for webhook in self.made.values()
            for event in webhook.events.values()
            if event.active and event.table == table and source in event.sources
        ]

    def __call__(self, request: Request) -> Answer:
        """Answer a request below `outgoingWebhooks`; raises Refusal."""
        if not self._behaviour.all_objects:  # the right that managing webhooks takes (1.3)
            raise forbidden("outgoingWebhooks")
        method = request.method
        match request.path[1:]:
            case () if method == "GET":
                return _shown([each.as_listed() for each in self.made.values()])
            case () if method == "POST":
                return self._create(json_object(request))
            case (webhook,):
                return self._one(method, self._webhook(webhook), request)
            case (webhook, "events") if method == "GET":
                return _shown([each.as_read() for each in self._webhook(webhook).events.values()])
            case (webhook, "events") if method == "POST":
                return self._create_event(self._webhook(webhook), json_object(request))
            case (webhook, "events", event):
                return self._one_event(method, self._webhook(webhook), event, request)
            case () | (_, "events"):
                raise _no_method(method)
        raise no_object("/".join(request.path))

    # ---- webhooks

    def _webhook(self, name: str) -> Webhook:
        if name not in self.made:
            raise no_object(name)
        return self.made[name]

    def _create(self, body: Mapping[str, Any]) -> Answer:
        values = self._checked(body, _WEBHOOK_KEYS, None)
        if "Name" not in values or "OutgoingUrls" not in values:
            raise bad_body("Name and OutgoingUrls are required")
        now = self._now()
        made = Webhook(
            id=self._new_id(),
            name=values["Name"],
            description=values.get("Description", ""),
            urls=values["OutgoingUrls"],
            throttling=values.get("CallThrottling", self._behaviour.webhook_calls_per_second),
            secret=f"{self.random.getrandbits(256):064x}",
            created=now,
            modified=now,
        )
        self.made[made.id] = made
        return _shown(made.as_created(), HTTPStatus.CREATED)

    def _one(self, method: str, webhook: Webhook, request: Request) -> Answer:
        if method == "GET":
            return _shown(webhook.as_listed() | {"Events": len(webhook.events)} | webhook.counters.as_read())
        if method == "DELETE":
            del self.made[webhook.id]
            return Answer(HTTPStatus.NO_CONTENT)
        if method != "PUT":
            raise _no_method(method)
        values = self._checked(json_object(request), {*_WEBHOOK_KEYS, "Enabled"}, webhook)
        if not values:
            raise bad_body("at least one of Name, Description, OutgoingUrls, CallThrottling, Enabled")
        webhook.name = values.get("Name", webhook.name)
        webhook.description = values.get("Description", webhook.description)
        webhook.urls = values.get("OutgoingUrls", webhook.urls)
        webhook.throttling = values.get("CallThrottling", webhook.throttling)
        if "Enabled" in values:
            for event in webhook.events.values():
                event.active = values["Enabled"]
        webhook.modified = self._now()
        return _shown(webhook.as_listed())

    def _checked(self, body: Mapping[str, Any], known: set[str], own: Webhook | None) -> dict[str, Any]:
        """The body's values, where a webhook may have them."""
        _refuse_unknown(body, known)
        values = dict(body)
        others = [each for each in self.made.values() if each is not own]
        if "Name" in values:
            _text(values, "Name")
            if any(each.name == values["Name"] for each in others):
                raise bad_body("a webhook of this name exists already")
        if "Description" in values:
            _text(values, "Description", empty=True)
        if "OutgoingUrls" in values:
            values["OutgoingUrls"] = self._urls(values["OutgoingUrls"], others)
        most = self._behaviour.webhook_calls_per_second
        if (calls := values.get("CallThrottling", 1)) is not None and not (type(calls) is int and 1 <= calls <= most):
            raise bad_body(f"CallThrottling is a whole number from 1 to {most}, the plan's maximum")
        if values.get("CallThrottling", 1) is None:
            del values["CallThrottling"]
        if not isinstance(values.get("Enabled", True), bool):
            raise bad_body("Enabled is true or false")
        return values

    def _urls(self, given: Any, others: list[Webhook]) -> tuple[str, ...]:
        if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
            raise bad_body("OutgoingUrls is an array of addresses")
        if len(given) > 1 and not self._behaviour.webhook_multicast:
            raise bad_body("the plan of this account allows one outgoing URL a webhook")
        for each in given:
            parts = urlsplit(each)
            # To this machine the emulator calls in clear as well; Caspio never does.
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
                raise bad_body("an outgoing URL begins with https://")
            if len(set(given)) < len(given) or any(each in other.urls for other in others):
                raise bad_body("the outgoing URL is used by a webhook already")
        return tuple(given)

    # ---- events

    def _create_event(self, webhook: Webhook, body: Mapping[str, Any]) -> Answer:
        made = self._event(body, self._new_id(), self._now(), default=None)
        self._refuse_same(webhook, made)
        webhook.events[made.id] = made
        return _shown(made.as_read(), HTTPStatus.CREATED)

    def _one_event(self, method: str, webhook: Webhook, name: str, request: Request) -> Answer:
        if name not in webhook.events:
            raise no_object(name)
        event = webhook.events[name]
        if method == "GET":
            return _shown(event.as_read() | {"ObjectId": f"t-{event.table}"} | event.counters.as_read())
        if method == "DELETE":
            del webhook.events[name]
            return Answer(HTTPStatus.NO_CONTENT)
        if method != "PUT":
            raise _no_method(method)
        changed = self._event(json_object(request), event.id, event.created, default=event)
        self._refuse_same(webhook, changed)
        changed.counters = event.counters
        webhook.events[name] = changed
        return _shown(changed.as_read())

    def _event(self, body: Mapping[str, Any], new_id: str, created: str, *, default: HookEvent | None) -> HookEvent:
        _refuse_unknown(body, _EVENT_KEYS)
        if body.get("EventType") not in EVENT_TYPES or not isinstance(body.get("ObjectName"), str):
            raise bad_body(f"EventType is one of {', '.join(EVENT_TYPES)}, ObjectName the name of a table")
        table = self._account.table(body["ObjectName"])
        fields = _names(body, "ObjectFields", () if default is None else default.fields)
        payload = _names(body, "CustomPayloadFields", () if default is None else default.payload_fields)
        unknown = [each for each in (*fields, *payload) if each.lower() not in {*table.by_name, "pk_id"}]
        if unknown:
            raise no_field(unknown)
        if fields and body["EventType"] != "table.recordUpdate":
            raise bad_body("ObjectFields belongs to table.recordUpdate")
        sources = _names(body, "EventSources", SOURCES if default is None else default.sources) or SOURCES
        if set(sources) - set(SOURCES):
            raise bad_body(f"EventSources is some of {', '.join(SOURCES)}")
        template = body.get("CustomPayloadTemplate", "" if default is None else default.template) or ""
        enabled = body.get("Enabled", True if default is None else default.active)
        if not isinstance(template, str) or not isinstance(enabled, bool):
            raise bad_body("CustomPayloadTemplate is a text, Enabled is true or false")
        return HookEvent(new_id, body["EventType"], table.name, fields, sources, payload, template, enabled, created)

    def _refuse_same(self, webhook: Webhook, event: HookEvent) -> None:
        """One event of a type a table; of updates one for all fields, or several for different ones (5.1)."""
        for other in webhook.events.values():
            alike = other.id != event.id and (other.table, other.type) == (event.table, event.type)
            if alike and (not other.fields or not event.fields or set(other.fields) & set(event.fields)):
                raise bad_body("the webhook has an event of this configuration already")

    def _new_id(self) -> str:
        return "".join(self.random.choices(string.ascii_lowercase + string.digits, k=6))

    def _now(self) -> str:
        return f"{self._clock.now():%Y-%m-%dT%H:%M:%S}"


def _status(*, active: bool) -> str:
    return "Active" if active else "Inactive"


def _shown(value: Any, status: int = HTTPStatus.OK) -> Answer:
    return Answer(status, orjson.dumps(value))


def _no_method(method: str) -> Refusal:
    message = f"The requested resource does not support http method '{method}'."
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message)


def _refuse_unknown(body: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(body) - known):
        raise bad_body(f"there is no {', '.join(unknown)}")


def _text(values: Mapping[str, Any], name: str, *, empty: bool = False) -> None:
    if not isinstance(values[name], str) or not (empty or values[name].strip()):
        raise bad_body(f"{name} is a text")


def _names(body: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    given = body.get(name)
    if given is None:
        return default
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise bad_body(f"{name} is an array of names")
    return tuple(given)
