"""What a profile sync may call its attributes, and build of them, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any

from caspio_sync.mapping.automations import AUTOMATION_PREFIX
from caspio_sync.mapping.consent import GROUP_PREFIX, LIST_PREFIX
from caspio_sync.mapping.destination_faults import identity_faults, objects_refused
from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.segments import SEGMENT_PREFIX
from caspio_sync.mapping.tags import FROM, PREFIX, TAG_PREFIX, WORDS_PREFIX
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import OF_FRAMES, OK_SUFFIX

# `type` a standard attribute may be given: the one it has anyway.
# Keys of a sync file that the design has, and no kind takes yet.
_UNBUILT = frozenset({"both"})
_TAG_CHARS, _PREFIX_CHARS = 250, 50
_PREFIXES = ("_", GROUP_PREFIX, LIST_PREFIX, SEGMENT_PREFIX, TAG_PREFIX, WORDS_PREFIX, AUTOMATION_PREFIX)
_TYPE_OF_MEANING = {"boolean": "boolean", "datetime": "datetime", "birth_date": "date", "location": "object"}


def profile_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    """Places of a profile sync's file that its destination or the sync's own frames cannot take, and what to do."""
    yield from _unbuilt_faults(data, values)
    yield from _tag_faults(data, values)
    yield from _automation_faults(data, values)
    yield from identity_faults(data, values)
    yield from _consent_faults(data, values)
    yield from _field_faults(data, values)
    yield from _erasure_faults(data)


def fault_in_name(name: str, values: ValueRules) -> str | None:
    """What is wrong with an attribute's name, and what to do; None for a good one."""
    if name in values.operators:
        return (
            f"'{name}' changes what {values.title} holds instead of replacing it; profile syncs write whole values only"
        )
    if name in OF_FRAMES:
        return f"'{name}' is a reserved name; the sync's own frames use the name: choose another one"
    if name.startswith(_PREFIXES) or name.endswith(OK_SUFFIX):
        reserved = ", ".join(["a leading _", f"an ending {OK_SUFFIX}", *(f"{each}…" for each in _PREFIXES[1:])])
        return f"'{name}' is a reserved name ({reserved}); choose another one"
    return values.fault_in_name(name)


def _unbuilt_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    for key in _UNBUILT & data.keys():
        yield (key,), f"`{key}` is not built yet for {values.title}; nothing of it would be sent: remove it"


def _tag_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    tags = data.get("tags")
    if tags is not None and not values.tags:
        yield ("tags",), f"`tags` are not built for {values.title}; nothing of them would be sent: remove them"
    elif isinstance(tags, dict):
        seen: dict[str, str] = {}
        prefix = tags.get(PREFIX)
        yield from _words_faults(tags)
        for name in (str(each) for each in tags if each not in {FROM, PREFIX}):
            if (first := seen.setdefault(name.lower(), name)) != name:
                yield ("tags", name), f"differs from '{first}' only by case, which is one tag there or two; keep one"
            if not name or name != name.strip() or not name.isprintable() or "," in name or len(name) > _TAG_CHARS:
                text = (
                    f"is no name of a tag: it is empty, over {_TAG_CHARS} characters, holds a comma, a blank at an end"
                )
                yield ("tags", name), f"{text}, or signs that nobody sees"
            if isinstance(tags.get(name), str):
                yield ("tags", name), "is a tag, and needs a condition: write `{when: …}`"
            if isinstance(prefix, str) and prefix and name.lower().startswith(prefix.lower()):
                yield (
                    ("tags", name),
                    f"begins with `prefix` ('{prefix}'): it would be taken away as no word of the field",
                )


