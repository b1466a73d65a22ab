"""Event mapping: Caspio rows as events or purchases, and what tells one version of a row from another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import xxhash

from caspio_sync.deferred import np
from caspio_sync.kinds.events.assembly import Assembly
from caspio_sync.kinds.events.definition import (
    CURRENCY,
    EVENT_NAME,
    LINE_COUNT,
    ORDER_KEY,
    PRICE,
    PRODUCT_ID,
    QUANTITY,
    TIME,
    Occurrences,
)
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.mapping.cells import CellMaker
from caspio_sync.mapping.columns import Plan, Planner
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import CaspioField, MappedColumn

if TYPE_CHECKING:
    import numpy.typing as npt

# The rule that each part of an event follows, whatever its type says.
_MEANING: Mapping[str, str] = {
    EVENT_NAME: "event_name",
    TIME: "datetime",
    PRODUCT_ID: "product_id",
    CURRENCY: "text",
    PRICE: "number",
    QUANTITY: "integer",
    ORDER_KEY: "product_id",
    LINE_COUNT: "integer",
}


class EventMapping(RowMapping):
    """An event or purchase sync's mapping, fitted to the fields of its table.

    The mapped frame has the parts of the event (`event_name`, `time`, `product_id`, …) as columns besides its
    properties.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        values: what the destination takes as an event.
        absent: as for `RowMapping`.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(
        self, sync: Occurrences, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> None:
        maker = CellMaker(sync, fields, values)
        identity = sync.identity
        key = maker.key(sync.key_place, identity.source_field, identity.kind, region=identity.region)
        plans = (*_own_plans(sync, maker), *_properties(sync, maker, values))
        said = {"fields", "time", "event", "product_id", "currency", "price", "quantity", "negative"}
        digested = {
            "identity": identity.model_dump(mode="json", exclude={"on_new"}),
            "event": sync.model_dump(mode="json", include=said),
            "on_update": sync.on_update,
            "time_zone": sync.source.time_zone,
        }
        lines = sync.order_lines
        if lines is not None:
            digested["lines"] = lines.model_dump(mode="json", by_alias=True)
        super().__init__(identity, maker, key, plans, digested=digested, absent=absent)

        self.on_update = sync.on_update
        self._stamp = sync.source.cursor
        self._own = sync.own_parts
        self.schemas = tuple(values.schemas[name] for name in sync.taxonomy if name in values.schemas)
        self._assembly = None if lines is None else Assembly(sync, lines, values)
        if self._assembly is not None:
            self.columns += self._assembly.columns

    @property
    def properties(self) -> tuple[MappedColumn, ...]:
        """The columns that are properties."""
        return tuple(column for column in self.columns if column.name not in self._own)

    @property
    def assembly(self) -> Assembly | None:
        """What is made of an order's lines; None where a row is all there is."""
        return self._assembly

    def apply(self, source: pl.DataFrame, *, today: date | None = None) -> pl.DataFrame:
        """As `RowMapping.apply`; where an event is made of lines, of a frame to which they were joined (`lines.py`)."""
        mapped = super().apply(source, today=today)
        return mapped if self._assembly is None else self._assembly.carry(source, mapped)

    @property
    def layout(self) -> tuple[str, ...]:
        """As `RowMapping.layout`: an edited row is one whose cells differ, however they are mapped by now.

        The cursor field tells when anything of the row was touched; it is no part of what is told of it.
        """
        own = (name for name in self.source_fields if name != self._stamp)
        return (*own, *(() if self._assembly is None else self._assembly.cells))

    def versions(self, source: pl.DataFrame, salt: int) -> tuple[pl.Series, fp.FieldPrints]:
        """Which version of its row each is: `fp`, and the fingerprints of its cells in the order of `layout`.

        Args:
            source: a source frame.
            salt: the run's.
        """
        source = source if self._assembly is None else self._assembly.joined(source)
        columns = [MappedColumn(name, source.schema[name], on_null="clear") for name in self.layout]
        prints = fp.field_fingerprints(source, columns, salt)
        digest = xxhash.xxh3_128_digest
        versions = [digest(packed, salt) for packed in fp.pack(prints).to_list()]
        return pl.Series("fp", versions, dtype=pl.Binary), prints


def edited(
    prints: fp.FieldPrints, stored: pl.DataFrame, layout: Sequence[str], layouts: Mapping[int, Sequence[str]]
) -> npt.NDArray[np.bool_]:
    """Whether a cell of each row differs from what is stored of it; a field that was not read then tells nothing.

    Args:
        prints: of the present rows, in the order of `layout`.
        stored: `fields` (packed; null where nothing is known of the cells: then it counts as edited) and
            `mapping_version` of each.
        layout: the present one.
        layouts: those of all mapping versions.
    """
    differs = np.ones(len(prints), dtype=np.bool_)
    known = stored.with_row_index("place").filter(pl.col("fields").is_not_null())
    for (version,), group in known.group_by("mapping_version"):
        places = group["place"].to_numpy()
        before = fp.unpack(group["fields"], layouts[int(str(version))], layout)
        differs[places] = ((before != prints[places]) & (before != fp.NEVER_SENT)).any(axis=1)
    return differs


def _own_plans(sync: Occurrences, maker: CellMaker) -> Iterator[Plan]:
    """What an event is besides its properties."""
    for name, value in sync.constants().items():
        dtype = pl.String if isinstance(value, str) else pl.Int64
        yield Plan(MappedColumn(name, dtype), pl.lit(value, dtype=dtype), (), "constant", "")

    def meaning(at: Location, _: FieldMapping) -> str | None:
        return _MEANING[str(at[-1])]

    yield from Planner(maker, meaning, root=()).plans(sync.own_fields())


def _properties(sync: Occurrences, maker: CellMaker, values: ValueRules) -> Iterator[Plan]:
    schemas = [values.schemas[name] for name in sync.taxonomy if name in values.schemas]

    def meaning(at: Location, _: FieldMapping) -> str | None:
        told = schemas[0].parts.get(str(at[-1])) if schemas and len(at) == 2 else None
        return told if told in values.rules else None

    return Planner(maker, meaning, root=(sync.properties_word,)).plans(sync.fields)
