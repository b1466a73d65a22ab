"""The sandbox's own routes by which the demo lets people read their mail, and Currents tell of it.

POST /sandbox/messages  {"campaigns": {id: name}, "canvases": {id: {"name", "edited", "archived"}},
                         "messages": [{"kind", "external_id", "at", "campaign_id" or "canvas_id", …}],
                         "states": [{"external_id", "change", "at", "source"}]}; a name alone means: edited now
POST /sandbox/currents  {"url", "token", "behaviour": {…}}: a connector sends what waits, until it is taken
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from caspio_sync.clock import Clock
from caspio_sync.sandbox.braze.currents import CurrentsBehaviour, CurrentsConnector
from caspio_sync.sandbox.braze.messaging import Messaging
from caspio_sync.sandbox.braze.track import RefusedError

PATHS = frozenset({"/sandbox/messages", "/sandbox/currents"})


async def answer(path: str, body: bytes | None, messaging: Messaging, clock: Clock) -> dict[str, Any]:
    """Do what one of `PATHS` asks; raises `RefusedError` (400) where it cannot be done."""
    try:
        asked = orjson.loads(body or b"")
        if path == "/sandbox/messages":
            return _messages(asked, messaging, clock)
        connector = CurrentsConnector(
            asked["url"],
            token=asked.get("token"),
            behaviour=CurrentsBehaviour(**asked.get("behaviour", {})),
            clock=clock,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(400, f"{type(error).__name__}: {error}") from error
    return await _deliver(connector, messaging)


def _messages(asked: Mapping[str, Any], messaging: Messaging, clock: Clock) -> dict[str, Any]:
    for kind, add in (("campaigns", messaging.add_campaign), ("canvases", messaging.add_canvas)):
        for sender, told in asked.get(kind, {}).items():
            parts = {"name": told} if isinstance(told, str) else dict(told)
            edited = parts.pop("edited", None)
            add(sender, **parts, edited=clock.now() if edited is None else datetime.fromisoformat(edited))
    for each in asked.get("messages", ()):
        messaging.message(**{**each, "at": datetime.fromisoformat(each["at"])})
    for each in asked.get("states", ()):
        messaging.change_state(**{**each, "at": datetime.fromisoformat(each["at"])})
    return {"waiting": len(messaging.outbox)}


async def _deliver(connector: CurrentsConnector, messaging: Messaging) -> dict[str, Any]:
    """Everything that waits; what a suspended connector has left waits for the next one."""
    events = list(messaging.outbox)
    messaging.outbox.clear()
    connector.queue(events)
    await connector.deliver()
    messaging.outbox.extend(connector.left())
    return {
        "state": connector.state.value,
        "events": len(events),
        "waiting": len(messaging.outbox),
        "dropped": len(connector.dropped),
        "answers": {str(status): count for status, count in sorted(connector.answers.items())},
    }
