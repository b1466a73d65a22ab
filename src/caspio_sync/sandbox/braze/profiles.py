"""The profiles of the emulated workspace, and what an accepted object does to them (reference, sections 3.2 to 3.8)."""

from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from caspio_sync.sandbox.braze.attributes import DROPPED, STRUCTURAL, normal_phone, phone_is_valid, standard_attributes
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import STATES, email_problem
from caspio_sync.sandbox.braze.custom import CustomAttributes
from caspio_sync.sandbox.braze.dates import iso, parse_instant
from caspio_sync.sandbox.braze.identities import IdentityChanges
from caspio_sync.sandbox.braze.index import SharedIndex
from caspio_sync.sandbox.braze.merging import merged_records

Record = dict[str, Any]

_SPECIAL = frozenset({"email_subscribe", "push_subscribe", "subscription_groups", "current_location"})
_HANDLED_APART = STRUCTURAL | {"email", "phone"}
_IDENTIFIED = 1 << 62
PROPAGATION_LIMIT = 100
"""A state change reaches at most this many other profiles with the same address (Braze, subscriptions)."""


class ProfileStore(IdentityChanges):
    """Profiles by number, each held as the JSON of its record: about a third of what Python objects would take.

    A record has the export's field names, plus `subscription_groups` (id → state), `created` (epoch seconds) and
    `updated` (a counter: the order of writes decides which of several profiles with one address is meant).
    """

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._records: list[bytes] = []
        self._by_external_id: dict[str, int] = {}
        self._deprecated: dict[str, int] = {}
        self._by_alias: dict[tuple[str, str], int] = {}
        self._by_token: dict[str, int] = {}
        self._by_email = SharedIndex()
        self._by_phone = SharedIndex()
        self._custom = CustomAttributes(behaviour)
        self._standard = standard_attributes(behaviour)
        # Both addresses have paths of their own.
        self._standard_phone = self._standard.pop("phone")
        self._writes = 0
        # When a profile was last written, ahead of all others where it has an external id.
        self._recency = array("q")
        self.on_state: Callable[[Record, str, str, float], None] = lambda *_: None
        """Told of every state that a profile named by a write takes: field or group, state, epoch seconds."""

    def __len__(self) -> int:
        return sum(map(bool, self._records))

    def numbers(self) -> Iterator[int]:
        """Every profile, in order of creation."""
        return (number for number, record in enumerate(self._records) if record)

    def read(self, number: int) -> Record:
        """The record of a profile, a copy."""
        record: Record = orjson.loads(self._records[number])
        return record

    def find_braze_id(self, braze_id: str) -> int | None:
        """The profile Braze numbered so."""
        try:
            number = int(braze_id, 16) - 1
        except ValueError:
            return None
        return number if 0 <= number < len(self._records) and self._records[number] else None

    def sharing(self, *, email: str | None = None, phone: str | None = None) -> list[int]:
        """Profiles with that address or number."""
        if email is not None:
            return self._by_email.find(self._folded(email))
        return self._by_phone.find(normal_phone(phone)) if phone is not None else []

    def external_ids(self) -> Iterator[tuple[str, int]]:
        """External id and number of every identified profile."""
        return iter(self._by_external_id.items())

    def replace(self, number: int, record: Record) -> None:
        """Write a record back whose identity and addresses are what they were."""
        self._write(number, record)

    # What identifying does.

    def attach(self, number: int, external_id: str) -> None:
        """Give a profile its external id."""
        self._by_external_id[external_id] = number
        self._write(number, {"external_id": external_id, **self.read(number)})

    def absorb(self, kept: int, gone: int) -> None:
        """Merge a profile into another and remove it; the kept one's values win (Braze, POST /users/identify)."""
        target, source = self.read(kept), self.read(gone)
        self._remove(gone, source)
        if (former := source.get("external_id")) is not None:  # of two identified ones, by POST /users/merge
            self._by_external_id.pop(former)
            if "external_id" not in target:
                self._by_external_id[former] = kept
        for field, index in (("email", self._by_email), ("phone", self._by_phone)):
            if field in source and field not in target:
                index.add(self._address(field, source[field]), kept)
        merged = merged_records(target, source)
        self._by_alias |= {(a["alias_label"], a["alias_name"]): kept for a in merged.get("user_aliases") or ()}
        self._by_token |= {token["token"]: kept for token in merged.get("push_tokens") or ()}
        self._write(kept, merged)

    def _remove(self, number: int, record: Record) -> None:
        for field, index in (("email", self._by_email), ("phone", self._by_phone)):
            if field in record:
                index.discard(self._address(field, record[field]), number)
        self._records[number] = b""

    def _address(self, field: str, value: str) -> str:
        return self._folded(value) if field == "email" else normal_phone(value)

    def latest(self, numbers: list[int]) -> list[int]:
        """The one of several that was updated last."""
        return sorted(numbers, key=lambda number: self.read(number)["updated"])[-1:]

    def delete(self, number: int) -> None:
        """Forget a profile; its number is not given again."""
        record = self.read(number)
        self._by_external_id.pop(record.get("external_id", ""), None)
        self._deprecated = {former: each for former, each in self._deprecated.items() if each != number}
        for alias in record.get("user_aliases") or ():
            self._by_alias.pop((alias["alias_label"], alias["alias_name"]), None)
        for token in record.get("push_tokens") or ():
            self._by_token.pop(token["token"], None)
        self._remove(number, record)

    # What accepted objects do.

    def apply_attributes(self, item: dict[str, Any], when: float) -> None:
        """Write one attributes object, accepted at `when` (epoch seconds)."""
        found = self._identify(item, when)
        if found is None:
            return
        number, record = found
        # A new address resets states, so it comes before the states that travel with it.
        if "email" in item:
            self._set_email(number, record, item["email"])
        if "phone" in item:
            self._set_phone(number, record, item["phone"])
        self._set_fields(number, record, item, when)
        if "push_tokens" in item:
            self._by_token |= {token["token"]: number for token in record.get("push_tokens") or ()}
        self._write(number, record)

    def _set_fields(self, number: int, record: Record, item: dict[str, Any], when: float) -> None:
        merge = item.get("_merge_objects") is True
        custom = record.setdefault("custom_attributes", {})
        standard, apply_custom = self._standard, self._custom.apply
        for name, value in item.items():
            if name in standard:
                fitted = value if value is None else standard[name](value)
                if fitted is None:
                    record.pop(name, None)
                elif fitted is not DROPPED:
                    record[name] = fitted
            elif name in _SPECIAL:
                self._set_special(number, record, name, value, when)
            elif name not in _HANDLED_APART:
                apply_custom(custom, name, value, merge=merge)

    def apply_event(self, item: dict[str, Any], when: float) -> None:
        """Count one event; equal events are separate events (Braze does not deduplicate)."""
        self._count("custom_events", (item["name"], 1), item, when)

    def apply_purchase(self, item: dict[str, Any], when: float) -> None:
        """Count one purchase, as often as its quantity; revenue is price times quantity."""
        quantity = item.get("quantity", 1)
        number = self._count("purchases", (str(item["product_id"]), quantity), item, when)
        if number is not None:
            record = self.read(number)
            record["total_revenue"] = record.get("total_revenue", 0.0) + item["price"] * quantity
            self._write(number, record)

    def _count(self, kind: str, what: tuple[str, int], item: dict[str, Any], when: float) -> int | None:
        found = self._identify(item, when)
        if found is None:
            return None
        number, record = found
        name, times = what
        instant = parse_instant(item["time"])
        present = datetime.fromtimestamp(when, UTC)
        # A time in the future is replaced by the present one.
        at = iso(min(instant or present, present))
        entries: list[dict[str, Any]] = record.setdefault(kind, [])
        entry = next((held for held in entries if held["name"] == name), None)
        if entry is None:
            entries.append({"name": name, "first": at, "last": at, "count": times})
        else:
            entry["first"] = min(entry["first"], at)
            entry["last"] = max(entry["last"], at)
            entry["count"] += times
        self._write(number, record)
        return number

    # Who is meant.

    def _identify(self, item: dict[str, Any], when: float) -> tuple[int, Record] | None:
        """The profile an object means, made where it may be; None where the object has no effect.

        A new profile's record is written by the caller.
        """
        update_only = item.get("_update_existing_only")
        if "external_id" in item:
            external_id = str(item["external_id"])
            number = self.find(external_id=external_id)
            if number is None and update_only is not True:
                self._by_external_id[external_id] = len(self._records)
                return self._create({"external_id": external_id}, when)
        elif "user_alias" in item:
            # With an alias, update-only is the default (Braze, user attributes object).
            return self._identify_alias(item["user_alias"], create=update_only is False, when=when)
        elif "braze_id" in item:
            number = self.find_braze_id(item["braze_id"])
        elif item.get("push_token_import") is True:
            # A token already known is ignored; else a temporary anonymous profile is made.
            known = any(token["token"] in self._by_token for token in item["push_tokens"])
            return None if known else self._create({}, when)
        else:
            number = self._most_recent(self._sharing(item))
            if number is None and update_only is not True and not self._has_invalid_phone(item):
                return self._create_addressed(item, when)
        return None if number is None else (number, self.read(number))

    def _identify_alias(self, alias: dict[str, str], *, create: bool, when: float) -> tuple[int, Record] | None:
        key = (alias["alias_label"], alias["alias_name"])
        number = self._by_alias.get(key)
        if number is not None:
            return number, self.read(number)
        if not create:
            return None
        self._by_alias[key] = len(self._records)
        return self._create({"user_aliases": [dict(alias)]}, when)

    def _sharing(self, item: dict[str, Any]) -> list[int]:
        if type(item.get("email")) is str:
            return self.sharing(email=item["email"])
        return self.sharing(phone=item["phone"])

    @staticmethod
    def _has_invalid_phone(item: dict[str, Any]) -> bool:
        return type(item.get("email")) is not str and not phone_is_valid(item["phone"])

    def _create_addressed(self, item: dict[str, Any], when: float) -> tuple[int, Record]:
        # The address is on the profile from its making on, whichever array named it.
        number, record = self._create({}, when)
        if type(item.get("email")) is str:
            self._set_email(number, record, item["email"])
        else:
            self._set_phone(number, record, item["phone"])
        return number, record

    def _most_recent(self, numbers: list[int]) -> int | None:
        """Of several, the most recently updated with an external id, else the most recently updated."""
        if len(numbers) < 2:
            return numbers[0] if numbers else None
        return max(numbers, key=self._recency.__getitem__)

    def _create(self, identity: Record, when: float) -> tuple[int, Record]:
        number = len(self._records)
        record = {
            **identity,
            "braze_id": f"{number + 1:024x}",
            "created": round(when, 3),
            "email_subscribe": "subscribed",
            "push_subscribe": "subscribed",
            "updated": 0,
        }
        self._records.append(b"")
        self._recency.append(0)
        return number, record

    def _write(self, number: int, record: Record) -> None:
        self._writes += 1
        record["updated"] = self._writes
        self._recency[number] = self._writes + (_IDENTIFIED if "external_id" in record else 0)
        # Copied, as orjson's own result keeps the buffer it was written in: 8 KB for a profile of 600 bytes.
        self._records[number] = bytes(memoryview(orjson.dumps(record)))

    # Addresses and the states that hang on them.

    def _folded(self, email: str) -> str:
        return email.lower() if self._behaviour.email_lookup_ignores_case else email

    def _set_email(self, number: int, record: Record, email: Any) -> None:
        if email is not None and email_problem(email) is not None:
            return
        old = record.get("email")
        _set_or_remove(record, "email", email)
        self._move(number, record, "email", (old and self._folded(old), email and self._folded(email)))

    def _set_phone(self, number: int, record: Record, phone: Any) -> None:
        if phone is not None and self._standard_phone(phone) is DROPPED:
            return
        old = record.get("phone")
        _set_or_remove(record, "phone", phone)
        self._move(number, record, "phone", (old and normal_phone(old), phone and normal_phone(phone)))

    def _move(self, number: int, record: Record, field: str, keys: tuple[str | None, str | None]) -> None:
        """Change an address: its states become the new address's own, or fall back to where a new one starts."""
        old, new = keys
        if old == new:
            return
        index = self._by_email if field == "email" else self._by_phone
        if old is not None:
            index.discard(old, number)
        if new is not None:
            self._inherit(record, field, self._most_recent(index.find(new)))
            index.add(new, number)

    def _inherit(self, record: Record, field: str, holder: int | None) -> None:
        source = self.read(holder) if holder is not None else {}
        held, inherited = record.get("subscription_groups"), source.get("subscription_groups")
        if held or inherited:
            channels = self._behaviour.subscription_groups
            channel = "email" if field == "email" else "sms"
            kept = {group: state for group, state in (held or {}).items() if channels.get(group) != channel}
            taken = {group: state for group, state in (inherited or {}).items() if channels.get(group) == channel}
            record["subscription_groups"] = kept | taken
        if field == "email":
            inherits = holder is not None and not self._behaviour.resubscribe_on_update
            record["email_subscribe"] = source["email_subscribe"] if inherits else "subscribed"

    def _set_special(self, number: int, record: Record, name: str, value: Any, when: float) -> None:
        if name == "current_location":
            if value is None:
                record.pop("last_coordinates", None)
            else:
                record["last_coordinates"] = [value["longitude"], value["latitude"]]
        elif name == "subscription_groups":
            self._set_groups(number, record, value, when)
        elif value in STATES:
            changed = record.get(name) != value
            record[name] = value
            if changed:
                self.on_state(record, name, value, when)
            if name == "email_subscribe" and changed and "email" in record:
                for other in self._others(number, record, "email"):
                    other_record = self.read(other)
                    other_record[name] = value
                    self._write(other, other_record)

    def _set_groups(self, number: int, record: Record, groups: list[dict[str, str]], when: float) -> None:
        for group in groups:
            group_id, state = group["subscription_group_id"], group["subscription_state"]
            if (record.get("subscription_groups") or {}).get(group_id) != state:
                self.on_state(record, group_id, state, when)
            record.setdefault("subscription_groups", {})[group_id] = state
            field = "email" if self._behaviour.subscription_groups[group_id] == "email" else "phone"
            for other in self._others(number, record, field):
                other_record = self.read(other)
                other_record.setdefault("subscription_groups", {})[group_id] = state
                self._write(other, other_record)

    def _others(self, number: int, record: Record, field: str) -> list[int]:
        if field not in record:
            return []
        index = self._by_email if field == "email" else self._by_phone
        key = self._folded(record[field]) if field == "email" else normal_phone(record[field])
        if not index.is_shared(key):
            return []
        return [other for other in index.find(key) if other != number][:PROPAGATION_LIMIT]


def _set_or_remove(record: Record, field: str, value: Any) -> None:
    if value is None:
        record.pop(field, None)
    else:
        record[field] = value
