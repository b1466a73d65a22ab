"""`POST /users/delete` (reference, section 5): checked and queued at once, done later."""

from collections.abc import Iterator
from typing import Any

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import alias_problem, id_text
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.track import RefusedError, read_json

MAX_DELETED = 50
KINDS = ("external_ids", "user_aliases", "braze_ids", "email_addresses", "phone_numbers")
_ADDRESSES = {"email_addresses": "email", "phone_numbers": "phone"}
# `least_recently_updated` is for identify and merge only.
_ORDERS = frozenset({"identified", "unidentified", "most_recently_updated"})


class DeleteRequest:
    """A checked body; raises `RefusedError` (400) where Braze would refuse it."""

    def __init__(self, body: bytes, behaviour: BrazeBehaviour) -> None:
        payload = read_json(body)
        given = [kind for kind in KINDS if kind in payload] if type(payload) is dict else []
        if len(given) != 1:
            raise RefusedError(400, f"Bad Request: exactly one of {', '.join(KINDS)} is required")
        (self._kind,) = given
        self._form = behaviour.delete_address_form
        self._items: list[Any] = payload[self._kind]
        if self._kind == "external_ids" and type(self._items) is list:
            self._items = [id_text(item, behaviour) for item in self._items]
        self._check()

    def _check(self) -> None:
        if type(self._items) is not list or not self._items:
            raise RefusedError(400, f"Bad Request: '{self._kind}' must be an array that is not empty")
        if len(self._items) > MAX_DELETED:
            raise RefusedError(400, "The max number of ids per request was exceeded")
        if self._kind == "user_aliases":
            sound = not any(alias_problem(item) for item in self._items)
        elif self._kind in _ADDRESSES:
            sound = all(map(self._is_address, self._items))
        else:
            sound = all(type(item) is str and item for item in self._items)
        if not sound:
            raise RefusedError(400, f"Bad Request: '{self._kind}' holds an entry of another form")

    def _is_address(self, item: Any) -> bool:
        if type(item) is str:
            return self._form != "object" and bool(item)
        if type(item) is not dict or self._form == "string":
            return False
        orders = item.get("prioritization")
        return (
            type(item.get(_ADDRESSES[self._kind])) is str
            and type(orders) is list
            and bool(orders)
            and all(type(order) is str and order in _ORDERS for order in orders)
            and not {"identified", "unidentified"} <= set(orders)
        )

    def answer(self) -> bytes:
        """How many are queued; whether they have a profile is seen when their turn comes."""
        return orjson.dumps({"deleted": len(self._items), "message": "success"})

    def apply(self, store: ProfileStore) -> None:
        """Delete the profiles as they are now."""
        for number in self._meant(store):
            if number is not None:
                store.delete(number)

    def _meant(self, store: ProfileStore) -> Iterator[int | None]:
        for item in self._items:
            if self._kind == "external_ids":
                yield store.find(external_id=item)
            elif self._kind == "user_aliases":
                yield store.find(alias=(item["alias_label"], item["alias_name"]))
            elif self._kind == "braze_ids":
                yield store.find_braze_id(item)
            else:
                yield self._one_of_those_sharing(store, item)

    def _one_of_those_sharing(self, store: ProfileStore, item: Any) -> int | None:
        """The one profile that the order selects; a tie means no action."""
        field = _ADDRESSES[self._kind]
        address, orders = (item, []) if type(item) is str else (item[field], item["prioritization"])
        numbers = store.sharing(**{field: address})
        for order in orders:
            if order == "most_recently_updated":
                numbers = store.latest(numbers)
            else:
                identified = order == "identified"
                numbers = [one for one in numbers if ("external_id" in store.read(one)) is identified]
        return numbers[0] if len(numbers) == 1 else None
