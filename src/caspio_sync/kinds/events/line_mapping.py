"""Lines of orders as products."""

from collections.abc import Sequence

import polars as pl

from caspio_sync.kinds.events.assembly import PRICE_PART, QUANTITY_PART
from caspio_sync.kinds.events.definition import Occurrences
from caspio_sync.kinds.events.lines_definition import Lines
from caspio_sync.mapping.cells import CellMaker
from caspio_sync.mapping.columns import Planner
from caspio_sync.mapping.definition import Source as Described
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import CaspioField, ok

PRODUCT = "product"  # the JSON object of a product, without its pieces
SOUND = "_sound"
_AT: Location = ("lines", "products")


class LineMapping(RowMapping):
    """The lines of an order, fitted to the fields of their table; their key is the order's number.

    Args:
        sync: the definition.
        lines: its `lines:`.
        fields: the lines' table's fields, as Caspio declares them.
        values: what the destination takes as an event.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(self, sync: Occurrences, lines: Lines, fields: Sequence[CaspioField], values: ValueRules) -> None:
        described = Described(table=lines.table, time_zone=sync.source.time_zone)
        maker = CellMaker(sync.model_copy(update={"source": described, "fields": {}}), fields, values)
        key = maker.key(("lines", "key"), lines.key.of_line, "product_id")
        schema = next(each.product for each in values.schemas.values() if each.product is not None)

        def meaning(at: Location, _: FieldMapping) -> str | None:
            # A part of the product itself, told by itself or inside its object; what metadata holds may be anything.
            told = schema.parts.get(str(at[-1])) if len(at) in {len(_AT) + 1, len(_AT) + 3} else None
            return told if told in values.rules else None

        planner = Planner(maker, meaning, root=_AT)
        parts = {name: each for name, each in lines.products.items() if each.object is None}
        plans = list(planner.plans(parts))
        if not maker.findings:  # else each would be told twice
            inside = {name: each for name, each in lines.products.items() if name != QUANTITY_PART}
            plans += planner.plans({PRODUCT: FieldMapping.model_validate({"object": inside})})
        super().__init__(sync.identity, maker, key, plans, digested={}, absent=())
        self._required = sorted(schema.required & parts.keys())
        self._takes_back = lines.returned_as is not None

    @property
    def sound(self) -> pl.Expr:
        """Whether a line is a product, over its mapped frame."""
        pieces, price = pl.col(QUANTITY_PART), pl.col(PRICE_PART)
        counts = pieces != 0 if self._takes_back else pieces > 0
        there = [pl.col(name).is_not_null() for name in (*self._required, PRODUCT)]
        texts = [pl.col(name).str.len_chars() > 0 for name in self._texts_needed]
        well_formed = [pl.col(ok(check.column)) for check in self.checked]
        return pl.all_horizontal(*there, *texts, *well_formed, counts, price >= 0).fill_null(value=False)

    @property
    def _texts_needed(self) -> list[str]:
        return [each.name for each in self.columns if each.name in self._required and each.dtype == pl.String]
