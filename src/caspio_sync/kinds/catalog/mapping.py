"""Catalog mapping: Caspio rows as items of a catalog."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import polars as pl

from caspio_sync.kinds.catalog.definition import CatalogField, CatalogSync
from caspio_sync.mapping.cells import Cell, CellMaker
from caspio_sync.mapping.columns import Plan, Planner
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import CaspioField, CatalogType, MappedColumn

# Of the changes of a catalog, for its gate: the price that was last sent (Float64; null where none is known, or
# where a person released the row), and how many rows this read and the last whole one found (null for no statement).
LAST_PRICE = "_last_price"
ROWS_NOW = "_rows_now"
ROWS_LAST = "_rows_last"


class CatalogMapping(RowMapping):
    """A catalog sync's mapping, fitted to the fields of its table.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        values: what the destination takes as an item.
        absent: as for `RowMapping`.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(
        self, sync: CatalogSync, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> None:
        maker = CellMaker(sync, fields, values)
        key = _key(sync, maker)
        plans = tuple(_plans(sync, maker))
        _check_price(sync, maker, [plan.column for plan in plans])
        digested = {
            "item_id": [sync.item_id.source_field, sync.item_id.id_transform],
            "catalog": sync.catalog.name,
            "fields": sync.model_dump(mode="json", include={"fields"}),
            "time_zone": sync.source.time_zone,
        }
        super().__init__(sync.identity, maker, key, plans, digested=digested, absent=absent)

    @property
    def schema(self) -> tuple[tuple[str, CatalogType], ...]:
        """Names and types of the catalog's fields, `id` first (Braze, 9.1)."""
        types = ((column.name, column.catalog_type) for column in self.columns)
        return (("id", "string"), *((name, type_) for name, type_ in types if type_ is not None))


def slug(text: pl.Expr) -> pl.Expr:
    """An id of a to z, 0 to 9, - and _, of any length; null where nothing is left.

    Marks come off their letters, letters become small, and every run of signs other than a to z, 0 to 9 and _ becomes
    one hyphen; none leads or ends.
    """
    plain = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    made = plain.str.replace_all("[^a-z0-9_]+", "-").str.strip_chars("-")
    return pl.when(made.str.len_bytes() > 0).then(made)


def _key(sync: CatalogSync, maker: CellMaker) -> Cell | None:
    cell = maker.key(sync.key_place, sync.item_id.source_field, sync.identity.kind)
    if cell is None or sync.item_id.id_transform == "strict":
        return cell
    made = replace(cell, kind="text", prepared=slug(cell.prepared.cast(pl.String)))
    maker.cells[maker.cells.index(cell)] = made
    return made


def _plans(sync: CatalogSync, maker: CellMaker) -> Iterator[Plan]:
    def meaning(_: Location, mapping: FieldMapping) -> str | None:
        # A number of whole numbers stays one: a template would print 5.0 for 5.
        bare = mapping.type == "number" and not mapping.transform and not mapping.map
        return "integer" if bare and maker.kind_of(mapping.source_field) == "integer" else None

    planner = Planner(maker, meaning)
    for name, mapping in sync.fields.items():
        made = _place(name, mapping, maker) if mapping.geo is not None else planner.plans({name: mapping})
        for plan in made:
            yield replace(plan, column=replace(plan.column, catalog_type=_type_of(plan, mapping)))


def _place(name: str, mapping: CatalogField, maker: CellMaker) -> Iterator[Plan]:
    """`[longitude, latitude]` as JSON text; half a place is none."""
    assert mapping.geo is not None
    cells = [
        maker.value(
            ("fields", name, "geo", part), f"{name}.{part}", CatalogField.model_validate({"from": field}), meaning=part
        )
        for part, field in (("longitude", mapping.geo.longitude), ("latitude", mapping.geo.latitude))
    ]
    longitude, latitude = cells
    if longitude is None or latitude is None:
        return
    # A degree that is null makes the whole text null.
    text = pl.concat_str(
        pl.lit("["), longitude.value.cast(pl.String), pl.lit(","), latitude.value.cast(pl.String), pl.lit("]")
    )
    column = MappedColumn(name, pl.String, encoding="json", on_null=mapping.on_null)
    yield Plan(column, text, (longitude, latitude), "geo_range", "is no longitude and latitude in degrees")


def _type_of(plan: Plan, mapping: CatalogField) -> CatalogType:
    if mapping.geo is not None:
        return "geo"
    if plan.column.encoding == "json":
        return "object"
    if plan.code == "time_value":
        return "time"
    dtype = plan.column.dtype
    if isinstance(dtype, pl.List):
        return "array"
    if dtype == pl.Boolean:
        return "boolean"
    return "number" if dtype in {pl.Int64, pl.Float64} else "string"


def _check_price(sync: CatalogSync, maker: CellMaker, columns: Sequence[MappedColumn]) -> None:
    """What the gate takes for a price must be a number, and what it takes for a currency text."""
    types = {column.name: column.catalog_type for column in columns}
    for word, wanted in (("price", "number"), ("currency", "string")):
        name = getattr(sync.gate, word)
        if name in types and types[name] != wanted:
            maker.fault(
                ("gate", word), f"'{name}' is of type {types[name]}; the {word} is a {wanted}, add `type: {wanted}`"
            )
