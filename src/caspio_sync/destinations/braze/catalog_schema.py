"""A catalog as the sync file describes it, held against Braze's: what is missing is made, nothing is dropped."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from caspio_sync.clock import Clock
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.catalog_answers import (
    CATALOGS_LIMIT,
    FIELDS_LIMIT,
    MAX_FIELDS,
    MAX_NEW_FIELDS,
    Catalog,
    CatalogRefusedError,
)
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.work import Kept, SchemaChange
from caspio_sync.schemas import CatalogField, CatalogType

LOOK_SECONDS = 2.0
VISIBLE_SECONDS = 300.0  # how long new fields may take to be there (Braze, 2.2)


Schema = Sequence[tuple[str, CatalogType]]


def find_changes(sync: CatalogSync, schema: Schema, found: Catalog | None) -> SchemaChange:
    """What Braze's catalog lacks, or has too much.

    Args:
        sync: the definition.
        schema: the mapping's fields, `id` first.
        found: the catalog of that name; None where there is none.

    Raises:
        ConfigurationError: fields of another type, or more fields than a catalog takes; every one is named.
    """
    name, fields = sync.catalog.name, tuple(CatalogField(*each) for each in schema)
    if found is None:
        return SchemaChange(name, create=True, fields=fields)
    theirs = {each.name: each.type for each in found.fields}
    retyped = [(each, theirs[each.name]) for each in fields if theirs.get(each.name, each.type) != each.type]
    if retyped:
        raise ConfigurationError("\n".join(_retyped(sync, each, there) for each, there in retyped))
    extra = tuple(each for each in theirs if each not in {own.name for own in fields})
    delete = extra if sync.catalog.on_extra_field == "delete" else ()
    add = tuple(each for each in fields if each.name not in theirs)
    if len(theirs) - len(delete) + len(add) > MAX_FIELDS:
        raise ConfigurationError(
            f"{sync.where('fields')}: catalog '{name}' has {len(theirs)} fields and would get {len(add)} more; Braze "
            f"takes {MAX_FIELDS}. Delete fields in Braze that nobody uses, or map fewer"
        )
    return SchemaChange(
        name,
        create=False,
        fields=fields,
        add=add,
        extra=extra,
        delete=delete,
        num_items=found.num_items,
        notes=tuple(_notes(sync, found, () if delete else extra)),
    )


def _retyped(sync: CatalogSync, wanted: CatalogField, there: str) -> str:
    return (
        f"{sync.where('fields', wanted.name)}: fields.{wanted.name}: is of type {wanted.type} here and {there} in "
        f"Braze's catalog '{sync.catalog.name}', where a type cannot change. Write `type: {there}` if its values are "
        "such, give the field another name, or delete it in Braze (its values go with it) and run again"
    )


def _notes(sync: CatalogSync, found: Catalog, kept: Sequence[str]) -> list[str]:
    notes = []
    if kept:
        notes.append(
            f"Braze's catalog '{found.name}' has fields that the sync does not map: {', '.join(kept)}. They are kept, "
            "and known items are edited instead of replaced; map them, or have them deleted with "
            "`on_extra_field: delete`"
        )
    if sync.catalog.description and found.description != sync.catalog.description:
        notes.append(
            f"the description of catalog '{found.name}' differs from the sync file's; Braze's API cannot change it"
        )
    return notes


class CatalogKeeper:
    """Keeps one catalog's schema.

    Args:
        sync: the definition.
        schema: the mapping's fields, `id` first.
        client: asks Braze.
        clock: paces the calls.
    """

    def __init__(self, sync: CatalogSync, schema: Schema, client: CatalogClient, clock: Clock) -> None:
        self._sync = sync
        self._schema = schema
        self._client = client
        self._clock = clock
        self._calls = PacedCalls("Braze", CATALOGS_LIMIT, clock)
        self._field_calls = PacedCalls("Braze", FIELDS_LIMIT, clock)

    async def look(self) -> SchemaChange:
        """What has to be done; as `find_changes`."""
        return find_changes(self._sync, self._schema, await self._found())

    async def keep(self, expected: SchemaChange) -> Kept:
        """Make what is missing, and wait until it is there. It may be repeated.

        Args:
            expected: what `look` said when the run was opened. What Braze lost since then was not asked for, and what
                the ledger takes for sent would be gone with it.

        Raises:
            ConfigurationError: Braze refuses the catalog, or a field.
            TransientError: Braze did not answer, what was made did not appear, or somebody else is at work there.
        """
        change = await self.look()
        if change.create > expected.create or (not expected.create and not set(change.add) <= set(expected.add)):
            raise TransientError(
                f"catalog '{change.catalog}' lost fields, or was deleted, while the run was being opened; run again"
            )
        try:
            if change.create:
                await self._create(change)
            else:
                await self._add(change)
        except CatalogRefusedError as refused:
            # An answer that was lost, or somebody else beside us: what was refused may be there by now.
            now = await self.look()
            if (now.create, now.add) == (change.create, change.add):
                raise ConfigurationError(
                    f"{self._sync.where('catalog')}: Braze refuses the catalog '{change.catalog}': "
                    f"{refused.message_text}. Correct the sync file, or the catalog in Braze, and run again"
                ) from refused
            if now.create or now.add:
                raise TransientError(
                    f"catalog '{change.catalog}' changed while it was being made; run again"
                ) from refused
        deleted, refusals = await self._delete(change)
        if change.add or deleted:
            await self._visible(change, deleted)
        kept = set(change.delete) - set(deleted)
        return Kept([*replace(expected, delete=tuple(deleted)).lines, *refusals], keeps_fields=bool(kept))

    async def _create(self, change: SchemaChange) -> None:
        description = self._sync.catalog.description
        await self._calls.ask(lambda: self._client.create_catalog(change.catalog, description, change.fields))

    async def _add(self, change: SchemaChange) -> None:
        for start in range(0, len(change.add), MAX_NEW_FIELDS):
            some = change.add[start : start + MAX_NEW_FIELDS]
            await self._field_calls.ask(lambda some=some: self._client.add_fields(change.catalog, some))  # type: ignore[misc]

    async def _delete(self, change: SchemaChange) -> tuple[list[str], list[str]]:
        """Names of the fields that are gone, and why others are not."""
        deleted, refusals = [], []
        for name in change.delete:
            try:
                await self._field_calls.ask(lambda name=name: self._client.delete_field(change.catalog, name))  # type: ignore[misc]
            except CatalogRefusedError as refused:
                if "invalid-field-name" in refused.ids:  # gone: by a call whose answer was lost, or by somebody
                    deleted.append(name)
                    continue
                refusals.append(f"field {name} could not be deleted, and is kept: {refused.message_text}")
            else:
                deleted.append(name)
        return deleted, refusals

    async def _visible(self, change: SchemaChange, deleted: Collection[str]) -> None:
        """Wait until the fields are there: an item that names a field too early is refused."""
        until = self._clock.monotonic() + VISIBLE_SECONDS
        while True:
            found = await self._found()
            names = {each.name for each in found.fields} if found else set()
            if {each.name for each in change.add} <= names and not names & set(deleted):
                return
            if self._clock.monotonic() >= until:
                raise TransientError(
                    f"catalog '{change.catalog}' does not show its fields after {VISIBLE_SECONDS:.0f} s; run again"
                )
            await self._clock.sleep(LOOK_SECONDS)

    async def _found(self) -> Catalog | None:
        return (await self._calls.ask(self._client.catalogs)).named(self._sync.catalog.name)
