"""`POST /users/identify`: an anonymous profile gets an external id, or goes into its owner (reference, section 5)."""

from collections.abc import Callable
from typing import Any

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import alias_problem, email_problem, id_text
from caspio_sync.sandbox.braze.profiles import ProfileStore, Record
from caspio_sync.sandbox.braze.track import RefusedError, read_json

MAX_IDS = 50
EXTERNAL_ID_BYTES = 987
ALIASES, EMAILS, PHONES = "aliases_to_identify", "emails_to_identify", "phone_numbers_to_identify"
IDENTIFY_ARRAYS = (ALIASES, EMAILS, PHONES)
_NAMED_BY = {ALIASES: "user_alias", EMAILS: "email", PHONES: "phone"}
_GROUPS = frozenset({"identified", "unidentified"})
_ORDERS = frozenset({"most_recently_updated", "least_recently_updated"})


def check_identify(body: bytes, behaviour: BrazeBehaviour) -> int:
    """How many entries a body holds; raises `RefusedError` (400) where Braze would refuse it."""
    payload = read_json(body)
    if type(payload) is not dict or not any(payload.get(name) for name in IDENTIFY_ARRAYS):
        raise RefusedError(400, f"Bad Request: one of {', '.join(IDENTIFY_ARRAYS)} is required")
    entries = [(name, payload.get(name) or []) for name in IDENTIFY_ARRAYS]
    if not all(type(items) is list for _, items in entries):
        raise RefusedError(400, f"Bad Request: {', '.join(IDENTIFY_ARRAYS)} must be arrays")
    count = sum(len(items) for _, items in entries)
    if count > MAX_IDS:
        raise RefusedError(400, "The max number of ids per request was exceeded")
    for name, items in entries:
        for item in items:
            _check_entry(name, item, behaviour)
    return count


def _check_entry(name: str, item: Any, behaviour: BrazeBehaviour) -> None:
    by = _NAMED_BY[name]
    known = {"external_id", by} | (set() if name == ALIASES else {"prioritization"})
    if type(item) is not dict or item.keys() != known:
        raise RefusedError(400, f"Bad Request: each entry of '{name}' must have {', '.join(sorted(known))}")
    external_id = id_text(item["external_id"], behaviour)
    if type(external_id) is not str or not 0 < len(external_id.encode()) <= EXTERNAL_ID_BYTES:
        raise RefusedError(400, "Bad Request: 'external_id' must be a string of 1 to 987 bytes")
    if name == ALIASES:
        unsound = alias_problem(item[by]) is not None
    else:
        unsound = type(item[by]) is not str or (name == EMAILS and email_problem(item[by]) is not None)
        _check_prioritization(item["prioritization"])
    if unsound:
        raise RefusedError(400, f"Bad Request: '{by}' is not valid")


def _check_prioritization(words: Any) -> None:
    sound = type(words) is list and words and set(words) <= _GROUPS | _ORDERS and len(_GROUPS & set(words)) < 2
    if not sound:
        raise RefusedError(400, "Bad Request: 'prioritization' holds words that are not known, or both groups")


def identify(array: str, store: ProfileStore) -> Callable[[dict[str, Any], float], None]:
    """What writes one accepted entry of `array` at a time (epoch seconds)."""

    def apply(item: dict[str, Any], _when: float) -> None:
        number = _meant(store, array, item)
        if number is None or "external_id" in store.read(number):
            return  # a miss is silent success, and an identified profile keeps its id
        external_id = str(item["external_id"])
        owner = store.find(external_id=external_id)
        if owner is None:
            store.attach(number, external_id)
        elif array != ALIASES or not _has_label(store.read(owner), item["user_alias"]["alias_label"]):
            store.absorb(owner, number)

    return apply


def _meant(store: ProfileStore, array: str, item: dict[str, Any]) -> int | None:
    """The one profile that the entry names; a tie, like a miss, means no action."""
    if array == ALIASES:
        alias = item["user_alias"]
        return store.find(alias=(alias["alias_label"], alias["alias_name"]))
    numbers = store.sharing(email=item["email"]) if array == EMAILS else store.sharing(phone=item["phone"])
    records = {number: store.read(number) for number in numbers}
    for word in item["prioritization"]:
        if word in _GROUPS:
            wanted = word == "identified"
            records = {number: record for number, record in records.items() if ("external_id" in record) is wanted}
        elif records:
            chosen = max if word == "most_recently_updated" else min
            number = chosen(records, key=lambda each: int(records[each]["updated"]))
            records = {number: records[number]}
    return next(iter(records)) if len(records) == 1 else None


def _has_label(record: Record, label: str) -> bool:
    return any(alias["alias_label"] == label for alias in record.get("user_aliases") or ())
