"""What is wrong with a sync file, in the words of the file: line by line, with what to do."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from caspio_sync.mapping.document import Document, Finding, Location
from caspio_sync.mapping.names import OPERATORS, STANDARD_ATTRIBUTES, fault_in_name, fault_in_object_key

Model = TypeVar("Model", bound=BaseModel)
# `type` a standard attribute may be given: the one it has anyway.
_TYPE_OF_MEANING = {"boolean": "boolean", "datetime": "datetime", "birth_date": "date", "location": "object"}


def find_faults(
    model: type[Model], document: Document, faults: Iterable[tuple[Location, str]]
) -> tuple[Model | None, list[Finding]]:
    """The definition, or everything that is wrong with it.

    Args:
        model: the definition of the file's kind.
        document: the file.
        faults: what is wrong besides: names and what they stand for, which the model does not know.
    """
    findings = [Finding(document.line(at), f"{_path(at)}: {text}") for at, text in faults]
    definition = None
    try:
        definition = model.model_validate(document.data)
    except ValidationError as error:
        findings += [_finding(document, details, model) for details in error.errors(include_url=False)]
    # One mistake may be met on two ways; the reader wants it once.
    findings = list(dict.fromkeys(findings))
    return (None if findings else definition), findings


def profile_faults(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Places of a profile sync's file that Braze cannot take, and what to do."""
    yield from _name_faults(data)
    yield from _erasure_faults(data)


def _name_faults(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    fields = data.get("fields")
    if not isinstance(fields, dict):
        return
    seen: dict[str, str] = {}
    identity = data.get("identity")
    for name, mapping in fields.items():
        at = ("fields", name)
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield at, f"is mapped twice: '{first}' differs only by case; keep one of the two"
        elif (fault := fault_in_name(name)) is not None:
            yield at, fault
        if isinstance(identity, dict) and name in {"email", "phone"} and name in identity:
            yield at, f"'{name}' is the identity of this sync already; remove it here"
        yield from _mapping_faults(at, mapping, standard=STANDARD_ATTRIBUTES.get(name))


def _erasure_faults(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    source, erasure = data.get("source"), data.get("erasure")
    if not isinstance(source, dict) or not isinstance(erasure, dict):
        return
    own, named = source.get("table"), erasure.get("table")
    if isinstance(own, str) and isinstance(named, str) and own.lower() == named.lower():
        text = f"'{named}' is the sync's own table, which lists everybody; remove `table` and `key`, write `where`"
        yield ("erasure", "table"), text


def _mapping_faults(at: Location, mapping: Any, *, standard: str | None = None) -> Iterator[tuple[Location, str]]:
    if not isinstance(mapping, dict):
        return
    if "on_bad" in mapping and len(at) > 2:
        yield (
            (*at, "on_bad"),
            "an attribute is left out as a whole; move it up, beside the attribute's own keys",
        )
    for operator in OPERATORS & mapping.keys():
        yield (*at, operator), f"'{operator}' changes what Braze holds; profile syncs write whole values, use `from`"
    if standard is not None:
        yield from _standard_faults(at, mapping, standard)
    yield from _object_faults((*at, "object"), mapping.get("object"))
    items = mapping.get("array")
    if isinstance(items, list):
        objects = [isinstance(item, dict) and "object" in item for item in items]
        if any(objects) and not all(objects):
            yield (*at, "array"), "mixes objects and plain values; make all its items objects, or none"
        for number, item in enumerate(items):
            yield from _mapping_faults((*at, "array", number), item)


def _object_faults(at: Location, members: Any) -> Iterator[tuple[Location, str]]:
    if not isinstance(members, dict):
        return
    for key, member in members.items():
        if (fault := fault_in_object_key(key)) is not None:
            yield (*at, key), fault
        if isinstance(member, dict) and isinstance(member.get("array"), list):
            yield (*at, key, "array"), "a built array cannot stand inside an object; make it an attribute of its own"
        yield from _mapping_faults((*at, key), member)


def _standard_faults(at: Location, mapping: Mapping[str, Any], standard: str) -> Iterator[tuple[Location, str]]:
    expected = _TYPE_OF_MEANING.get(standard, "string")
    if mapping.get("type") not in {None, expected}:
        yield (*at, "type"), f"Braze's own '{at[-1]}' is always of type {expected}; remove `type`"
    if standard == "location":
        members = mapping.get("object")
        if not isinstance(members, dict) or members.keys() != {"longitude", "latitude"}:
            yield at, "needs `object:` with exactly longitude and latitude"
    elif "object" in mapping or "array" in mapping:
        yield at, f"Braze's own '{at[-1]}' is a single value; use `from`, or another name"


def _finding(document: Document, details: ErrorDetails, model: type[BaseModel]) -> Finding:
    # Names of union branches stand in pydantic's locations; only what the file itself holds is shown.
    at: Location = ()
    for part in details["loc"]:
        at = (*at, part) if (*at, part) in document.lines else at
    key = str(details["loc"][-1]) if details["loc"] else ""
    match details["type"]:
        case "extra_forbidden":
            text = f"unknown key{_nearest(key, model)}; remove it or correct its spelling"
        case "missing":
            return Finding(document.line(at), f"{_path((*at, key))}: is missing; add it")
        case "value_error":
            text = str(details["ctx"]["error"])
        case _:
            text = f"{_plain(details['msg'])}; correct it"
    return Finding(document.line(at), f"{_path(at)}: {text}")


def _plain(message: str) -> str:
    return message.replace("Input should be", "must be").replace("String should", "must")


def _nearest(key: str, model: type[BaseModel]) -> str:
    close = get_close_matches(key, _keys(model.model_json_schema(by_alias=True)), n=1, cutoff=0.7)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _keys(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [key for item in schema for key in _keys(item)]
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties", {})
    return [*properties, *(key for value in schema.values() for key in _keys(value))]


def _path(at: Location) -> str:
    return ".".join(str(part) for part in at) or "the file"
