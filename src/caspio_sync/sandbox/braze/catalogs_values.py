"""Values of catalog items: what each field type takes, what is converted, what is refused (reference, section 9.1)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour

MAX_VALUE_CHARS = 5_000
MAX_ELEMENTS = 100
MAX_DEPTH = 50
FIELD_TYPES = frozenset({"string", "number", "boolean", "time", "object", "array", "geo"})
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_OPERATORS = frozenset({"$add", "$remove"})


class ValueProblem(Exception):  # noqa: N818 - a finding, not a failure
    """A value that is refused; carries the error's id."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Values:
    """Takes values as the fields' types have them."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._converts = behaviour.catalog_coercion == "lenient"
        self._whole_text = behaviour.catalog_object_chars == "json"
        self._iso = behaviour.catalog_times == "iso"
        self._zone = ZoneInfo(behaviour.catalog_zone)
        self._take: dict[str, Callable[[Any], Any]] = {
            "string": self._string,
            "number": self._number,
            "boolean": self._boolean,
            "time": self._time,
            "object": self._object,
            "array": self._array,
            "geo": self._geo,
        }

    def take(self, kind: str, value: Any, *, editing: bool) -> Any:
        """The value as it will be stored; only an edit (PATCH) may change the elements of an array.

        Raises:
            ValueProblem: it is refused.
        """
        if editing and kind == "array" and type(value) is dict:
            return self._operators(value)
        return self._take[kind](value)

    def _string(self, value: Any) -> str:
        if type(value) is not str:
            if not self._converts or type(value) not in {int, float, bool}:
                raise ValueProblem("unable-to-coerce-value")
            value = orjson.dumps(value).decode()
        if len(value) > MAX_VALUE_CHARS:
            raise ValueProblem("items-too-large")
        text: str = value
        return text

    def _number(self, value: Any) -> Any:
        if type(value) in {int, float}:
            return value
        if self._converts and type(value) is str:
            try:
                read = orjson.loads(value.strip())
            except orjson.JSONDecodeError:
                read = None
            if type(read) in {int, float}:
                return read
        raise ValueProblem("unable-to-coerce-value")

    def _boolean(self, value: Any) -> bool:
        if type(value) is bool:
            return value
        if self._converts and type(value) in {str, int} and str(value).lower() in _BOOLEANS:
            return _BOOLEANS[str(value).lower()]
        raise ValueProblem("unable-to-coerce-value")

    def _time(self, value: Any) -> Any:
        try:
            if type(value) is str:
                instant = datetime.fromisoformat(value)
            elif type(value) in {int, float}:
                instant = datetime.fromtimestamp(value, UTC)
            else:
                raise ValueProblem("unable-to-coerce-value")
        except (ValueError, OverflowError, OSError) as error:
            raise ValueProblem("unable-to-coerce-value") from error
        if not self._iso:
            return value
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=self._zone)
        return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _object(self, value: Any) -> Any:
        if type(value) is not dict:
            raise ValueProblem("unable-to-coerce-value")
        for depth, part in _objects(value):
            if depth > MAX_DEPTH:
                raise ValueProblem("too-deep-nesting-in-value-object")
            if any("." in key or "$" in key for key in part):
                raise ValueProblem("invalid-keys-in-value-object")
        self._within_size(value)
        return value

    def _array(self, value: Any) -> list[str]:
        if type(value) is not list:
            raise ValueProblem("unable-to-coerce-value")
        elements = [self._string(element) for element in value]
        if len(elements) > MAX_ELEMENTS:
            raise ValueProblem("items-too-large")
        self._within_size(elements)
        return elements

    def _operators(self, value: dict[str, Any]) -> dict[str, list[str]]:
        if not value or not value.keys() <= _OPERATORS:
            raise ValueProblem("unable-to-coerce-value")
        return {operator: self._array(elements) for operator, elements in value.items()}

    @staticmethod
    def _geo(value: Any) -> Any:
        """`[longitude, latitude]`."""
        if type(value) is not list or [type(part) in {int, float} for part in value] != [True, True]:
            raise ValueProblem("unable-to-coerce-value")
        if abs(value[0]) > 180 or abs(value[1]) > 90:
            raise ValueProblem("unable-to-coerce-value")
        return value

    def _within_size(self, value: Any) -> None:
        """Whether the limit is on the text of the whole or on each string in it is not documented."""
        if self._whole_text:
            if len(orjson.dumps(value)) > MAX_VALUE_CHARS and len(orjson.dumps(value).decode()) > MAX_VALUE_CHARS:
                raise ValueProblem("items-too-large")
        elif any(len(text) > MAX_VALUE_CHARS for text in _strings(value)):
            raise ValueProblem("items-too-large")


def _objects(value: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every object in it, itself included, with its depth from 1; arrays count as a level."""
    open_parts: list[tuple[int, Any]] = [(1, value)]
    while open_parts:
        depth, part = open_parts.pop()
        if type(part) is dict:
            yield depth, part
            open_parts.extend((depth + 1, inner) for inner in part.values())
        elif type(part) is list:
            open_parts.extend((depth + 1, inner) for inner in part)


def _strings(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) in {dict, list}:
        for inner in value.values() if type(value) is dict else value:
            yield from _strings(inner)
