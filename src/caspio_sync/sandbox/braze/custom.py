"""What becomes of custom attribute values once they are queued (reference, section 3.4)."""

from typing import Any

import orjson

from caspio_sync.sandbox.braze.attributes import DROPPED, TEXT_CHARS, fit_text
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.dates import looks_like_instant, parse_instant

OBJECT_BYTES = 102_400
_KINDS: dict[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_PLAIN_TYPES = {
    "string": frozenset({str}),
    "date": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
}
_ARRAY_OPERATIONS = frozenset({"add", "remove"})
_OBJECT_OPERATIONS = frozenset({"$add", "$remove", "$update"})
_TRUE: frozenset[object] = frozenset({"1", "true", "t", 1})
_FALSE: frozenset[object] = frozenset({"0", "false", "f", 0})


class CustomAttributes:
    """The workspace's custom attributes: their types, and how a sent value changes a stored one.

    The first value seen fixes an attribute's type, unless the workspace forces one. A value of another type is
    coerced, or ignored without a word (Braze, managing custom data).
    """

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._forced = dict(behaviour.forced_types)
        self.types: dict[str, str] = dict(behaviour.forced_types)
        # The Python types an attribute stores as they come, so that most values need no further look.
        self._plain: dict[str, frozenset[type]] = {}
        self._long_strings = behaviour.long_strings
        self._max_array = behaviour.max_array

    def apply(self, held: dict[str, Any], name: str, value: Any, *, merge: bool) -> None:
        """Set, change or remove the attribute `name` among those `held`; `merge` is `_merge_objects`."""
        kind = type(value)
        if kind in self._plain.get(name, ()) and (kind is not str or len(value) <= TEXT_CHARS):
            held[name] = value
            return
        name = name.strip(" ")
        if not 0 < len(name) <= TEXT_CHARS or name in self._behaviour.blocklisted_attributes:
            return
        if value is None:
            held.pop(name, None)
            return
        result = self._result(held.get(name), name, value, merge=merge)
        if result is not DROPPED:
            held[name] = result

    def _result(self, old: Any, name: str, value: Any, *, merge: bool) -> Any:
        if type(value) is dict:
            return self._from_object(old, name, value, merge=merge)
        if type(value) is list:
            if value and all(type(item) is dict for item in value):
                return self._typed(name, "object_array", _sound_objects(value))
            return self._typed(name, "array", self._unique(value))
        return self._scalar(name, value)

    def _typed(self, name: str, kind: str, result: Any) -> Any:
        fixed = self.types.get(name)
        if result is DROPPED or (fixed is not None and fixed != kind):
            return DROPPED
        self._fix(name, kind)
        return result

    def _fix(self, name: str, kind: str) -> None:
        if self._behaviour.first_value_fixes_type:
            self.types.setdefault(name, kind)
            # A detected date keeps any text, as one in no known format is stored as a string.
            if kind in _PLAIN_TYPES and not (kind == "date" and name in self._forced):
                self._plain[name] = _PLAIN_TYPES[kind]

    def _scalar(self, name: str, value: Any) -> Any:
        fixed = self.types.get(name)
        if type(value) is str:
            value = fit_text(value, self._long_strings)
            if value is DROPPED:
                return DROPPED
            if fixed == "string":
                return value
            kind = "date" if looks_like_instant(value) else "string"
        else:
            kind = _KINDS[type(value)]
        if fixed is None or fixed == kind:
            self._fix(name, kind)
            return value
        # A detected date in no known format is stored as a string; one that an admin forced is not stored.
        if fixed == "date" and kind == "string" and name not in self._forced:
            return value
        return _coerced(value, fixed)

    def _from_object(self, old: Any, name: str, value: dict[str, Any], *, merge: bool) -> Any:
        keys = value.keys()
        if keys == {"inc"}:
            step, start = value["inc"], 0 if old is None else old
            sound = type(step) is int and type(start) in {int, float}
            return self._typed(name, "number", start + step if sound else DROPPED)
        if keys and keys <= _ARRAY_OPERATIONS and all(type(part) is list for part in value.values()):
            return self._typed(name, "array", self._changed_array(old, value))
        if keys and keys <= _OBJECT_OPERATIONS:
            return self._typed(name, "object_array", _changed_objects(old, value, merge=merge))
        if not keys or not _is_sound(value):
            return DROPPED
        result = _merged(old, value) if merge and type(old) is dict else value
        return self._typed(name, "object", result if len(orjson.dumps(result)) <= OBJECT_BYTES else DROPPED)

    def _unique(self, values: list[Any]) -> Any:
        if all([type(value) is str and len(value) <= TEXT_CHARS for value in values]) and (  # noqa: C419 - a list is faster than a generator
            len(set(values)) == len(values) <= self._max_array
        ):
            return values
        fitted = []
        for value in values:
            if type(value) is str:
                text = fit_text(value, self._long_strings)
                if text is not DROPPED:
                    fitted.append(text)
            elif type(value) in {int, float, bool}:
                fitted.append(value)
            else:
                return DROPPED
        # Set semantics: a repeated value keeps its last place.
        return list(dict.fromkeys(reversed(fitted)))[::-1][: self._max_array]

    def _changed_array(self, old: Any, value: dict[str, Any]) -> Any:
        kept = self._unique([*(old if type(old) is list else []), *value.get("add", [])])
        if kept is DROPPED:
            return DROPPED
        gone = [item for item in value.get("remove", []) if type(item) not in {dict, list}]
        return [item for item in kept if item not in gone]


def _coerced(value: Any, kind: str) -> Any:
    """The value as the fixed type, or `DROPPED` (Braze, managing custom data)."""
    if kind == "boolean":
        return _boolean(value)
    if kind == "number" and type(value) is str:
        return _number(value)
    if kind == "string" and type(value) in {int, float, str}:
        return str(value)
    if kind == "date" and type(value) is str and parse_instant(value):
        return value
    return DROPPED


def _boolean(value: Any) -> Any:
    word = value.lower() if type(value) is str else value
    if word in _TRUE:
        return True
    return False if word in _FALSE else DROPPED


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return DROPPED
    return number if abs(number) < float("inf") else DROPPED


def _is_sound(value: Any) -> bool:
    """Whether a nested value may be stored; one bad part drops all nested updates of the attribute."""
    if type(value) is dict:
        if value.keys() == {"$time"}:
            return type(value["$time"]) is str and parse_instant(value["$time"]) is not None
        return all(_is_key(key) and _is_sound(part) for key, part in value.items())
    if type(value) is list:
        return all(map(_is_sound, value))
    if type(value) is str:
        return len(value) <= TEXT_CHARS
    return value is not None


def _is_key(key: str) -> bool:
    return 0 < len(key) <= TEXT_CHARS and not any(mark in key for mark in " .$")


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        held = merged.get(key)
        merged[key] = _merged(held, value) if type(held) is dict and type(value) is dict else value
    return merged


def _sound_objects(objects: list[Any]) -> Any:
    sound = _is_sound(objects) and len(orjson.dumps(objects)) <= OBJECT_BYTES
    return objects if sound else DROPPED


def _changed_objects(old: Any, operations: dict[str, Any], *, merge: bool) -> Any:
    """`$add`, then `$remove`, then `$update` (Braze, array of objects)."""
    objects = list(old) if type(old) is list else []
    try:
        objects += operations.get("$add", [])
        for removal in operations.get("$remove", []):
            objects = [item for item in objects if not _matches(item, removal)]
        for update in operations.get("$update", []):
            new = update["$new_object"]
            objects = [(_merged(item, new) if merge else new) if _matches(item, update) else item for item in objects]
    except (KeyError, TypeError, AttributeError):
        return DROPPED
    return _sound_objects(objects) if all(type(item) is dict for item in objects) else DROPPED


def _matches(item: dict[str, Any], criterion: dict[str, Any]) -> bool:
    return bool(item.get(criterion["$identifier_key"]) == criterion["$identifier_value"])
