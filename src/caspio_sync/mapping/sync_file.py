"""Reading a sync file of any kind."""

from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

from pydantic import Field, TypeAdapter, create_model

from caspio_sync import registry
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.document import Document, Fault, Finding, listing, parse_document, read_document
from caspio_sync.mapping.faults import find_faults
from caspio_sync.mapping.values import ValueRules, rules_for, sinks_at
from caspio_sync.registry import KINDS, load
from caspio_sync.sync_files import fault_in_name


class _Registered(Protocol):
    """What reading needs of a kind."""

    definition: type[Sync]

    def faults(self, data: Mapping[str, Any], values: ValueRules, /) -> Iterable[Fault]:
        """What is wrong with a file that the definition does not know."""


def load_sync(path: Path) -> Sync:
    """Read a sync file.

    Raises:
        ConfigurationError: every finding, as `file:line: what; what to do`, one a line.
    """
    return _checked(read_document(path))


def parse_sync(text: str, path: Path) -> Sync:
    """As `load_sync`, from text that would stand in `path`."""
    return _checked(parse_document(text, path))


def sync_json_schema() -> dict[str, Any]:
    """JSON Schema of the sync file, for editors."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "caspio-sync: sync definition"}
    kinds: Any = reduce(or_, (_model(kind, *registry.DESTINATIONS) for kind in KINDS))
    return title | TypeAdapter(Annotated[kinds, Field(discriminator="kind")]).json_schema(by_alias=True)


def _model(kind: str, *destinations: str) -> type[Sync]:
    """The definition of a kind, with the section `options` and the keys that its sinks at these destinations bring."""
    model, alone = _registered(kind).definition, len(destinations) == 1
    sinks = [sinks_at(each)[kind] for each in destinations if kind in sinks_at(each)]
    found = [each.options for each in sinks if each.options is not None]
    model = _with_options(model, *found, alone=alone) if found else model
    for keys in dict.fromkeys(each.keys for each in sinks if each.keys is not None):
        model = _with_keys(model, keys, alone=alone)
    return model


@cache
def _with_keys(model: type[Sync], keys: Any, *, alone: bool) -> type[Sync]:
    """A definition with a sink's own keys; where it is for several destinations, none of them has to be there."""
    if alone:
        return cast("type[Sync]", create_model(model.__name__, __base__=(keys, model)))
    loose: dict[str, Any] = {name: (field.annotation | None, None) for name, field in keys.model_fields.items()}
    return cast("type[Sync]", create_model(model.__name__, __base__=model, **loose))


@cache
def _with_options(model: type[Sync], *found: Any, alone: bool) -> type[Sync]:
    needed = any(field.is_required() for each in found for field in each.model_fields.values())
    default = ... if needed and alone else None if needed else found[0]()
    options: Any = (reduce(or_, found), default)
    return cast("type[Sync]", create_model(model.__name__, __base__=model, options=options))


def _destination(document: Document, kind: str) -> str:
    """The file's destination; one that takes its kind where it names none that there is: a finding of its own."""
    named = document.data.get("destination", registry.DEFAULT_DESTINATION)
    if not isinstance(named, str) or named not in registry.DESTINATIONS:
        takes_it = (each for each in registry.DESTINATIONS if kind in sinks_at(each))
        return next(takes_it, registry.DEFAULT_DESTINATION)
    if kind not in (takes := sinks_at(named)):
        text = f"destination: '{named}' takes no sync of kind '{kind}'; it takes: {', '.join(takes)}"
        raise ConfigurationError(listing(document.path, [Finding(document.line(("destination",)), text)]))
    return named


def _checked(document: Document) -> Sync:
    if (fault := fault_in_name(document.path.stem)) is not None:
        raise ConfigurationError(f"{document.path}: {fault}")
    kind = _kind(document)
    destination = _destination(document, kind)
    faults = _registered(kind).faults(document.data, rules_for(kind, destination))
    sync, findings = find_faults(_model(kind, destination), document, faults)
    if sync is None:
        raise ConfigurationError(listing(document.path, findings))
    sync._document = document  # noqa: SLF001 - the model cannot know its file while it is being validated
    if sync.source.posts is not None and not sync.takes_posts:
        text = f"posts are read by syncs of events, purchases and triggers; kind: {kind} reads a table or a view"
        raise ConfigurationError(f"{sync.where('source', 'posts')}: source.posts: {text}")
    for at, text in sync.contradictions():
        raise ConfigurationError(f"{sync.where(*at)}: {'.'.join(map(str, at))}: {text}")
    return sync


def _registered(name: str) -> _Registered:
    kind: _Registered = load(KINDS, name, "kind of sync")
    return kind


def _kind(document: Document) -> str:
    """The file's `kind`."""
    kind = document.data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = "is missing" if kind is None else f"'{kind}' is no kind of sync"
        kinds = " or ".join(f"'{each}'" for each in KINDS)
        finding = Finding(document.line(("kind",)), f"kind: {what}; write {kinds}")
        raise ConfigurationError(listing(document.path, [finding]))
    return kind
