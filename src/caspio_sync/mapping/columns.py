"""How the columns of a mapping come about, whatever its kind: one plan a field of the sync file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.mapping.cells import Cell, CellMaker
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping, Scalar
from caspio_sync.mapping.nested import Member, decimals, json_array, json_object
from caspio_sync.schemas import MappedColumn


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


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes the plans of a sync's fields; what does not fit is kept by `maker`.

    Args:
        maker: makes their cells.
        meaning_of: the rule that a value follows whatever its type says, by its place in the sync file; None for none.
        root: the section of the sync file that they stand in.
    """

    maker: CellMaker
    meaning_of: Callable[[Location, FieldMapping], str | None]
    root: Location = ("fields",)

    def plans(self, fields: Mapping[str, FieldMapping]) -> Iterator[Plan]:
        """The plans of all fields that fit, in the order of the file."""
        for name, mapping in fields.items():
            at = (*self.root, name)
            if mapping.object is not None:
                yield self._object(at, name, mapping)
            elif isinstance(mapping.array, tuple):
                yield self._array(at, name, mapping, mapping.array)
            elif mapping.constant is not None:
                dtype = _dtype_of(mapping.constant)
                column = MappedColumn(name, dtype, on_null=mapping.on_null)
                yield Plan(column, pl.lit(mapping.constant, dtype=dtype), (), "constant", "")
            elif (cell := self._cell(at, name, _from_field(mapping))) is not None:
                column = MappedColumn(name, cell.rule.dtype, on_null=mapping.on_null, on_bad=mapping.on_bad)
                yield Plan(column, cell.value, (cell,), cell.rule.code, cell.rule.why)

    def _cell(self, at: Location, path: str, mapping: FieldMapping) -> Cell | None:
        return self.maker.value(at, path, mapping, meaning=self.meaning_of(at, mapping))

    def _object(self, at: Location, name: str, mapping: FieldMapping) -> Plan:
        first = len(self.maker.cells)
        members = list(self._members((*at, "object"), name, mapping.object or {}))
        return self._json(name, mapping, json_object(members), first, members)

    def _json(self, name: str, mapping: FieldMapping, text: pl.Expr, first: int, members: Sequence[Member]) -> Plan:
        column = MappedColumn(
            name,
            pl.String,
            encoding="json",
            on_null=mapping.on_null,
            on_bad=mapping.on_bad,
            decimals=decimals(members),
        )
        why = f"holds an ill-formed value, or is over {self.maker.values.json_size}"
        return Plan(column, text, tuple(self.maker.cells[first:]), "object_size", why)

    def _members(self, at: Location, path: str, members: Mapping[str, FieldMapping]) -> Iterator[Member]:
        for key, mapping in members.items():
            inner, below = (*at, key), f"{path}.{key}"
            if mapping.constant is not None:
                dtype = _dtype_of(mapping.constant)
                yield Member(key, pl.lit(mapping.constant, dtype=dtype), constant=True, decimal=dtype == pl.Float64)
            elif mapping.object is not None:
                inside = tuple(self._members((*inner, "object"), below, mapping.object))
                yield Member(key, pl.lit(None), members=inside)
            elif (cell := self._cell(inner, below, _from_field(mapping))) is not None:
                under = self.maker.values.time_key if cell.rule.dated else None
                yield Member(key, cell.value, decimal=cell.rule.dtype == pl.Float64, under=under)

    def _array(self, at: Location, name: str, mapping: FieldMapping, items: tuple[FieldMapping, ...]) -> Plan:
        first = len(self.maker.cells)
        if items[0].object is not None:
            objects = [
                list(self._members((*at, "array", number, "object"), f"{name}[{number}]", item.object or {}))
                for number, item in enumerate(items)
            ]
            text = json_array([json_object(members) for members in objects])
            return self._json(name, mapping, text, first, [member for members in objects for member in members])
        values = [
            value
            for number, item in enumerate(items)
            for value in self._item((*at, "array", number), f"{name}[{number}]", item)
        ]
        column = MappedColumn(name, pl.List(pl.String), on_null=mapping.on_null, on_bad=mapping.on_bad)
        row = pl.concat_list(values).list.drop_nulls().list.unique(maintain_order=True) if values else pl.lit(None)
        why = f"holds an item over {self.maker.values.text_chars} characters"
        return Plan(column, pl.when(row.list.len() > 0).then(row), tuple(self.maker.cells[first:]), "array_size", why)

    def _item(self, at: Location, path: str, mapping: FieldMapping) -> Iterator[pl.Expr]:
        if mapping.constant is not None:
            yield pl.lit(str(mapping.constant))
        elif mapping.array is not None:
            self.maker.fault(at, "an array inside an array is not possible; name single fields")
        else:
            typed = mapping if mapping.type is not None else mapping.model_copy(update={"type": "string"})
            cell = self.maker.value(at, path, typed)
            if cell is not None and cell.rule.dtype != pl.String:
                self.maker.fault(at, "items of an array are text; remove `type`")
            elif cell is not None:
                yield cell.value


def _from_field(mapping: FieldMapping) -> FieldMapping:
    """`array: Field` is `from: Field` with the type written out."""
    if not isinstance(mapping.array, str):
        return mapping
    return mapping.model_copy(update={"source_field": mapping.array, "array": None, "type": "array"})


def _dtype_of(constant: Scalar) -> type[pl.DataType]:
    if isinstance(constant, bool):
        return pl.Boolean
    return {int: pl.Int64, float: pl.Float64}.get(type(constant), pl.String)
