"""An emulator of ActiveCampaign's API v3: strict where its pages speak, with a switch where they are silent.

Who asks is checked, then how often, then the path: as the vendor does, a call that is refused for being one too many
has no effect. `app` is plain ASGI.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.sandbox.activecampaign.automations import Automations
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.bulk import Imports
from caspio_sync.sandbox.activecampaign.calls import Call, Headers, RefusedError, Reply
from caspio_sync.sandbox.activecampaign.contacts import Contacts
from caspio_sync.sandbox.activecampaign.deals import Deals
from caspio_sync.sandbox.activecampaign.fields import Fields
from caspio_sync.sandbox.activecampaign.lists import Lists
from caspio_sync.sandbox.activecampaign.store import ACTIVE, BOUNCED, UNSUBSCRIBED, Contact, Store
from caspio_sync.sandbox.activecampaign.tags import Tags
from caspio_sync.sandbox.activecampaign.tracking import Tracking
from caspio_sync.sandbox.activecampaign.webhooks import Webhooks
from caspio_sync.sandbox.asgi import Receive, Scope, Send, live
from caspio_sync.sandbox.faults import drain

_API = "/api/3"
_EVENT = "/event"
_EVER = math.inf
_TOLD = {ACTIVE: "subscribe", UNSUBSCRIBED: "unsubscribe"}  # what webhooks call a change to a status
_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in</body></html>"
_USER = {"username": "ops", "firstName": "", "lastName": "", "email": "ops@example.org", "phone": "", "id": "1"}
Handler = Callable[[Call], Reply]


class ActiveCampaignSandbox:
    """One account. `app` is the ASGI application; the rest is for tests and set-up.

    Args:
        behaviour: the account's settings.
        clock: what windows and imports go by.

    Attributes:
        event_server: host and port of the event host, as the server names them; None: every host is both.
    """

    def __init__(self, behaviour: ActiveCampaignBehaviour | None = None, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or ActiveCampaignBehaviour()
        self._clock = clock or SystemClock()
        self.event_server: tuple[str, int | None] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget contacts, fields, imports and windows; the lists are those of the behaviour."""
        self.store = Store(self.behaviour)
        self.webhooks = Webhooks(self.behaviour, self.store, self._clock)
        contacts, fields = Contacts(self.behaviour, self.store), Fields(self.behaviour, self.store)
        lists, self.imports = Lists(self.behaviour, self.store, self.webhooks), Imports(self.behaviour, self.store)
        self.tracking, self.deals = Tracking(self.behaviour, self.store), Deals(self.behaviour, self.store)
        tags, automations = Tags(self.behaviour, self.store), Automations(self.behaviour, self.store)
        self._routes: dict[tuple[str, ...], Handler] = {
            ("GET", "users", "me"): lambda _: Reply(200, {"user": _USER}),
            ("POST", "contact", "sync"): contacts.sync,
            ("POST", "contacts"): contacts.create,
            ("GET", "contacts"): contacts.search,
            ("GET", "contacts", "*"): contacts.read,
            ("PUT", "contacts", "*"): contacts.change,
            ("DELETE", "contacts", "*"): contacts.delete,
            ("GET", "contacts", "*", "contactLists"): contacts.read_memberships,
            ("GET", "fields"): fields.list_all,
            ("POST", "fields"): fields.create,
            ("POST", "fieldOption", "bulk"): fields.add_options,
            ("POST", "fieldRels"): fields.relate,
            ("GET", "lists"): lists.list_all,
            ("DELETE", "lists", "*"): lists.delete,
            ("POST", "contactLists"): lists.write,
            ("GET", "contacts", "*", "contactTags"): tags.of_contact,
            ("GET", "tags"): tags.list_all,
            ("POST", "tags"): tags.create,
            ("GET", "tags", "*"): tags.read,
            ("PUT", "tags", "*"): tags.rename,
            ("DELETE", "tags", "*"): tags.delete,
            ("GET", "contactTags"): tags.joins,
            ("POST", "contactTags"): tags.apply,
            ("DELETE", "contactTags", "*"): tags.remove,
            ("GET", "contacts", "*", "contactAutomations"): automations.of_contact,
            ("GET", "contacts", "*", "automationEntryCounts"): automations.counts,
            ("GET", "automations"): automations.list_all,
            ("GET", "contactAutomations"): automations.joins,
            ("POST", "contactAutomations"): automations.enrol,
            ("DELETE", "contactAutomations", "*"): automations.remove,
            ("GET", "webhooks"): self.webhooks.list_all,
            ("POST", "webhooks"): self.webhooks.create,
            ("GET", "webhooks", "*"): self.webhooks.read,
            ("PUT", "webhooks", "*"): self.webhooks.change,
            ("DELETE", "webhooks", "*"): self.webhooks.delete,
            ("GET", "webhook", "events"): self.webhooks.list_events,
            ("POST", "import", "bulk_import"): self.imports.queue,
            ("GET", "import", "info"): self.imports.info,
            ("GET", "eventTracking"): self.tracking.read,
            ("PUT", "eventTracking"): self.tracking.switch,
            ("POST", "eventTracking"): self.tracking.switch,
            ("GET", "eventTrackingEvents"): self.tracking.list_names,
            ("POST", "eventTrackingEvents"): self.tracking.make_name,
            ("DELETE", "eventTrackingEvents", "*"): self.tracking.delete_name,
            ("GET", "contacts", "*", "trackingLogs"): self.tracking.logs,
            ("GET", "contacts", "*", "deals"): self.deals.of_contact,
            ("POST", "deals"): self.deals.create,
            ("GET", "deals"): self.deals.list_all,
            ("GET", "deals", "*"): self.deals.read,
            ("PUT", "deals", "*"): self.deals.change,
            ("DELETE", "deals", "*"): self.deals.delete,
            ("GET", "dealGroups"): self.deals.list_pipelines,
            ("POST", "dealGroups"): self.deals.make_pipeline,
            ("DELETE", "dealGroups", "*"): self.deals.delete_pipeline,
            ("GET", "dealStages"): self.deals.list_stages,
            ("POST", "dealStages"): self.deals.make_stage,
            ("GET", "dealCustomFieldMeta"): self.deals.list_fields,
            ("POST", "dealCustomFieldMeta"): self.deals.make_field,
        }
        self.requests = 0
        self.calls: Counter[str] = Counter()  # by method and path, ids left out
        self.statuses: Counter[int] = Counter()
        self._times: deque[float] = deque()

    # For tests and set-up.

    def settle(self) -> None:
        """Let every queued import take effect now."""
        self.imports.settle(_EVER)

    def contacts(self) -> dict[str, dict[str, Any]]:
        """Contacts by address: their own fields, custom fields by title, lists (status by name), tags."""
        self.settle()
        return {each.email: self._shown(each.id) for each in self.store.contacts.values()}

    def enrolments(self) -> dict[str, dict[str, int]]:
        """By address, how often the contact was enrolled by a call, by the automation's name."""
        names = self.behaviour.automations
        return {
            each.email: {names[number]: times for number, times in each.entered.items()}
            for each in self.store.contacts.values()
            if each.entered
        }

    def set_status(self, email: str, name: str, status: str, by: str = "public") -> None:
        """What the person or an admin did to a membership, beside the API."""
        contact = self._known(email)
        number = next(each for each, known in self.store.lists.items() if known == name)
        self.store.put_on(contact, number, status, self._clock.now().timestamp())
        if status in _TOLD:
            self.webhooks.happened(_TOLD[status], contact, by, {}, on=number)

    def leave(self, email: str, *, told: str = "each") -> None:
        """The person leaves all lists at once.

        Args:
            email: of the contact.
            told: "each": the webhook names the lists; "none": it names list 0.
        """
        contact = self._known(email)
        for number in contact.lists:
            self.store.put_on(contact, number, UNSUBSCRIBED, self._clock.now().timestamp())
        more = {"unsubscribe[reason]": "too many"}
        self.webhooks.happened(
            "unsubscribe", contact, "public", more, on=tuple(contact.lists) if told == "each" else "0"
        )

    def mailed(self, kind: str, email: str, **more: str) -> None:
        """Something became of a mail: sent, open, click, reply; of campaign 3, Spring."""
        told = {"campaign[id]": "3", "campaign[name]": "Spring", **more}
        self.webhooks.happened(kind, self._known(email), "public", told)

    def bounce(self, email: str, *, kind: str = "hard") -> None:
        """Mail to a contact bounced; for good: it is `bounced` on each of its lists."""
        contact = self._known(email)
        self.webhooks.happened("bounce", contact, "system", {"bounce[type]": kind, "bounce[code]": "5.1.1"})
        if kind != "hard":
            return
        contact.bounced = self._clock.now().timestamp()
        for number in contact.lists:
            self.store.put_on(contact, number, BOUNCED, contact.bounced)

    def _known(self, email: str) -> Contact:
        contact = self.store.by_email(email)
        assert contact is not None
        return contact

    def _shown(self, number: str) -> dict[str, Any]:
        contact = self.store.contacts[number]
        return {
            "id": contact.id,
            **contact.own,
            "fields": {self.store.fields[each].title: value for each, value in contact.values.items()},
            "lists": {self.store.lists[each]: row["status"] for each, row in contact.lists.items()},
            "tags": sorted(self.store.tags[each] for each in contact.tags),
            "automations": contact.automations,
        }

    # HTTP.

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = await drain(receive)
        if scope["path"].startswith("/sandbox/"):
            await self._own_route(scope, send)
            return
        self.requests += 1
        now = self._clock.now().timestamp()
        headers: Headers = []
        try:
            if self._is_event_host(scope):
                reply = self._take_event(scope, body, now)
                await self._send(send, reply.status, orjson.dumps(reply.body), headers)
                return
            self._check_key(scope)
            headers = self._admit(now)
            if self.requests in self.behaviour.forbidden_at:
                raise _forbidden("forbidden")
            reply = self._answer(scope, body, now)
            await self._send(send, reply.status, orjson.dumps(reply.body), headers)
        except RefusedError as refusal:
            is_page = isinstance(refusal.body, bytes)
            content = refusal.body if is_page else orjson.dumps(refusal.body)
            kind = b"text/html; charset=utf-8" if is_page else b"application/json"
            await self._send(send, refusal.status, content, [*headers, *refusal.headers], kind)

    def _is_event_host(self, scope: Scope) -> bool:
        if self.event_server is None:
            return bool(scope["path"] == _EVENT)
        return tuple(scope.get("server") or ()) == self.event_server

    def _take_event(self, scope: Scope, body: bytes, now: float) -> Reply:
        """What the event host answers: it knows one path, and asks for no token (10)."""
        if (scope["method"], scope["path"]) != ("POST", _EVENT):
            raise RefusedError(404, {"message": "Not Found"})
        self.calls[f"POST {_EVENT}"] += 1
        return self.tracking.take(_header(scope, b"content-type"), body, now)

    def _answer(self, scope: Scope, body: bytes, now: float) -> Reply:
        self.imports.settle(now)
        method, path = scope["method"], scope["path"]
        call = Call.read(method, path, scope.get("query_string", b""), body, now)
        for route, handler in self._routes.items():
            if path.startswith(_API) and _fits(route, (method, *call.parts)):
                self.calls[" ".join((method, "/".join(route[1:])))] += 1
                if body and not _is_json(scope):
                    raise RefusedError(415, {"message": "Unsupported Media Type"})
                return handler(call)
        raise RefusedError(404, {"message": "Route not found"})

    def _check_key(self, scope: Scope) -> None:
        given = _header(scope, b"api-token").decode("latin-1")
        if given not in self.behaviour.keys:
            if self.behaviour.bad_key == "page":
                raise RefusedError(200, _PAGE)
            raise _forbidden(self.behaviour.bad_key)
        if not self.behaviour.account_active:
            raise RefusedError(402, {"message": "Payment Required"})

    def _admit(self, now: float) -> Headers:
        """A sliding second for the whole account (3)."""
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        limit = self.behaviour.calls_per_second
        if len(self._times) >= limit:
            told = [*_window(limit, 0), (b"retry-after", b"%d" % self.behaviour.retry_after)]
            raise RefusedError(429, {"message": "Too Many Requests"}, told)
        self._times.append(now)
        return _window(limit, limit - len(self._times))

    async def _own_route(self, scope: Scope, send: Send) -> None:
        """The sandbox's own routes, which need no key."""
        match (scope["method"], scope["path"]):
            case ("GET", "/sandbox/state"):
                told: Any = {"requests": self.requests, "calls": dict(self.calls), "contacts": len(self.contacts())}
                told |= {"events": len(self.tracking.taken), "deals": len(self.deals.present())}
                await self._send(send, 200, orjson.dumps(told), [])
            case ("GET", "/sandbox/contacts"):
                lines = b"".join(self._lines())
                await self._send(send, 200, lines, [], b"application/x-ndjson")
            case ("POST", "/sandbox/reset"):
                self.reset()
                await self._send(send, 200, b"{}", [])
            case _:
                await self._send(send, 404, b"{}", [])

    def _lines(self) -> Iterator[bytes]:
        for email, contact in self.contacts().items():
            yield orjson.dumps({"email": email} | contact, option=orjson.OPT_APPEND_NEWLINE)

    async def _send(
        self, send: Send, status: int, body: bytes, headers: Headers, kind: bytes = b"application/json"
    ) -> None:
        self.statuses[status] += 1
        start = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})


def _fits(route: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return len(route) == len(asked) and all(part in {"*", given} for part, given in zip(route, asked, strict=True))


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for each, value in scope["headers"] if each == name), b"")


def _is_json(scope: Scope) -> bool:
    return _header(scope, b"content-type").split(b";")[0].strip().lower() == b"application/json"


def _window(limit: int, left: int) -> Headers:
    return [(b"ratelimit-limit", b"%d" % limit), (b"ratelimit-remaining", b"%d" % left)]


def _forbidden(form: str) -> RefusedError:
    if form == "errors":
        return RefusedError(403, {"errors": [{"status": 403, "title": "Forbidden", "detail": "No access"}]})
    return RefusedError(403, {"message": "Forbidden"})
