"""What a run of a catalog sync keeps, and what its catalog lacks."""

from dataclasses import dataclass, field, replace

import polars as pl

from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.schemas import KEY, SOURCE_PK, CatalogField


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


@dataclass(kw_only=True)
class CatalogWork(Work):
    """What a run of a catalog sync keeps besides what every run does.

    Args:
        definition: the sync.
        mapping: fitted to the table.
        change: what its schema lacks.
        sends_all: whether everything is to be sent again: the destination lost what the ledger takes for sent.
        patches: whether known items are edited instead of replaced, since they hold what this sync does not know.
        rows_last: rows of the last whole read; None before the first.
        seen: `source_pk` of the rows read, a series a batch.
        given_up: ids that rows read go by no longer, a series a batch.
    """

    definition: CatalogSync
    mapping: CatalogMapping
    change: SchemaChange
    sends_all: bool
    patches: bool
    rows_last: int | None
    seen: list[pl.Series] = field(default_factory=list)
    given_up: list[pl.Series] = field(default_factory=list)
    sifts = True

    @property
    def kept(self) -> tuple[pl.Expr, ...]:
        """What items cost, where they have a price: the gate holds the next one against it."""
        price = self.definition.price
        return () if price is None else (pl.col(price).cast(pl.Float64).alias("price"),)

    @property
    def first(self) -> str | None:
        """What the schema lacks."""
        return f"the catalog is to change first ({'; '.join(self.change.lines)})" if self.change.lines else None

    async def note_read(self, run: SyncRun, mapped: pl.DataFrame, known: pl.DataFrame, met: pl.Series) -> None:
        """Remember which rows are there, and which ids they go by no longer.

        Args:
            run: the run.
            mapped: a batch's mapped frame.
            known: what the ledger knew of these rows (LEDGER_ROW_SCHEMA).
            met: `source_pk` of the batch's other rows, which go by the ids that they went by.
        """
        if run.selection.whole:
            self.seen += [mapped[SOURCE_PK], met]
        sent = known.filter(pl.col("sent_fp").is_not_null()).select(SOURCE_PK, former=KEY)
        given_up = (
            mapped.select(SOURCE_PK, KEY)
            .join(sent, on=SOURCE_PK, how="inner")
            .filter(pl.col(KEY).ne_missing(pl.col("former")))["former"]
        )
        if given_up.is_empty():
            return
        self.given_up.append(given_up)
        if not run.planned:
            await run.persist(run.ledger.ledger.abandon, run.name, given_up)

    async def release_keys(self, run: SyncRun, former: pl.DataFrame) -> None:
        """Should one of these rows come back to its id, the item holds the other row's values."""
        if not run.planned and not former.is_empty():
            await run.persist(run.ledger.ledger.abandon, run.name, former[KEY], going=former[SOURCE_PK])

    async def note_leaving(self, run: SyncRun, batch: int, rows: pl.DataFrame) -> None:
        """Should the run die, the catalog may have these items as they are now, and the new ids."""
        if not rows.is_empty():
            leaving = rows.select(SOURCE_PK, pl.when(pl.col("_op") == "new").then(KEY).alias(KEY))
            await run.persist(run.ledger.ledger.note_leaving, sync=run.name, run=run.id, batch=batch, rows=leaving)

    async def note_unknown(self, run: SyncRun, rows: pl.DataFrame) -> None:
        """The catalog may have these items, or not."""
        if not rows.is_empty():
            await run.persist(run.ledger.ledger.abandon, run.name, rows[KEY])

    async def note_taken(self, run: SyncRun, rows: pl.DataFrame) -> None:
        """Write down what these items cost."""
        if self.kept and not rows.is_empty():
            await run.persist(run.ledger.ledger.record_prices, run.name, rows.with_columns(self.kept))

    async def note_left(self, run: SyncRun, batch: int) -> None:
        """Nothing of the batch is on its way any more."""
        await run.persist(run.ledger.ledger.note_left, sync=run.name, run=run.id, batch=batch)


async def catalog_work(opening: Opening, definition: CatalogSync, mapping: CatalogMapping) -> CatalogWork:
    """The catalog held against the mapping.

    Where the destination lost what was sent, the ledger forgets that it was before anything is decided by it.

    Raises:
        ConfigurationError: the catalog has fields of another type, or would get too many.
        TransientError: the destination did not answer.
    """
    change: SchemaChange = await opening.sink.keeper(opening.clients.account, mapping).look()
    ledger, name, catalog = opening.ledger.ledger, opening.name, definition.catalog.name
    former = await opening.ledger.do(ledger.catalog_name, name)
    layouts = await opening.ledger.do(ledger.mapping_fields, name)
    known = {column for columns in layouts.values() for column in columns}
    moved = change.create or former not in {None, catalog}
    lost = {each.name for each in change.add} & known
    sends_all = bool(known) and (moved or bool(lost))
    if sends_all and not opening.planned:
        await opening.ledger.do(ledger.forget_sent, name, items_exist=not moved)
    if not opening.planned:
        await opening.ledger.do(ledger.doubt_unrecorded, name)
        await opening.ledger.do(ledger.remember_catalog, name, catalog)
    if former not in {None, catalog}:
        stays = f"items went to catalog '{former}' before, which stays as it is"
        left = f"{stays}; delete it in {destination_of(definition).title} if nobody uses it"
        change = replace(change, notes=(*change.notes, left))
    return CatalogWork(
        definition=definition,
        mapping=mapping,
        change=change,
        sends_all=sends_all,
        patches=bool(set(change.extra) - set(change.delete)) or bool(mapping.stopped),
        rows_last=await opening.ledger.do(ledger.rows_last_read, name),
    )
