"""Deal mapping: Caspio rows as deals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from caspio_sync.kinds.deals.definition import (
    CONTACT,
    CURRENCY,
    DESCRIPTION,
    OWN,
    OWNER,
    PIPELINE,
    STAGE,
    STATUS,
    TITLE,
    VALUE,
    DealSync,
)
from caspio_sync.mapping.cells import CellMaker
from caspio_sync.mapping.columns import Planner
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import CaspioField, MappedColumn

# The rule that each part of a deal follows, whatever its type says.
_MEANING: Mapping[str, str] = {
    CONTACT: "email",
    TITLE: "line",
    VALUE: "number",
    CURRENCY: "line",
    PIPELINE: "line",
    STAGE: "line",
    OWNER: "line",
    STATUS: "line",
    DESCRIPTION: "text",
}


class DealMapping(RowMapping):
    """A deal sync's mapping, fitted to the fields of its table.

    The mapped frame has the parts of the deal (`contact`, `title`, `value`, …) as columns before its own fields.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        values: what the destination takes as a deal.
        absent: as for `RowMapping`.

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """

    def __init__(
        self, sync: DealSync, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> None:
        maker = CellMaker(sync, fields, values)
        key = maker.key(sync.key_place, sync.deal, sync.identity.kind)

        def meaning(at: Location, _: FieldMapping) -> str | None:
            return _MEANING[str(at[-1])]

        own = Planner(maker, meaning, root=()).plans(sync.own_fields())
        others = Planner(maker, lambda _at, _mapping: None).plans(sync.fields)
        digested = {
            "deal": sync.deal,
            "own": sync.model_dump(mode="json", include=set(OWN)),
            "fields": sync.model_dump(mode="json", include={"fields"}),
            "time_zone": sync.source.time_zone,
        }
        super().__init__(sync.identity, maker, key, (*own, *others), digested=digested, absent=absent)

    @property
    def own_fields(self) -> tuple[MappedColumn, ...]:
        """The columns that are the destination's own fields of deals."""
        return tuple(column for column in self.columns if column.name not in _MEANING)
