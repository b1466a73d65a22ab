"""The endpoints that send messages: messages, campaigns, Canvases, transactional e-mail (reference, section 13)."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.checks import alias_problem
from caspio_sync.sandbox.braze.messaging import Messaging
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import Admission, PoolLimit
from caspio_sync.sandbox.braze.track import RefusedError, read_body

MAX_RECIPIENTS = 50
PROPERTIES_BYTES = 51_200
DEDUPLICATED_SECONDS = 24 * 3600
TOO_MANY = "The max number of external_ids and aliases per request was exceeded"
NO_RECIPIENTS = "No Recipients"
_TRANSACTIONAL = re.compile(r"/transactional/v1/campaigns/([^/]+)/send")
_SEND_ID = re.compile(r"[\x20-\x7e]{1,64}")
_EXTERNAL_SEND_ID = re.compile(r"[a-zA-Z0-9\-_+/=]+")
_IDENTIFIERS = ("external_user_id", "user_alias", "braze_id", "email")
_ORDERS = frozenset({"identified", "unidentified", "most_recently_updated", "least_recently_updated"})
_COMMON = frozenset({"broadcast", "audience", "recipients"})
_CAMPAIGN = _COMMON | {"campaign_id", "send_id", "trigger_properties", "attachments"}
_CANVAS = _COMMON | {"canvas_id", "context", "canvas_entry_properties"}
_TRANSACTION = frozenset({"external_send_id", "trigger_properties", "recipient"})
_RECIPIENT = frozenset({*_IDENTIFIERS, "prioritization", "send_to_existing_only", "attributes"})
_MESSAGE = frozenset(
    {"external_user_ids", "user_aliases", "segment_id", "audience", "broadcast", "campaign_id", "send_id", "messages"}
    | {"override_frequency_capping", "recipient_subscription_state"}
)
_CHANNELS = frozenset(
    {"android_push", "apple_push", "content_card", "email", "kindle_push", "web_push", "webhook", "whats_app", "sms"}
)


class SentMessage(NamedTuple):
    """A message to one person who was there.

    Args:
        of: id of the campaign or Canvas; "" of messages without one.
        who: the recipient's identifier, as it was given.
        properties: the recipient's own over those of the request.
        dispatch_id: of the request.
        send_id: `send_id`, or `external_send_id`; None where there was none.
    """

    of: str
    who: Any
    properties: dict[str, Any]
    dispatch_id: str
    send_id: str | None


class SendingEndpoints:
    """Takes sends, and remembers to whom each message went.

    Args:
        behaviour: which campaigns and Canvases there are, and limits.
        store: who is there.
        messaging: campaigns and Canvases that were made besides.
    """

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore, messaging: Messaging) -> None:
        self._behaviour = behaviour
        self._store = store
        self._messaging = messaging
        self._people = PoolLimit(behaviour, behaviour.groups_per_hour, 3600)
        self._broadcasts = PoolLimit(behaviour, behaviour.broadcasts_per_minute, 60)
        self.sent: list[SentMessage] = []
        self.requests = 0  # that were taken
        self._dispatched = 0
        self._seen: dict[tuple[str, str], float] = {}
        self._routes = {
            "/messages/send": self._endpoint("messages.send", self._messages),
            "/campaigns/trigger/send": self._endpoint("campaigns.trigger.send", self._campaign),
            "/canvas/trigger/send": self._endpoint("canvas.trigger.send", self._canvas),
        }

    def route(self, method: str, path: str) -> Endpoint | None:
        """The endpoint, None where there is none."""
        if method != "POST":
            return None
        if (found := _TRANSACTIONAL.fullmatch(path)) is not None:
            campaign = found[1]
            return self._endpoint("transactional.send", lambda body, now: self._transactional(campaign, body, now))
        return self._routes.get(path)

    def _endpoint(self, permission: str, answer: Callable[[dict[str, Any], float], dict[str, Any]]) -> Endpoint:
        def admit(call: Call) -> Admission:
            return (self._broadcasts if b'"broadcast":true' in call.body else self._people).admit(call.now)

        def answered(call: Call) -> Reply:
            told = answer(read_body(call.body), call.now)
            self.requests += 1
            return Reply(201, orjson.dumps(told | {"message": "success"}))

        return Endpoint(permission, admit, answered, looks=True)

    def _campaign(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        _known(body, _CAMPAIGN)
        campaign = self._named(body.get("campaign_id"), self._behaviour.api_campaigns, self._messaging.campaigns)
        send_id = body.get("send_id")
        if send_id is not None and (type(send_id) is not str or not _SEND_ID.fullmatch(send_id)):
            raise RefusedError(400, "Bad Request: 'send_id' must be ASCII of at most 64 characters")
        return self._to_recipients(campaign, body, "trigger_properties", send_id)

    def _canvas(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        _known(body, _CANVAS)
        canvas = body.get("canvas_id")
        if type(canvas) is str and canvas in self._behaviour.paused_canvases:
            _recipients(body, "context")
            return {"dispatch_id": self._dispatch(), "notice": "The Canvas is paused, and nothing was sent."}
        canvas = self._named(canvas, self._behaviour.api_canvases, self._messaging.canvases)
        return self._to_recipients(canvas, body, "context", None)

    def _transactional(self, campaign: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        _known(body, _TRANSACTION)
        if campaign not in self._behaviour.transactional_campaigns:
            raise RefusedError(400, "Invalid Campaign ID")
        recipient, own = body.get("recipient"), _properties(body, "trigger_properties")
        send_id = body.get("external_send_id")
        if send_id is not None and (type(send_id) is not str or not _EXTERNAL_SEND_ID.fullmatch(send_id)):
            raise RefusedError(400, "Bad Request: 'external_send_id' holds characters that it may not")
        if type(recipient) is not dict or recipient.keys() - {"external_user_id", "user_alias", "attributes"}:
            raise RefusedError(400, "Bad Request: 'recipient' must have 'external_user_id' or 'user_alias'")
        who = _who(recipient)
        dispatch_id = self._dispatch()
        told = {"dispatch_id": dispatch_id, "status": "sent", "metadata": {"external_send_id": send_id}}
        if send_id is not None:
            before = self._seen.get((campaign, send_id))
            if before is not None and now - before < DEDUPLICATED_SECONDS:
                return told
            self._seen[campaign, send_id] = now
        self._send(recipient, SentMessage(campaign, who, own, dispatch_id, send_id))
        return told

    def _messages(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        _known(body, _MESSAGE)
        people, aliases, messages = body.get("external_user_ids"), body.get("user_aliases"), body.get("messages")
        given = [
            *({"external_user_id": each} for each in _listed(people, "external_user_ids")),
            *({"user_alias": each} for each in _listed(aliases, "user_aliases")),
        ]
        if type(messages) is not dict or not messages or messages.keys() - _CHANNELS:
            raise RefusedError(400, "No message to send")
        if bool(given) == (body.get("broadcast") is True):
            raise RefusedError(400, NO_RECIPIENTS)
        if len(given) > MAX_RECIPIENTS:
            raise RefusedError(400, TOO_MANY)
        whom = [_who(each) for each in given]
        dispatch_id = self._dispatch()
        for each, who in zip(given, whom, strict=True):
            self._send(each, SentMessage(str(body.get("campaign_id") or ""), who, {}, dispatch_id, body.get("send_id")))
        return {"dispatch_id": dispatch_id}

    def _to_recipients(self, of: str, body: dict[str, Any], properties: str, send_id: str | None) -> dict[str, Any]:
        shared, recipients = _properties(body, properties), _recipients(body, properties)
        dispatch_id = self._dispatch()
        # Of one who is named twice the last is meant (recipient object).
        last = {orjson.dumps(_who(each)): each for each in recipients}
        for each in last.values():
            own = shared | _properties(each, properties)
            self._send(each, SentMessage(of, _who(each), own, dispatch_id, send_id))
        return {"dispatch_id": dispatch_id}

    def _send(self, recipient: Mapping[str, Any], message: SentMessage) -> None:
        """To whoever is there; others are passed over without a word."""
        if self._is_there(recipient) or recipient.get("send_to_existing_only") is False:
            self.sent.append(message)

    def _is_there(self, recipient: Mapping[str, Any]) -> bool:
        if (alias := recipient.get("user_alias")) is not None:
            return self._store.find(alias=(alias["alias_label"], alias["alias_name"])) is not None
        if (braze_id := recipient.get("braze_id")) is not None:
            return self._store.find_braze_id(braze_id) is not None
        if (email := recipient.get("email")) is not None:
            return bool(self._store.sharing(email=email))
        return self._store.find(external_id=recipient["external_user_id"]) is not None

    def _named(self, given: object, known: Mapping[str, str], made: Mapping[str, Any]) -> str:
        if type(given) is not str or (given not in known and given not in made):
            raise RefusedError(400, "Invalid Campaign ID")
        return given

    def _dispatch(self) -> str:
        self._dispatched += 1
        return f"{self._dispatched:032x}"


def _known(body: Mapping[str, Any], names: frozenset[str]) -> None:
    if others := body.keys() - names:
        raise RefusedError(400, f"Bad Request: unknown {', '.join(sorted(others))}")


def _listed(given: object, name: str) -> list[Any]:
    if given is None:
        return []
    if type(given) is not list:
        raise RefusedError(400, f"Bad Request: '{name}' must be an array")
    return given


def _properties(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    names = ("context", "canvas_entry_properties") if name == "context" else (name,)
    given: Any = next((holder[each] for each in names if each in holder), {})
    if type(given) is not dict:
        raise RefusedError(400, f"Bad Request: '{name}' must be an object")
    if len(orjson.dumps(given)) > PROPERTIES_BYTES:
        raise RefusedError(400, f"Bad Request: '{name}' is over 50 KB")
    return given


def _recipients(body: Mapping[str, Any], properties: str) -> list[dict[str, Any]]:
    recipients, broadcast = _listed(body.get("recipients"), "recipients"), body.get("broadcast", False)
    if type(broadcast) is not bool or broadcast == bool(recipients):
        raise RefusedError(400, NO_RECIPIENTS)
    if len(recipients) > MAX_RECIPIENTS:
        raise RefusedError(400, TOO_MANY)
    own = {"context", "canvas_entry_properties"} if properties == "context" else {properties}
    for each in recipients:
        if type(each) is not dict or each.keys() - _RECIPIENT - own:
            raise RefusedError(400, "Bad Request: a recipient holds what is not known")
        _who(each)
        _properties(each, properties)
        existing = each.get("send_to_existing_only", True)
        if type(existing) is not bool or (not existing and ("attributes" not in each or "user_alias" in each)):
            raise RefusedError(400, "Bad Request: 'send_to_existing_only' can be false only with 'attributes'")
    return recipients


def _who(recipient: Mapping[str, Any]) -> Any:
    """The one identifier of a recipient; raises `RefusedError` (400) where it is none, or several."""
    given = [name for name in _IDENTIFIERS if name in recipient]
    if len(given) != 1:
        raise RefusedError(400, "Bad Request: a recipient must have exactly one identifier")
    value = recipient[given[0]]
    sound = alias_problem(value) is None if given[0] == "user_alias" else type(value) is str and value != ""
    orders = recipient.get("prioritization")
    if given[0] == "email":
        listed = type(orders) is list and bool(orders) and set(map(str, orders)) <= _ORDERS
        sound = sound and listed and not {"identified", "unidentified"} <= set(orders or ())
    elif orders is not None:
        sound = False
    if not sound:
        raise RefusedError(400, f"Bad Request: '{given[0]}' is not valid")
    return value
