"""Event tracking of the emulated account: a host of its own takes events, the API their names.

(reference, section 10)
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, missing
from caspio_sync.sandbox.activecampaign.store import Store, moment

NAME_CHARS = 32
_FORM = b"application/x-www-form-urlencoded"
_FIRST_LOG = 8001


@dataclass(frozen=True, slots=True)
class Tracked:
    """An event that was saved.

    Args:
        id: of its row in the person's log.
        contact: whose it is; None for an address that nobody had then.
        email: as it came, trimmed and lower case.
        name: of the event.
        value: its text, as far as it is kept.
        at: epoch seconds at which it arrived; no event has another time.
    """

    id: str
    contact: str | None
    email: str
    name: str
    value: str
    at: float


class Tracking:
    """Answers calls about events; each call to the event host is one more event.

    Attributes:
        enabled: whether events are saved.
        names: of events, as the account knows them.
        taken: every event that was saved.
    """

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store
        self.enabled = behaviour.tracking_enabled
        self.names: list[str] = []
        self.taken: list[Tracked] = []
        self._times: deque[float] = deque()

    # The API.

    def read(self, _: Call) -> Reply:
        """GET /eventTracking."""
        return Reply(200, {"eventTracking": {"enabled": self.enabled}})

    def switch(self, call: Call) -> Reply:
        """PUT or POST /eventTracking."""
        self.enabled = bool(call.json("eventTracking").get("enabled"))
        return self.read(call)

    def list_names(self, call: Call) -> Reply:
        """GET /eventTrackingEvents; its total is a number (1)."""
        offset, limit = call.page()
        rows = [{"name": name} for name in self.names[offset : offset + limit]]
        return Reply(200, {"eventTrackingEvents": rows, "meta": {"total": len(self.names)}})

    def make_name(self, call: Call) -> Reply:
        """POST /eventTrackingEvents."""
        name = str(call.json("eventTrackingEvent").get("name") or "")
        if not name or len(name) > NAME_CHARS:
            raise RefusedError(400, {})
        if name not in self.names:
            self.names.append(name)
        return Reply(201, {"eventTrackingEvent": {"name": name}})

    def delete_name(self, call: Call) -> Reply:
        """DELETE /eventTrackingEvents/{name}."""
        name = unquote(call.parts[1])
        if name not in self.names:
            raise missing("EventTrackingEvent", name)
        self.names.remove(name)
        return Reply(200, {})

    def logs(self, call: Call) -> Reply:
        """GET /contacts/{id}/trackingLogs."""
        contact = self._store.contact(call.parts[1])
        found = [each for each in self.taken if each.contact == contact.id]
        offset, limit = call.page()
        rows = [
            {
                "subscriberid": contact.id,
                "type": each.name,
                "value": each.value,
                "tstamp": moment(each.at),
                "hash": "",
                "links": {},
                "id": each.id,
                "contact": contact.id,
            }
            for each in found[offset : offset + limit]
        ]
        total: object = str(len(found)) if self._behaviour.totals == "text" else len(found)
        return Reply(200, {"trackingLogs": rows, "meta": {"total": total}})

    # The event host.

    def take(self, content_type: bytes, body: bytes, now: float) -> Reply:
        """POST /event."""
        self._admit(now)
        if content_type.split(b";")[0].strip().lower() != _FORM:
            raise RefusedError(400, {})
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        name, email = form.get("event", ""), _email(form.get("visit"))
        if (fault := self._fault(form, name, email)) is not None:
            if self._behaviour.event_refusal == "400":
                raise RefusedError(400, {})
            return Reply(200, {"success": 0, "message": fault})
        if self.enabled:
            self._save(email, name, form.get("eventdata", ""), now)
        return Reply(200, {"success": 1, "message": "Event spawned"})

    def _admit(self, now: float) -> None:
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        if len(self._times) >= self._behaviour.event_calls_per_second:
            retry = [(b"retry-after", b"%d" % self._behaviour.retry_after)]
            raise RefusedError(429, {"message": "Too Many Requests"}, retry)
        self._times.append(now)

    def _fault(self, form: Mapping[str, str], name: str, email: str) -> str | None:
        behaviour = self._behaviour
        if (form.get("actid"), form.get("key")) != (behaviour.event_id, behaviour.event_key):
            return "Invalid actid or key"
        if not name or len(name) > NAME_CHARS:
            return f"The event needs a name of up to {NAME_CHARS} characters"
        if not email:
            return "The visit needs an email"
        if self._store.by_email(email) is None and behaviour.event_of_nobody == "refused":
            return "Nobody has this email"
        return "Event tracking is disabled" if not self.enabled and behaviour.untracked == "refused" else None

    def _save(self, email: str, name: str, value: str, now: float) -> None:
        if name not in self.names:  # whoever sends an unknown name makes it
            self.names.append(name)
        contact = self._store.by_email(email)
        kept = value[: self._behaviour.event_value_chars]
        number = str(_FIRST_LOG + len(self.taken))
        self.taken.append(Tracked(number, None if contact is None else contact.id, email, name, kept, now))


def _email(visit: str | None) -> str:
    try:
        told: Any = orjson.loads(visit or "")
    except orjson.JSONDecodeError:
        return ""
    return str(told.get("email") or "").strip().lower() if isinstance(told, dict) else ""
