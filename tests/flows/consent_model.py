"""What must hold of consent, in plain Python: no state in Braze is looser than the newest one that was acknowledged.

A state counts as acknowledged once its outcome is committed in the ledger. It may be loosened only by a later version
of its row that states the looser one, passes the gate and lacks nothing the sync requires, and while no other row of
its key states a stricter one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

EMAIL_GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
SMS_GROUP = "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22"
# Caspio's field, by the state it holds in Braze.
STATES = {
    "email_subscribe": "EmailConsent",
    "push_subscribe": "PushConsent",
    EMAIL_GROUP: "EmailGroup",
    SMS_GROUP: "SmsGroup",
}
RANKS = {"opted_in": 0, "subscribed": 1, "unsubscribed": 2}

Row = Mapping[str, Any]
Rows = Sequence[Row]  # of one key


@dataclass
class ConsentModel:
    """Follows what Braze takes and what the ledger commits; `broken` tells where the promise was not kept."""

    rows: Mapping[str, Rows] = field(default_factory=dict)  # the source as the present run finds it, by key
    mapped: frozenset[str] = frozenset(STATES)
    required: str | None = None
    told: dict[str, dict[str, str]] = field(default_factory=dict)  # taken by Braze, not yet committed
    newest: dict[str, dict[str, str]] = field(default_factory=dict)  # acknowledged
    loosened: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def begins(self, rows: Mapping[str, Rows], mapped: frozenset[str], required: str | None) -> None:
        """A run begins on this source; what an earlier run did not commit, nobody knows of."""
        self.rows, self.mapped, self.required = rows, mapped, required
        self.told, self.loosened = {}, []

    def taken(self, body: bytes, rejected: frozenset[tuple[str, int]]) -> None:
        """Braze took a request."""
        for index, item in enumerate(orjson.loads(body)["attributes"]):
            if ("attributes", index) not in rejected:
                self.told.setdefault(item["external_id"], {}).update(told_states(item))

    def committed(self, key: str) -> None:
        """The ledger holds the outcome of what was told of this key."""
        self.newest.setdefault(key, {}).update(self.told.pop(key, {}))

    def check(self, profiles: Mapping[str, Mapping[str, Any]], when: str) -> None:
        """Hold Braze's profiles against the newest states acknowledged."""
        for key, states in self.newest.items():
            for name, state in list(states.items()) if key in profiles else ():
                held = held_state(profiles[key], name)
                if RANKS[held] >= RANKS[state]:
                    continue
                if self._may_loosen(key, name, held):
                    self.loosened.append(f"{key}.{name}")
                    del states[name]
                else:
                    self.broken.append(f"{when}: {key}.{name} is {held}, acknowledged was {state}")

    def _may_loosen(self, key: str, name: str, held: str) -> bool:
        """A row says so that may leave, and none of its key says anything stricter."""
        rows = self.rows.get(key, ())
        if name not in self.mapped or RANKS[held] < strictest(rows, name):
            return False
        return any(row[STATES[name]] == held and is_sound(row) and not self._lacks(row, rows) for row in rows)

    def _lacks(self, row: Row, rows: Rows) -> bool:
        """A row that tells no state has one where another row of its key says "no"."""
        if self.required is None or row[STATES[self.required]] is not None:
            return False
        return strictest(rows, self.required) < RANKS["unsubscribed"]


def strictest(rows: Rows, name: str) -> int:
    """The rank of the strictest state that any of these rows tells; -1 where none does."""
    return max((RANKS[str(row[STATES[name]])] for row in rows if row[STATES[name]] is not None), default=-1)


def is_sound(row: Row) -> bool:
    """Whether the gate passes the row."""
    return str(row["Points"]) != "many"


def told_states(item: Mapping[str, Any]) -> dict[str, str]:
    """The states in an object for Braze, by the names above."""
    told = {name: item[name] for name in ("email_subscribe", "push_subscribe") if name in item}
    groups = item.get("subscription_groups", ())
    return told | {group["subscription_group_id"]: group["subscription_state"] for group in groups}


def held_state(profile: Mapping[str, Any], name: str) -> str:
    """A state of a profile; where Braze has none for a group, nothing keeps messages from leaving."""
    if name in {"email_subscribe", "push_subscribe"}:
        return str(profile[name])
    return str(profile.get("subscription_groups", {}).get(name, "subscribed"))
