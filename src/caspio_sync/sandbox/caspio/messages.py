"""What a webhook posts: the default payload, chosen fields, or a template; and its signature (5.3, 5.4)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour
from caspio_sync.sandbox.caspio.fields import PK_ID
from caspio_sync.sandbox.caspio.tables import Table
from caspio_sync.sandbox.caspio.webhooks import HookEvent, Webhook

MOST_BYTES = 10_000_000  # a larger message is not sent at all (5.3)
_PLACEHOLDER = re.compile(r"(\"?)\[@(out-hook|sys|field):(\w+)/?\](\"?)")


@dataclass(frozen=True, slots=True)
class Change:
    """What one message tells.

    Args:
        message_id: a UUID; the same at every URL and in every call.
        at: when it happened, UTC to the second, without an offset (2.4).
        rows: the records, as they are now; of a delete as they were.
    """

    message_id: str
    at: str
    rows: tuple[Mapping[str, Any], ...]


def _data(
    table: Table, event: HookEvent, behaviour: CaspioBehaviour, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """`data` of a message: the payload's fields, without lists where a triggered action stands (5.2)."""
    wanted = {each.lower() for each in event.payload_fields}
    triggered = table.name in behaviour.triggered_tables
    kinds = {field.name: field.kind for field in table.fields}
    names = [PK_ID, *(field.name for field in table.fields if field.readable)]
    shown = [
        name
        for name in names
        if (not wanted or name.lower() in wanted) and not (triggered and kinds.get(name) == "list")
    ]
    return [{name: _empty_text(row.get(name), kinds.get(name)) for name in shown} for row in rows]


def _empty_text(value: Any, kind: str | None) -> Any:
    """An empty text is "", all else that is empty null (5.3, INF)."""
    return "" if value is None and kind == "text" else value


def body_of(
    webhook: Webhook, event: HookEvent, change: Change, *, table: Table, call_id: str, behaviour: CaspioBehaviour
) -> bytes:
    """The bytes of one call."""
    data = _data(table, event, behaviour, change.rows)
    words = {
        "eventId": event.id,
        "messageId": change.message_id,
        "webhookId": webhook.id,
        "accountId": behaviour.account_id,
        "secret": webhook.secret,
        "eventDate": change.at,
        "eventType": event.type,
        "objectName": event.table,
    }
    if event.template:
        more = {"callId": call_id, "objectFields": ",".join(event.fields), "IntegrationURL": "https://sandbox"}
        return _rendered(event.template, words | more, data[0]).encode()
    if not behaviour.webhook_secret_in_payload:
        del words["secret"]
    return orjson.dumps(words | {"data": data})


def _rendered(template: str, words: Mapping[str, str], row: Mapping[str, Any]) -> str:
    """A template, written in single quotes, as JSON: what stands in quotes is text, a bare placeholder a value."""
    fields = {name.lower(): value for name, value in row.items()}

    def fill(found: re.Match[str]) -> str:
        opening, group, name, closing = found.groups()
        value = fields.get(name.lower()) if group == "field" else words.get(name, "")
        if not (opening and closing):
            return opening + orjson.dumps(value).decode() + closing
        text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
        return orjson.dumps(text).decode()

    return _PLACEHOLDER.sub(fill, template.replace("'", '"'))


def signature_headers(secret: str, body: bytes, behaviour: CaspioBehaviour) -> dict[str, str]:
    """HMAC-SHA256 over the body's bytes; header, encoding and prefix are OPEN (5.4)."""
    name = behaviour.webhook_signature_header
    if not name:
        return {}
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    hexadecimal = behaviour.webhook_signature_encoding == "hex"
    text = digest.hex() if hexadecimal else base64.b64encode(digest).decode()
    return {name: behaviour.webhook_signature_prefix + text}
