"""What changed in the design of a sync's table since its last run, and what follows from it.

A field that is gone or has another type stops alone where it can: it neither travels nor is it nulled, and the rest of
the sync goes on. Where rows cannot be named, found, chosen or judged without it, the sync stops.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from caspio_sync.caspio.query import without_literals
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.kind import mapping_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.mapping.definition import Sync, names
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import CaspioField


@dataclass(frozen=True, slots=True)
class Drift:
    """How the source differs from what the last run found.

    Args:
        lines: what changed, one field a line, with what follows; empty for nothing.
        stopped: Caspio fields that are mapped and cannot be read as they were.
    """

    lines: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldsThen:
    """The source as the last run found it.

    Args:
        source: what it was, such as "table Customers".
        fields: its fields; a stopped one stands there as it was before it stopped.
        stopped: names of the stopped ones.
        lines: the last known drift.
    """

    source: str
    fields: dict[str, CaspioField]
    stopped: tuple[str, ...] = ()
    lines: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, known: KnownSource) -> "FieldsThen":
        """From the ledger's JSON."""
        found = known.fields
        fields = {each["name"]: CaspioField(**each) for each in found["fields"]}
        return cls(found["source"], fields, tuple(found["stopped"]), tuple(found["drift"]))

    def as_json(self) -> dict[str, Any]:
        """For the ledger; the names of a table's fields are no secret, and values are not among them."""
        fields = [asdict(each) for each in self.fields.values()]
        return {"source": self.source, "fields": fields, "stopped": list(self.stopped), "drift": list(self.lines)}


def find_drift(definition: Sync, now: Mapping[str, CaspioField], then: FieldsThen) -> Drift:
    """Hold the source's fields against those of the last run.

    Raises:
        ConfigurationError: a field is gone or has another type without which the sync cannot go on.
    """
    before = then.fields
    changed = {name for name in before if name not in now or now[name].type != before[name].type}
    if needed := [
        f"{_change(name, now, before)}; it is {use}" for name, use in _required(definition, before) if name in changed
    ]:
        raise ConfigurationError(
            f"{definition.name}: {then.source} is not what the last run found, and the sync needs what changed:\n"
            + "\n".join(f"  {line}" for line in needed)
            + "\nNothing was sent. Change the field back in Caspio, or correct the sync file; where the new type is "
            f"meant, run `caspio-sync run {definition.name} --accept-schema` once (`plan` takes it too)."
        )
    stopped = _stopped(definition, now, before, changed)
    return Drift(tuple(_lines(definition, now, then, changed, stopped)), tuple(sorted(stopped)))


def _required(definition: Sync, before: Mapping[str, CaspioField]) -> Iterator[tuple[str, str]]:
    """Fields that the sync cannot do without, and what for."""
    source = definition.source
    yield definition.identity.source_field, f"the key ({'.'.join(map(str, definition.key_place))})"
    for name, use in (
        (source.cursor, "the cursor (source.cursor)"),
        (source.page_by, "what is paged by (source.page_by)"),
    ):
        if name is not None:
            yield name, use
    yield from definition.needed_fields()
    erasure = definition.erasure
    conditions = {
        "source.where": source.where,
        "erasure.where": erasure.where if erasure is not None and erasure.table is None else None,
    }
    for place, where in conditions.items():
        condition = without_literals(where or "")
        yield from ((name, f"named in {place}") for name in before if names(condition, name))
    for mapped, place in dict.fromkeys(definition.judged_fields()):
        yield from ((name, f"judged by {place} ({mapped})") for name in _fields_of(definition, mapped, before))


def _fields_of(definition: Sync, attribute: str, fields: Mapping[str, CaspioField]) -> set[str]:
    mapping = _alone(definition, attribute, fields)
    return set() if mapping is None else _read_by(mapping, attribute)


def _read_by(mapping: RowMapping, attribute: str) -> set[str]:
    return {name for name in mapping.source_fields if attribute in mapping.columns_reading([name])}


def _alone(definition: Sync, attribute: str, fields: Mapping[str, CaspioField]) -> RowMapping | None:
    """The mapping of one attribute and nothing else; None where it does not fit these fields."""
    try:
        return mapping_of(definition.only(attribute), list(fields.values()))
    except ConfigurationError:
        return None


def _stopped(
    definition: Sync, now: Mapping[str, CaspioField], before: Mapping[str, CaspioField], changed: set[str]
) -> set[str]:
    """Changed fields that an attribute can no longer be made of, or would make another kind of value of."""
    if not changed:
        return set()
    stopped: set[str] = set()
    as_it_was = {**now, **{name: before[name] for name in changed}}
    for attribute in definition.fields:
        was = _alone(definition, attribute, as_it_was)
        if was is None:  # the sync file does not fit the former field: it was written for the present one
            continue
        mine = _read_by(was, attribute) & changed
        fits = _alone(definition, attribute, now)
        if mine and (fits is None or fits.shape(attribute) != was.shape(attribute)):
            stopped |= mine
    return stopped


def _lines(
    definition: Sync,
    now: Mapping[str, CaspioField],
    then: FieldsThen,
    changed: set[str],
    stopped: set[str],
) -> Iterator[str]:
    before, title = then.fields, destination_of(definition).title
    mapping = mapping_of(definition, list({**now, **{name: before[name] for name in stopped}}.values()), absent=stopped)
    for name in sorted(stopped):
        columns = ", ".join(mapping.columns_reading([name]))
        back = f"bring {name} back in Caspio, or remove it from the sync file"
        if name in now:
            back = (
                f"say `type:` beside it in the sync file, or accept what {title} then gets by "
                f"`caspio-sync run {definition.name} --accept-schema`"
            )
        change = _change(name, now, before)
        yield f"STOPPED {columns}: {change}. {title} keeps what it has, the other fields go on; {back}"
    used = set(mapping.source_fields)
    for name in sorted(used & set(then.stopped) - stopped):
        yield f"{name} is no longer stopped: it goes on, and every row is read once"
    for name in sorted(changed - stopped):
        yield f"{_change(name, now, before)}; {'it still gives the same' if name in used else 'it is not mapped'}"
    for name in sorted(now.keys() - before.keys()):
        mapped = "" if name in used else "; it is not mapped"
        yield f"{name} ({now[name].type}) is new{mapped}"
    for name in sorted((now.keys() & before.keys()) - changed):
        yield from _lesser_changes(definition, now[name], before[name])


def _lesser_changes(definition: Sync, now: CaspioField, before: CaspioField) -> Iterator[str]:
    if before.unique and not now.unique:
        key = now.name == definition.identity.source_field
        yield f"{now.name} is no longer unique{': of rows that share a key only one is sent' if key else ''}"
    if before.on_update and not now.on_update:
        yield f"{now.name} is no longer stamped on update"
    if before.time_zone != now.time_zone:
        yield f"{now.name} is stamped in {now.time_zone or 'no time zone'}, before in {before.time_zone or 'none'}"


def _change(name: str, now: Mapping[str, CaspioField], before: Mapping[str, CaspioField]) -> str:
    if name not in now:
        return f"{name} ({before[name].type}) is gone"
    return f"{name} was {before[name].type} and is {now[name].type}"
