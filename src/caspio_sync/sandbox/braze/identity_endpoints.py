"""Aliases, merging, renaming, group states by POST, and names that were tracked (reference, sections 5, 7, 10.1)."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.checks import STATES, alias_problem
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import PoolLimit
from caspio_sync.sandbox.braze.track import RefusedError, read_body

MOST = 50
_IDENTIFIERS = ("external_id", "user_alias", "email", "phone")
_MERGE_KEYS = {"identifier_to_merge", "identifier_to_keep"}
_BAD_MERGE_IDENTIFIER = (
    "identifiers must be objects with an 'external_id' property that is a string, 'user_alias' property that is an "
    "object, 'email' property that is a string, or 'phone' property that is a string"
)
_BOTH_ADDRESSES = "Either an email address or a phone number should be provided, but not both."
_NAMES_A_PAGE = 250
_EVENTS_A_PAGE = 50


class IdentityEndpoints:
    """Answers from the profiles, and changes them at once.

    Args:
        behaviour: limits and groups.
        store: the profiles.
    """

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore) -> None:
        self._behaviour = behaviour
        self._store = store
        identity = PoolLimit(behaviour, behaviour.identity_per_minute, 60)
        groups = PoolLimit(behaviour, behaviour.group_writes_per_minute, 60)
        lists = PoolLimit(behaviour, behaviour.lists_per_hour, 3600)
        renames, removals = (PoolLimit(behaviour, behaviour.renames_per_minute, 60) for _ in range(2))
        self._posts = {
            "/users/alias/new": self._post("users.alias.new", identity, self._alias_new),
            "/users/alias/update": self._post("users.alias.update", identity, self._alias_update),
            "/users/merge": self._post("users.merge", identity, self._merge, status=202),
            "/users/external_ids/rename": self._post("users.external_ids.rename", renames, self._rename),
            "/users/external_ids/remove": self._post("users.external_ids.remove", removals, self._remove),
            "/subscription/status/set": self._post("subscription.status.set", groups, self._set_state),
            "/v2/subscription/status/set": self._post("subscription.status.set", groups, self._set_states),
        }
        self._gets = {
            "/events/list": self._get("events.list", lists, self._event_names),
            "/events": self._get("events.get", lists, self._events),
            "/purchases/product_list": self._get("purchases.product_list", lists, self._products),
        }

    def route(self, method: str, path: str) -> Endpoint | None:
        """The endpoint, None where there is none."""
        return {"POST": self._posts, "GET": self._gets}.get(method, {}).get(path)

    def _post(
        self,
        permission: str,
        pool: PoolLimit,
        answer: Callable[[dict[str, Any], float], dict[str, Any]],
        *,
        status: int = 201,
    ) -> Endpoint:
        def answered(call: Call) -> Reply:
            return Reply(status, orjson.dumps({"message": "success"} | answer(read_body(call.body), call.now)))

        return Endpoint(permission, lambda call: pool.admit(call.now), answered, looks=True)

    def _get(self, permission: str, pool: PoolLimit, tell: Callable[[dict[str, list[str]]], Reply]) -> Endpoint:
        return Endpoint(
            permission,
            lambda call: pool.admit(call.now),
            lambda call: tell(parse_qs(call.query.decode("latin-1"))),
            looks=True,
        )

    # 5: who a profile is.

    def _alias_new(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        aliases = _entries(body, "user_aliases")
        for each in aliases:
            if type(each) is not dict or alias_problem(each) is not None:
                raise RefusedError(400, "Bad Request: 'user_aliases' holds an entry of another form")
        for each in aliases:
            alias = (each["alias_label"], each["alias_name"])
            number = self._store.find(external_id=each["external_id"]) if "external_id" in each else None
            if number is not None:
                self._store.add_alias(number, alias)
            elif "external_id" not in each and self._store.find(alias=alias) is None:
                named = {"alias_label": alias[0], "alias_name": alias[1]}
                self._store.apply_attributes({"user_alias": named, "_update_existing_only": False}, now)
        return {"aliases_processed": len(aliases)}

    def _alias_update(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        updates = _entries(body, "alias_updates")
        names = ("alias_label", "old_alias_name", "new_alias_name")
        for each in updates:
            if type(each) is not dict or not all(type(each.get(name)) is str and each[name] for name in names):
                raise RefusedError(400, "Bad Request: 'alias_updates' holds an entry of another form")
        for each in updates:
            self._store.rename_alias(*(each[name] for name in names))
        return {}

    def _merge(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        updates = body.get("merge_updates")
        if type(updates) is not list or not all(type(each) is dict for each in updates):
            raise RefusedError(400, "'merge_updates' must be an array of objects")
        if len(updates) > MOST:
            raise RefusedError(400, "a single request may not contain more than 50 merge updates")
        for each in updates:
            if each.keys() != _MERGE_KEYS:
                raise RefusedError(400, "'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'")
            for identifier in each.values():
                if not _is_identifier(identifier):
                    raise RefusedError(400, _BAD_MERGE_IDENTIFIER)
        for each in updates:
            gone, kept = (self._meant(each[name]) for name in ("identifier_to_merge", "identifier_to_keep"))
            if gone is not None and kept is not None and gone != kept:
                self._store.absorb(kept, gone)
        return {}

    def _meant(self, identifier: dict[str, Any]) -> int | None:
        """The one profile; a tie, like a miss, means no action."""
        if (alias := identifier.get("user_alias")) is not None:
            return self._store.find(alias=(alias["alias_label"], alias["alias_name"]))
        if "external_id" in identifier:
            return self._store.find(external_id=identifier["external_id"])
        kind = "email" if "email" in identifier else "phone"
        numbers = self._store.sharing(**{kind: identifier[kind]})
        for order in identifier.get("prioritization", ()):
            if order == "most_recently_updated":
                numbers = self._store.latest(numbers)
            elif order in {"identified", "unidentified"}:
                wanted = order == "identified"
                numbers = [each for each in numbers if ("external_id" in self._store.read(each)) is wanted]
        return numbers[0] if len(numbers) == 1 else None

    def _rename(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        renames = _entries(body, "external_id_renames")
        done: list[str] = []
        errors: list[dict[str, Any]] = []
        for index, each in enumerate(renames):
            pair = (
                (each.get("current_external_id"), each.get("new_external_id")) if type(each) is dict else (None, None)
            )
            sound = all(type(value) is str and value for value in pair)
            fault = self._store.rename(*map(str, pair)) if sound else "an entry of another form"
            if fault is None:
                done.append(str(pair[1]))
            else:
                errors.append({"index": index, "error": fault})
        return {"external_ids": done, "rename_errors": errors}

    def _remove(self, body: dict[str, Any], _now: float) -> dict[str, Any]:
        ids = _entries(body, "external_ids")
        removed = [each for each in ids if type(each) is str and self._store.remove_deprecated(each)]
        errors = [
            {"index": index, "error": "is not a deprecated external id"}
            for index, each in enumerate(ids)
            if each not in removed
        ]
        return {"removed_ids": removed, "removal_errors": errors}

    # 7.1 and 7.2: group states.

    def _set_state(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        if "email" in body and "phone" in body:
            raise RefusedError(400, _BOTH_ADDRESSES)
        self._apply_state(body, ("external_id", "email", "phone"), now)
        return {}

    def _set_states(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        for each in _entries(body, "subscription_groups"):
            if type(each) is not dict or ("emails" in each and "phones" in each):
                raise RefusedError(400, _BOTH_ADDRESSES)
            self._apply_state(each, ("external_ids", "emails", "phones"), now)
        return {}

    def _apply_state(self, told: dict[str, Any], names: tuple[str, ...], now: float) -> None:
        group, state = told.get("subscription_group_id"), told.get("subscription_state")
        if type(group) is not str or group not in self._behaviour.subscription_groups:
            raise RefusedError(400, "Invalid subscription group ID")
        if state not in STATES or state == "opted_in":
            raise RefusedError(400, "Bad Request: 'subscription_state' must be 'subscribed' or 'unsubscribed'")
        asked = [(name.rstrip("s"), value) for name in names for value in _listed(told.get(name))]
        if not 0 < len(asked) <= MOST or not all(type(value) is str and value for _, value in asked):
            raise RefusedError(400, f"Bad Request: 1 to {MOST} of {', '.join(names)} are required")
        channel = self._behaviour.subscription_groups[group]
        wrong = {"email": "phone", "sms": "email"}.get(channel)
        if any(name == wrong for name, _ in asked):
            raise RefusedError(400, f"Bad Request: the group is one of {channel}")
        change = [{"subscription_group_id": group, "subscription_state": state}]
        for name, value in asked:
            for number in self._named(name, value):
                record = self._store.read(number)
                identity = {"braze_id": record["braze_id"]}
                self._store.apply_attributes({**identity, "subscription_groups": change}, now)

    def _named(self, name: str, value: str) -> list[int]:
        if name == "external_id":
            number = self._store.find(external_id=value)
            return [] if number is None else [number]
        return self._store.sharing(**{name: value})

    # 10.1: names of what was tracked.

    def _event_names(self, query: dict[str, list[str]]) -> Reply:
        return _told("events", _page(self._tracked("custom_events"), query))

    def _products(self, query: dict[str, list[str]]) -> Reply:
        return _told("products", _page(self._tracked("purchases"), query))

    def _events(self, query: dict[str, list[str]]) -> Reply:
        names, (cursor,) = self._tracked("custom_events"), query.get("cursor", ["0"])[-1:]
        if not cursor.isascii() or not cursor.isdigit():
            raise RefusedError(400, "Bad Request: 'cursor' is none that was given")
        start = int(cursor)
        more = {"description": "", "included_in_analytics_report": False, "status": "Active", "tag_names": []}
        reply = _told("events", [{"name": name, **more} for name in names[start : start + _EVENTS_A_PAGE]])
        if start + _EVENTS_A_PAGE >= len(names):
            return reply
        link = f'</events?cursor={start + _EVENTS_A_PAGE}>; rel="next"'.encode()
        return reply._replace(headers=[(b"link", link)])

    def _tracked(self, kind: str) -> list[str]:
        return sorted(set(self._names(kind)))

    def _names(self, kind: str) -> Iterator[str]:
        for number in self._store.numbers():
            for entry in self._store.read(number).get(kind) or ():
                yield entry["name"]


def _entries(body: dict[str, Any], name: str) -> list[Any]:
    entries = body.get(name)
    if type(entries) is not list or not entries:
        raise RefusedError(400, f"Bad Request: '{name}' must be an array that is not empty")
    if len(entries) > MOST:
        raise RefusedError(400, "The max number of ids per request was exceeded")
    return entries


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return given if type(given) is list else [given]


def _is_identifier(identifier: Any) -> bool:
    if type(identifier) is not dict:
        return False
    given = [name for name in _IDENTIFIERS if name in identifier]
    if len(given) != 1 or identifier.keys() - {given[0], "prioritization"}:
        return False
    value = identifier[given[0]]
    if given[0] in {"email", "phone"} and type(identifier.get("prioritization")) is not list:
        return False
    return alias_problem(value) is None if given[0] == "user_alias" else type(value) is str and value != ""


def _page(names: list[str], query: dict[str, list[str]]) -> list[str]:
    page = query.get("page", ["0"])[-1]
    if not page.isascii() or not page.isdigit():
        raise RefusedError(400, "Bad Request: 'page' must be a number")
    return names[int(page) * _NAMES_A_PAGE : (int(page) + 1) * _NAMES_A_PAGE]


def _told(name: str, values: list[Any]) -> Reply:
    return Reply(200, orjson.dumps({name: values, "message": "success"}))
