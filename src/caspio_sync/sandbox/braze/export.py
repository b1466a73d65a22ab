"""`POST /users/export/ids` (reference, section 6.1)."""

from datetime import UTC, datetime
from typing import Any

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import alias_problem, id_text
from caspio_sync.sandbox.braze.dates import iso, looks_like_instant, parse_instant
from caspio_sync.sandbox.braze.profiles import ProfileStore, Record
from caspio_sync.sandbox.braze.track import RefusedError, read_body

MAX_IDS = 50
FIELDS = frozenset(
    {
        *("apps", "attributed_campaign", "attributed_source", "attributed_adgroup", "attributed_ad"),
        *("push_subscribe", "email_subscribe", "braze_id", "country", "created_at", "custom_attributes"),
        *("custom_events", "devices", "dob", "email", "external_id", "first_name", "gender", "home_city", "language"),
        *("last_coordinates", "last_name", "phone", "purchases", "push_tokens", "random_bucket", "time_zone"),
        *("total_revenue", "uninstalled_at", "user_aliases", "campaigns_received", "canvases_received"),
    }
)
# What recordings show of a profile that has none.
_SHOWN_EMPTY: dict[str, Any] = {"user_aliases": [], "total_revenue": 0.0}
_COUNTED = ("custom_events", "purchases")
_SHOWN_SECONDS = 90 * 86_400.0  # what was not active for longer is left out; what is shown is counted of all time
_LISTED = ("external_ids", "user_aliases")
_SINGLE = ("device_id", "braze_id", "email_address", "phone")


def full_profile(record: Record) -> dict[str, Any]:
    """A record as a profile: fields by name, the creation time as recorded, the random bucket."""
    profile = {name: value for name, value in record.items() if name not in {"created", "updated"}}
    profile["created_at"] = iso(datetime.fromtimestamp(record["created"], UTC))
    # Spread over 0 to 9999, and always the same for a profile.
    profile["random_bucket"] = int(record["braze_id"], 16) * 7919 % 10_000
    profile.setdefault("custom_attributes", {})
    profile.setdefault("subscription_groups", {})
    return profile


def is_slow(body: bytes) -> bool:
    """Whether an export costs the fast limit: no fields are named, or some that are dear; or nobody can read it."""
    try:
        fields = frozenset(orjson.loads(body)["fields_to_export"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return True
    return not fields or not fields.isdisjoint({"campaigns_received", "canvases_received"})


def with_iso_dates(value: Any) -> Any:
    """Dates as instants in UTC, also those an object holds as `$time`; items of an array are never dates."""
    if type(value) is dict and value.keys() == {"$time"}:
        return with_iso_dates(value["$time"])
    if type(value) is dict:
        return {key: with_iso_dates(part) for key, part in value.items()}
    if type(value) is list:
        return [with_iso_dates(part) if type(part) is dict else part for part in value]
    instant = parse_instant(value) if type(value) is str and looks_like_instant(value) else None
    return value if instant is None else iso(instant)


class ExportRequest:
    """A checked body of the export; raises `RefusedError` (400) where Braze would refuse it."""

    def __init__(self, body: bytes, behaviour: BrazeBehaviour) -> None:
        payload = read_body(body)
        self.fields = _fields(payload, behaviour)
        self._payload = payload
        self._behaviour = behaviour
        self._check()

    def _check(self) -> None:
        payload = self._payload
        if not any(payload.get(name) for name in (*_LISTED, *_SINGLE)):
            raise RefusedError(400, "Bad Request: at least one user identifier is required")
        listed = [payload.get(name) or [] for name in _LISTED]
        if not all(type(items) is list for items in listed):
            raise RefusedError(400, "Bad Request: 'external_ids' and 'user_aliases' must be arrays")
        if any(len(items) > MAX_IDS for items in listed):
            raise RefusedError(400, "The max number of external_ids and aliases per request was exceeded")
        if not all(type(id_text(item, self._behaviour)) is str for item in listed[0]):
            raise RefusedError(400, "Bad Request: 'external_ids' must hold strings")
        if any(alias_problem(alias) for alias in listed[1]):
            raise RefusedError(400, "Bad Request: 'user_aliases' must hold alias_name and alias_label")
        if not all(type(payload.get(name, "")) is str for name in _SINGLE):
            raise RefusedError(400, "Bad Request: a single identifier must be a string")

    def answer(self, store: ProfileStore, now: float) -> bytes:
        """The users found, and the identifiers without a profile."""
        found: dict[int, None] = {}
        missing: list[str | int] = []
        for name, number in self._wanted(store):
            if number is None:
                missing.append(name)
            else:
                found[number] = None
        users = [self._user(store.read(number), now) for number in found]
        answer: dict[str, Any] = {"message": "success", "users": users}
        if missing:
            answer["invalid_user_ids"] = missing
        return orjson.dumps(answer)

    def _wanted(self, store: ProfileStore) -> list[tuple[str | int, int | None]]:
        payload = self._payload
        wanted: list[tuple[str | int, int | None]] = [
            (key, store.find(external_id=id_text(key, self._behaviour))) for key in payload.get("external_ids") or ()
        ]
        for alias in payload.get("user_aliases") or ():
            name = alias["alias_name"]
            wanted.append((name, store.find(alias=(alias["alias_label"], name))))
        if braze_id := payload.get("braze_id"):
            wanted.append((braze_id, store.find_braze_id(braze_id)))
        if device := payload.get("device_id"):
            wanted.append((device, None))
        if email := payload.get("email_address"):
            wanted += [(email, number) for number in store.sharing(email=email)] or [(email, None)]
        if phone := payload.get("phone"):
            wanted += [(phone, number) for number in store.sharing(phone=phone)] or [(phone, None)]
        return wanted

    def _user(self, record: Record, now: float) -> dict[str, Any]:
        # Fields without a value are left out; group membership is in no export.
        profile = full_profile(record)
        if self._behaviour.export_dates == "iso":
            profile["custom_attributes"] = with_iso_dates(profile["custom_attributes"])
        if self._behaviour.export_created == "sample":
            profile["created_at"] = profile["created_at"].replace("T", " ").replace("Z", " UTC")
        oldest = iso(datetime.fromtimestamp(now - _SHOWN_SECONDS, UTC))
        for name in _COUNTED:
            profile[name] = [each for each in profile.get(name) or () if each["last"] >= oldest]
        names = FIELDS if self.fields is None else self.fields
        shown = {name: profile[name] for name in profile if name in names and profile[name] not in (None, [], {})}
        if self._behaviour.export_empty == "recorded":
            shown = {name: value for name, value in _SHOWN_EMPTY.items() if name in names} | shown
            if "braze_id" in shown:
                shown["appboy_id"] = shown["braze_id"]  # the name it had before the company was renamed
        return shown


def _fields(payload: dict[str, Any], behaviour: BrazeBehaviour) -> list[str] | None:
    fields = payload.get("fields_to_export")
    if fields is None:
        if behaviour.fields_to_export_required:
            raise RefusedError(400, "Bad Request: 'fields_to_export' is required")
        return None
    if type(fields) is not list or not all(type(field) is str for field in fields):
        raise RefusedError(400, "Bad Request: 'fields_to_export' must be an array of strings")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise RefusedError(400, f"Bad Request: 'fields_to_export' holds unknown fields: {', '.join(unknown[:5])}")
    return fields
