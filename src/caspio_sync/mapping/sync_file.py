"""Reading a sync file of any kind."""

import functools
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import Field, TypeAdapter

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.document import Document, Finding, Location, listing, parse_document, read_document
from caspio_sync.mapping.faults import find_faults
from caspio_sync.registry import KINDS, load
from caspio_sync.sync_files import fault_in_name


class _Registered(Protocol):
    """What reading needs of a kind."""

    definition: type[Sync]

    def faults(self, data: Mapping[str, Any], /) -> Iterable[tuple[Location, str]]:
        """What is wrong with a file that the definition does not know."""
        ...


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
    definitions: Any = functools.reduce(operator.or_, (_registered(name).definition for name in KINDS))
    return title | TypeAdapter(Annotated[definitions, Field(discriminator="kind")]).json_schema(by_alias=True)


def _checked(document: Document) -> Sync:
    if (fault := fault_in_name(document.path.stem)) is not None:
        raise ConfigurationError(f"{document.path}: {fault}")
    kind = _registered(_kind(document))
    sync, findings = find_faults(kind.definition, document, kind.faults(document.data))
    if sync is None:
        raise ConfigurationError(listing(document.path, findings))
    sync._document = document  # noqa: SLF001 - the model cannot know its file while it is being validated
    for at, text in sync.contradictions():
        raise ConfigurationError(f"{sync.where(*at)}: {'.'.join(map(str, at))}: {text}")
    return sync


def _registered(name: str) -> _Registered:
    kind: _Registered = load(KINDS, name, "kind of sync")
    return kind


def _kind(document: Document) -> str:
    """The file's `kind`."""
    kind = document.data.get("kind")
    if kind not in KINDS:
        what = "is missing" if kind is None else f"'{kind}' is no kind of sync"
        kinds = " or ".join(f"'{each}'" for each in KINDS)
        finding = Finding(document.line(("kind",)), f"kind: {what}; write {kinds}")
        raise ConfigurationError(listing(document.path, [finding]))
    return str(kind)