def _words_faults(tags: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with `from` and `prefix`."""
    for key, other in ((FROM, PREFIX), (PREFIX, FROM)):
        if key not in tags:
            continue
        if not isinstance(tags[key], str):
            yield ("tags", key), "belongs to tags that are a field's own words, and is text; call no tag so"
        elif other not in tags:
            yield ("tags", key), f"needs `{other}` beside it: a list field, and the signs before its words"
    prefix = tags.get(PREFIX)
    if isinstance(prefix, str):
        bad = not prefix.strip() or prefix != prefix.lstrip() or not prefix.isprintable() or "," in prefix
        if bad or len(prefix) > _PREFIX_CHARS:
            text = (
                f"is over {_PREFIX_CHARS} characters, empty, begins with a blank, holds a comma, or signs nobody sees"
            )
            yield ("tags", PREFIX), text


def _automation_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    automations = data.get("automations")
    if automations is not None and not values.automations:
        text = f"`automations` are not built for {values.title}; nobody would be enrolled: remove them"
        yield ("automations",), text
    elif isinstance(automations, dict):
        for name in map(str, automations):
            if not name or name != name.strip() or not name.isprintable():
                text = "is no name of an automation: it is empty, has a blank at an end, or signs that nobody sees"
                yield ("automations", name), text


def _consent_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    consent = data.get("consent")
    told: list[Location] = (
        [("consent", key) for key in consent if key != "require"] if isinstance(consent, dict) else []
    )
    told += [("lists",)] if "lists" in data else []
    for at in told:
        if at[-1] not in values.states:
            known = ", ".join(values.states)
            yield at, f"{values.title} has no such consent; states are told under: {known}"


def _field_faults(data: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
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
        elif (fault := fault_in_name(name, values)) is not None:
            yield at, fault
        if isinstance(identity, dict) and name in {"email", "phone"} and name in identity:
            yield at, f"'{name}' is the identity of this sync already; remove it here"
        yield from _mapping_faults(at, mapping, values)
        yield from objects_refused(at, mapping, values)


def _erasure_faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    source, erasure = data.get("source"), data.get("erasure")
    if not isinstance(source, dict) or not isinstance(erasure, dict):
        return
    own, named = source.get("table"), erasure.get("table")
    if isinstance(own, str) and isinstance(named, str) and own.lower() == named.lower():
        text = f"'{named}' is the sync's own table, which lists everybody; remove `table` and `key`, write `where`"
        yield ("erasure", "table"), text


def _mapping_faults(at: Location, mapping: Any, values: ValueRules) -> Iterator[Fault]:
    if not isinstance(mapping, dict):
        return
    if "on_bad" in mapping and len(at) > 2:
        yield (
            (*at, "on_bad"),
            "an attribute is left out as a whole; move it up, beside the attribute's own keys",
        )
    for operator in mapping.keys() & values.operators:
        text = f"'{operator}' changes what {values.title} holds; profile syncs write whole values, use `from`"
        yield (*at, operator), text
    if len(at) == 2 and at[1] in values.standard:
        yield from _standard_faults(at, mapping, values)
    yield from _object_faults((*at, "object"), mapping.get("object"), values)
    items = mapping.get("array")
    if isinstance(items, list):
        objects = [isinstance(item, dict) and "object" in item for item in items]
        if any(objects) and not all(objects):
            yield (*at, "array"), "mixes objects and plain values; make all its items objects, or none"
        for number, item in enumerate(items):
            yield from _mapping_faults((*at, "array", number), item, values)


def _object_faults(at: Location, members: Any, values: ValueRules) -> Iterator[Fault]:
    if not isinstance(members, dict):
        return
    for key, member in members.items():
        if (fault := values.fault_in_key(key)) is not None:
            yield (*at, key), fault
        if isinstance(member, dict) and isinstance(member.get("array"), list):
            yield (*at, key, "array"), "a built array cannot stand inside an object; make it an attribute of its own"
        yield from _mapping_faults((*at, key), member, values)


def _standard_faults(at: Location, mapping: Mapping[str, Any], values: ValueRules) -> Iterator[Fault]:
    name = str(at[-1])
    standard = values.standard[name]
    expected = _TYPE_OF_MEANING.get(standard, "string")
    if mapping.get("type") not in {None, expected}:
        yield (*at, "type"), f"{values.title}'s own '{name}' is always of type {expected}; remove `type`"
    if standard == "location":
        members = mapping.get("object")
        if not isinstance(members, dict) or members.keys() != {"longitude", "latitude"}:
            yield at, "needs `object:` with exactly longitude and latitude"
    elif "object" in mapping or "array" in mapping:
        yield at, f"{values.title}'s own '{name}' is a single value; use `from`, or another name"
