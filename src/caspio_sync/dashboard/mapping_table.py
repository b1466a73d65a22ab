"""The mapping of a sync as a table: where each value comes from, what happens to it on the way, what it becomes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from caspio_sync.ledger.overview import RememberedSource
from caspio_sync.ledger.run_record import Run
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.field import FieldMapping, Transform

_LONGEST = 60  # characters of a map


@dataclass(frozen=True, slots=True)
class MappingLine:
    """A value on its way.

    Args:
        source: the Caspio field, or what else it is made of.
        declared: its type in Caspio, as the last run found it; "" where that is not known.
        way: the steps in between, "" for none.
        name: what it is called where it goes.
        becomes: its type there, where the sync file says one.
        changed_at: when it last differed in a row that was read, in the runs that were looked at.
    """

    source: str
    declared: str
    way: str
    name: str
    becomes: str = ""
    changed_at: datetime | None = None


def mapping_table(definition: Sync, source: RememberedSource | None, runs: Iterable[Run]) -> list[MappingLine]:
    """The mapping, the key first.

    Args:
        definition: the sync file.
        source: the source's fields as the last run found them.
        runs: newest first; they tell when a field last differed.
    """
    declared = {} if source is None else {each["name"]: str(each["type"]) for each in source.fields["fields"]}
    changed: dict[str, datetime] = {}
    for run in runs:
        for name in (run.report or {}).get("changed_fields") or {}:
            changed.setdefault(name, run.started_at)
    return list(_lines(definition, declared, changed))


def _lines(definition: Sync, declared: Mapping[str, str], changed: Mapping[str, datetime]) -> Iterator[MappingLine]:
    key = definition.identity.source_field
    yield MappingLine(key, declared.get(key, ""), "", f"{definition.identity.kind} (the key)")
    if back := definition.columns_back():
        yield from (MappingLine(held, "", "", column) for column, held in back.items())
        return
    for name, state in _consent(definition):
        field = str(state.source_field)
        yield MappingLine(field, declared.get(field, ""), _mapped(state.map), name, "consent", changed.get(name))
    shown = {key, *(str(state.source_field) for _, state in _consent(definition))}
    for name, mapping in definition.fields.items():
        origin = _origin(mapping)
        shown.add(origin)
        yield MappingLine(origin, declared.get(origin, ""), _way(mapping), name, mapping.type or "", changed.get(name))
    for field, role in definition.roles().items():  # such as the time of an event, or the cursor
        if field not in shown:
            yield MappingLine(field, declared.get(field, ""), "", role)


def _consent(definition: Sync) -> Iterator[tuple[str, Any]]:
    consent = getattr(definition, "consent", None)
    for name in ("email_subscribe", "push_subscribe"):
        if (state := getattr(consent, name, None)) is not None:
            yield name, state
    yield from ((each.column, each) for each in getattr(consent, "subscription_groups", ()))


def _origin(mapping: FieldMapping) -> str:
    if mapping.source_field is not None:
        return mapping.source_field
    if mapping.constant is not None:
        return f"always {json.dumps(mapping.constant, ensure_ascii=False)}"
    if mapping.object is not None:
        return f"object of {', '.join(_origin(each) for each in mapping.object.values())}"
    if isinstance(mapping.array, tuple):
        return f"list of {', '.join(_origin(each) for each in mapping.array)}"
    return str(mapping.array)


def _way(mapping: FieldMapping) -> str:
    steps = [_step(each) for each in mapping.transform]
    if mapping.map:
        steps.append(_mapped(mapping.map))
    if mapping.empty:
        steps.append(f"empty: {', '.join(mapping.empty)}")
    if mapping.on_null == "clear":
        steps.append("an empty cell clears it")
    return ", ".join(steps)


def _step(step: Transform) -> str:
    if step.phone is not None:
        return f"phone ({step.phone.region or f'country in {step.phone.source_field}'})"
    if step.form is not None:
        return f"date ({step.form})"
    return step.name if step.argument is None else f"{step.name} {step.argument}"


def _mapped(words: Mapping[str, Any] | None) -> str:
    if not words:
        return ""
    text = ", ".join(f"{word} → {'nothing' if value is None else value}" for word, value in words.items())
    return text if len(text) <= _LONGEST else f"{len(words)} words replaced"
