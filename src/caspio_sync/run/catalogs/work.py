"""What a run of a catalog sync keeps, and what its catalog lacks."""

from dataclasses import dataclass, field

import polars as pl

from caspio_sync.schemas import CatalogField


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What has to be done before items can be sent.

    Args:
        catalog: name of the catalog.
        create: whether there is none of this name.
        fields: of the mapping, `id` first.
        add: those of them that the catalog lacks.
        extra: names of fields that it has and the mapping lacks.
        delete: those of the extra ones that the sync file wants deleted.
        num_items: items the catalog has.
        notes: what a person should know, and nothing is done about.
    """

    catalog: str
    create: bool
    fields: tuple[CatalogField, ...]
    add: tuple[CatalogField, ...] = ()
    extra: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    num_items: int = 0
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The changes, for people; empty where there is nothing to do."""
        if self.create:
            columns = ", ".join(f"{each.name} {each.type}" for each in self.fields)
            return [f"create catalog {self.catalog} ({columns})"]
        added = [f"add field {each.name} ({each.type})" for each in self.add]
        return [*added, *(f"delete field {name} and its values (on_extra_field: delete)" for name in self.delete)]


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done to a catalog's schema.

    Args:
        lines: for people; what was refused among them.
        keeps_fields: whether fields that were to be deleted are still there, with their values.
    """

    lines: list[str]
    keeps_fields: bool


@dataclass(slots=True)
class CatalogWork:
    """What a run of a catalog sync keeps besides what every run does.

    Args:
        change: what its schema lacks.
        sends_all: whether everything is to be sent again: what the ledger takes for sent was lost there.
        patches: whether known items are edited instead of replaced, since they hold what this sync does not know.
        seen: `source_pk` of the rows read, a series a batch.
        given_up: ids that rows read go by no longer, a series a batch.
        rows_last: rows of the last whole read; None before the first.
    """

    change: SchemaChange
    sends_all: bool
    patches: bool
    rows_last: int | None
    seen: list[pl.Series] = field(default_factory=list)
    given_up: list[pl.Series] = field(default_factory=list)
