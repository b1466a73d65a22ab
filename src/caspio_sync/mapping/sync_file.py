"""Reading a sync file of any kind."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.catalog_faults import catalog_faults
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.document import Document, Finding, Location, listing, parse_document, read_document
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.faults import find_faults, profile_faults
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.sync_files import fault_in_name

AnySync = ProfileSync | CatalogSync | EngagementSync

KINDS: Mapping[str, type[AnySync]] = MappingProxyType(
    {"profiles": ProfileSync, "catalog": CatalogSync, "engagement": EngagementSync}
)
_FAULTS: Mapping[str, Callable[[Any], Iterable[tuple[Location, str]]]] = MappingProxyType(
    {"profiles": profile_faults, "catalog": catalog_faults, "engagement": lambda _: ()}
)


def load_sync(path: Path) -> AnySync:
    """Read a sync file.

    Raises:
        ConfigurationError: every finding, as `file:line: what; what to do`, one a line.
    """
    return _checked(read_document(path))


def parse_sync(text: str, path: Path) -> AnySync:
    """As `load_sync`, from text that would stand in `path`."""
    return _checked(parse_document(text, path))


def sync_json_schema() -> dict[str, Any]:
    """JSON Schema of the sync file, for editors."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "caspio-sync: sync definition"}
    return title | TypeAdapter(Annotated[AnySync, Field(discriminator="kind")]).json_schema(by_alias=True)


def _checked(document: Document) -> AnySync:
    if (fault := fault_in_name(document.path.stem)) is not None:
        raise ConfigurationError(f"{document.path}: {fault}")
    kind = _kind(document)
    sync, findings = find_faults(KINDS[kind], document, _FAULTS[kind](document.data))
    if sync is None:
        raise ConfigurationError(listing(document.path, findings))
    sync._document = document  # noqa: SLF001 - the model cannot know its file while it is being validated
    for at, text in sync.contradictions():
        raise ConfigurationError(f"{sync.where(*at)}: {'.'.join(map(str, at))}: {text}")
    return sync


def _kind(document: Document) -> str:
    """The file's `kind`."""
    kind = document.data.get("kind")
    if kind not in KINDS:
        what = "is missing" if kind is None else f"'{kind}' is no kind of sync"
        kinds = " or ".join(f"'{each}'" for each in KINDS)
        finding = Finding(document.line(("kind",)), f"kind: {what}; write {kinds}")
        raise ConfigurationError(listing(document.path, [finding]))
    return str(kind)
