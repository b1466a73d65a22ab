"""The columns a sync's mapping yields, in the order of the file: attributes, global states, subscription groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from caspio_sync.mapping.attributes import OBJECT_BYTES, TEXT_CHARS
from caspio_sync.mapping.cells import Cell, CellMaker
from caspio_sync.mapping.consent import SubscriptionGroup
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping, Scalar
from caspio_sync.mapping.names import STANDARD_ATTRIBUTES
from caspio_sync.mapping.nested import Member, json_array, json_object
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.schemas import MappedColumn

_MOMENTS = frozenset({"date_value", "datetime_value"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a column of the mapped frame comes about.

    Args:
        column: what it is.
        value: expression over the working frame (see cells.py).
        cells: what it is made of.
        code: name of its check.
        why: what is wrong with a value that fails.
    """

    column: MappedColumn
    value: pl.Expr
    cells: tuple[Cell, ...]
    code: str
    why: str

    @property
    def can_fail(self) -> bool:
        """Whether a value can be ill-formed."""
        return self.column.encoding == "json" or any(cell.can_fail for cell in self.cells)

    @property
    def holds(self) -> pl.Expr:
        """Whether every cell is well-formed."""
        return pl.all_horizontal(pl.lit(value=True), *(f"k{cell.number}" for cell in self.cells if cell.can_fail))


def plan_columns(sync: ProfileSync, maker: CellMaker) -> tuple[Plan, ...]:
    """The plans of all columns that fit; what does not fit is kept by `maker`."""
    return (*_attributes(sync, maker), *_states(sync, maker))


def _attributes(sync: ProfileSync, maker: CellMaker) -> Iterator[Plan]:
    for name, mapping in sync.fields.items():
        at = ("fields", name)
        if mapping.object is not None:
            yield _object_plan(at, name, mapping, maker)
        elif isinstance(mapping.array, tuple):
            yield _array_plan(at, name, mapping, mapping.array, maker)
        elif mapping.constant is not None:
            dtype = _dtype_of(mapping.constant)
            column = MappedColumn(name, dtype, on_null=mapping.on_null)
            yield Plan(column, pl.lit(mapping.constant, dtype=dtype), (), "constant", "")
        else:
            yield from _single_plan(at, name, _from_field(mapping), maker)


def _from_field(mapping: FieldMapping) -> FieldMapping:
    """`array: Field` is `from: Field` with the type written out."""
    if not isinstance(mapping.array, str):
        return mapping
    return mapping.model_copy(update={"source_field": mapping.array, "array": None, "type": "array"})


def _single_plan(at: Location, name: str, mapping: FieldMapping, maker: CellMaker) -> Iterator[Plan]:
    cell = maker.attribute(at, name, mapping, standard=STANDARD_ATTRIBUTES.get(name))
    if cell is not None:
        column = MappedColumn(name, cell.rule.dtype, on_null=mapping.on_null)
        yield Plan(column, cell.value, (cell,), cell.rule.code, cell.rule.why)


def _object_plan(at: Location, name: str, mapping: FieldMapping, maker: CellMaker) -> Plan:
    first = len(maker.cells)
    members = list(_members((*at, "object"), name, mapping.object or {}, maker))
    column = MappedColumn(name, pl.String, encoding="json", on_null=mapping.on_null)
    text = json_object(members)
    if name == "current_location":
        # Half a location is refused for the whole object (Braze, BAD_LOCATION_UPDATE).
        text = pl.when(pl.all_horizontal(member.value.is_not_null() for member in members)).then(text)
    return Plan(column, text, tuple(maker.cells[first:]), "object_size", _TOO_LARGE)


_TOO_LARGE = f"holds an ill-formed value, or is over {OBJECT_BYTES // 1024} KB"


def _members(at: Location, path: str, members: Mapping[str, FieldMapping], maker: CellMaker) -> Iterator[Member]:
    for key, mapping in members.items():
        inner, below = (*at, key), f"{path}.{key}"
        if mapping.constant is not None:
            yield Member(key, pl.lit(mapping.constant, dtype=_dtype_of(mapping.constant)), constant=True)
        elif mapping.object is not None:
            inside = tuple(_members((*inner, "object"), below, mapping.object, maker))
            yield Member(key, pl.lit(None), members=inside)
        elif (
            cell := maker.attribute(inner, below, _from_field(mapping), standard=_part_of_location(path, key))
        ) is not None:
            yield Member(key, cell.value, timed=cell.rule.code in _MOMENTS)


def _part_of_location(path: str, key: str) -> str | None:
    return key if path == "current_location" else None


def _array_plan(
    at: Location, name: str, mapping: FieldMapping, items: tuple[FieldMapping, ...], maker: CellMaker
) -> Plan:
    first = len(maker.cells)
    if items[0].object is not None:
        objects = [
            json_object(list(_members((*at, "array", number, "object"), f"{name}[{number}]", item.object or {}, maker)))
            for number, item in enumerate(items)
        ]
        column = MappedColumn(name, pl.String, encoding="json", on_null=mapping.on_null)
        return Plan(column, json_array(objects), tuple(maker.cells[first:]), "object_size", _TOO_LARGE)
    values = [
        value
        for number, item in enumerate(items)
        for value in _item((*at, "array", number), f"{name}[{number}]", item, maker)
    ]
    column = MappedColumn(name, pl.List(pl.String), on_null=mapping.on_null)
    items_of_row = pl.concat_list(values).list.drop_nulls().list.unique(maintain_order=True) if values else pl.lit(None)
    value = pl.when(items_of_row.list.len() > 0).then(items_of_row)
    return Plan(column, value, tuple(maker.cells[first:]), "array_size", f"holds an item over {TEXT_CHARS} characters")


def _item(at: Location, path: str, mapping: FieldMapping, maker: CellMaker) -> Iterator[pl.Expr]:
    if mapping.constant is not None:
        yield pl.lit(str(mapping.constant))
    elif mapping.array is not None:
        maker.fault(at, "an array inside an array is not possible; name single fields")
    else:
        typed = mapping if mapping.type is not None else mapping.model_copy(update={"type": "string"})
        cell = maker.attribute(at, path, typed)
        if cell is not None and cell.rule.dtype != pl.String:
            maker.fault(at, "items of an array are text; remove `type`")
        elif cell is not None:
            yield cell.value


def _states(sync: ProfileSync, maker: CellMaker) -> Iterator[Plan]:
    states = {"email_subscribe": sync.consent.email_subscribe, "push_subscribe": sync.consent.push_subscribe}
    for name, mapping in states.items():
        cell = mapping and maker.consent(("consent", name), name, mapping)
        if cell:
            column = MappedColumn(name, pl.String, role="consent")
            yield Plan(column, cell.value, (cell,), cell.rule.code, cell.rule.why)
    for number, group in enumerate(sync.consent.subscription_groups):
        if cell := maker.consent(("consent", "subscription_groups", number), group.column, group):
            yield Plan(_group_column(group), cell.value, (cell,), cell.rule.code, cell.rule.why)


def _group_column(group: SubscriptionGroup) -> MappedColumn:
    return MappedColumn(group.column, pl.String, role="subscription_group", channel=group.channel)


def _dtype_of(constant: Scalar) -> type[pl.DataType]:
    if isinstance(constant, bool):
        return pl.Boolean
    return {int: pl.Int64, float: pl.Float64}.get(type(constant), pl.String)
