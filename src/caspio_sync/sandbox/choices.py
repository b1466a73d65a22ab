"""What a user chooses of the emulators in words: switches of their behaviour."""

import contextlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args, get_origin

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour
from caspio_sync.sandbox.http.behaviour import HttpBehaviour

Kind = Literal["caspio", "braze", "activecampaign", "http"]

_BEHAVIOURS: dict[Kind, type[BaseModel]] = {
    "caspio": CaspioBehaviour,
    "braze": BrazeBehaviour,
    "activecampaign": ActiveCampaignBehaviour,
    "http": HttpBehaviour,
}
_WORDS: dict[Any, str] = {
    bool: "true | false",
    int: "whole number",
    float: "number",
    str: "text",
    int | None: "whole number | null",
}


class Switch(NamedTuple):
    """A switch as it is listed: its name with the emulator's, what it may be, what it is by default."""

    name: str
    choices: str
    default: str


def switches() -> Iterator[Switch]:
    """Every switch of the emulators."""
    for kind, behaviour in _BEHAVIOURS.items():
        for name, field in behaviour.model_fields.items():
            default = field.get_default(call_default_factory=True)
            told = TypeAdapter(Any).dump_json(default, fallback=str).decode()
            yield Switch(f"{kind}.{name}", _choices(field.annotation), told.strip('"'))


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(str(word) for word in get_args(annotation))
    return _WORDS.get(annotation, "JSON")


def read_switches(settings: Sequence[str]) -> dict[Kind, dict[str, Any]]:
    """Fields of the behaviours from `caspio.numbers_as_text=refused`, the last of one name wins.

    Raises:
        ConfigurationError: a switch that is none, or a value that it does not take; names what there is.
    """
    read: dict[Kind, dict[str, Any]] = {kind: {} for kind in _BEHAVIOURS}
    known = {switch.name: switch for switch in switches()}
    for setting in settings:
        full, equals, text = setting.partition("=")
        switch = known.get(full.strip())
        if switch is None or not equals:
            raise ConfigurationError(_unknown(setting, full.strip(), known))
        named, _, name = switch.name.partition(".")
        kind = next(each for each in _BEHAVIOURS if each == named)
        fitting = [value for value in _values(text.strip()) if _fits(kind, name, value)]
        if not fitting:
            raise ConfigurationError(f"--set {setting}: {switch.name} takes {switch.choices}")
        read[kind][name] = fitting[0]
    return read


def _unknown(setting: str, name: str, known: dict[str, Switch]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"--set {setting}: write emulator.switch=value; {hint}`caspio-sync sandbox switches` lists what there is"


def _values(text: str) -> Iterator[Any]:
    """What a word may mean: JSON first, then the word itself, as digits may be a text."""
    with contextlib.suppress(orjson.JSONDecodeError):
        yield orjson.loads(text)
    yield text


def _fits(kind: Kind, name: str, value: Any) -> bool:
    try:
        _BEHAVIOURS[kind](**{name: value})
    except ValidationError:
        return False
    return True
