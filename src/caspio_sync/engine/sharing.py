"""A sync held against the others of its folder: two that write one thing are refused, unless one says whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from caspio_sync import registry
from caspio_sync.engine.kind import kind_of
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import Settings
from caspio_sync.sync_files import kind_in, said_in

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Shares:
    """A sync beside the others.

    Args:
        definition: without what its `owner:` writes.
        apart: those that write the same to other people's profiles, or as other items, as one of the files says.
        notes: what a person should know.
    """

    definition: Sync
    apart: tuple[Sync, ...] = ()
    notes: tuple[str, ...] = ()


def beside_others(settings: Settings, definition: Sync) -> Shares:
    """Hold a sync against the others of its folder, as `beside`."""
    others, notes = _others(settings, definition)
    shares = beside(definition, others)
    return replace(shares, notes=(*notes, *shares.notes))


def beside(definition: Sync, others: Mapping[str, Sync]) -> Shares:
    """Hold a sync against others, of which those that are not enabled do not count. It counts itself.

    Raises:
        ConfigurationError: another one writes the same, and neither file says whose it is; or what a file says of the
            other one cannot be.
    """
    notes = []
    named = {"owner": [definition.owner] if definition.owner else [], "apart_from": definition.apart_from}
    for key, name in ((key, name) for key, names in named.items() for name in names):
        if name not in others:
            raise ConfigurationError(
                f"{definition.where(key)}: {key}: '{name}' is no other sync whose file can be read; there are: "
                f"{', '.join(others) or 'none'}"
            )
    everybody = {**others, definition.name: definition}
    left = _without_owned(definition, everybody)
    claimed, kept = definition.claims(), left.claims()
    if len(kept) < len(claimed):
        theirs = [name for claim, name in claimed.items() if claim not in kept]
        notes.append(f"left to {definition.owner}, their owner: {_listed(theirs)}")
    apart = []
    for other in others.values():
        if not (other.enabled and (both := left.shared(_without_owned(other, everybody)))):
            continue
        if other.name in definition.apart_from or definition.name in other.apart_from:
            apart.append(other)
        else:
            raise ConfigurationError(_refusal(definition, other, both))
    return Shares(left, tuple(apart), tuple(notes))


def refuse_met(ledger: Ledger, shares: Shares) -> None:
    """Whether those that are said to be apart are, by what was sent up to now.

    Raises:
        ConfigurationError: some people, or items, were sent by both.
    """
    name = shares.definition.name
    for other in shares.apart:
        if met := ledger.keys_in_both(name, other.name):
            raise ConfigurationError(
                f"{name} and {other.name} are said to be apart (`apart_from`), and both have sent {met:,} keys: they "
                f"would overwrite each other, billed each time. Narrow one of them by `source.where`, or write "
                f"`owner: {other.name}` instead: what {other.name} writes is then left to it"
            )


def _others(settings: Settings, definition: Sync) -> tuple[dict[str, Sync], list[str]]:
    files = settings.sync_files
    found: dict[str, Sync] = {}
    notes = []
    named = {definition.owner, *definition.apart_from}
    for name in files.names:
        if name == definition.name:
            continue
        try:
            path = files.path(name)
            if name not in named and _writes_elsewhere(path, definition):
                continue
            found[name] = load_sync(path)
        except CaspioSyncError:  # its own run says what is wrong; this one goes on
            notes.append(f"{name}: its file cannot be read, so nobody knows what it writes: `caspio-sync check {name}`")
    return found, notes


def _writes_elsewhere(path: Path, definition: Sync) -> bool:
    """Whether a file says of itself that it cannot write what the sync does: then what else it says is its own matter.

    Reading it to the end, with all that its kind and its destination bring, would cost each run of every sync that.
    """
    kind = kind_in(path) or ""
    if kind not in registry.KINDS:
        return False
    rooms = [registry.CLAIMED_TOGETHER.get(each, each) for each in (kind, definition.kind)]
    if rooms[0] != rooms[1]:
        return True
    said = said_in(path, "kind", "destination")  # nothing where it cannot be read to its end
    destination = said.get("destination", registry.DEFAULT_DESTINATION)
    is_known = "kind" in said and destination in registry.DESTINATIONS
    return is_known and kind in registry.WRITTEN_THERE and destination != definition.destination


def _without_owned(sync: Sync, everybody: Mapping[str, Sync]) -> Sync:
    """The sync without what its owner writes, enabled or not: what is sent must not change with a pause."""
    owner = everybody.get(sync.owner or "")
    if owner is None:
        return sync
    way = [sync.name, owner.name]
    while (following := everybody.get(everybody[way[-1]].owner or "")) is not None:
        if following.name in way:
            raise ConfigurationError(
                f"{sync.where('owner')}: owner: {' > '.join([*way, following.name])}: nobody would write what they "
                "share; remove it from the file of the one that is to"
            )
        way.append(following.name)
    left = sync.without(sync.shared(owner))
    if not left.claims():
        raise ConfigurationError(
            f"{sync.where('owner')}: owner: {owner.name} writes everything that {sync.name} would; nothing is left to "
            "it. Remove the file, or the line"
        )
    for at, text in left.contradictions():  # such as `identify_by_email` without the address
        raise ConfigurationError(
            f"{sync.where(*at)}: {'.'.join(map(str, at))}, with what is left to {owner.name}: {text}"
        )
    return left


def _refusal(sync: Sync, other: Sync, both: list[str]) -> str:
    words = kind_of(sync).words
    apart = f"`apart_from: [{other.name}]` where no {words.who} is in both"
    ways = words.part_ways.format(sync=sync.name, other=other.name, apart=apart)
    return (
        f"{sync.where('kind')}: {sync.name} and {other.name} ({other.where('kind')}) both write {_listed(both)}: they "
        f"would overwrite each other for ever, billed each time; {ways}"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
