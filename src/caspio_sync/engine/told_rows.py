"""Announced rows that are taken from their messages instead of being read again (`trust: payload`).

Only a row that was added, that a message proven to be Caspio's tells whole, and of which the ledger knows nothing: what
it knows may be newer. A cell counts where it can be read in one way alone; else its row is read.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.engine.prepared import Prepared
from caspio_sync.hints import Hints, WaitingHint
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.schemas import DATETIME, SOURCE_DTYPES, SOURCE_PK, UNCASTABLE, CaspioField
from caspio_sync.sealed import Sealer

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?")
# Three digits after the point may be thousands, as some countries write them.
_NUMBER = re.compile(r"-?\d+(\.(\d{1,2}|\d{4,}))?")
_YES_OR_NO = frozenset({"true", "false", "1", "0"})
_PATHS = frozenset({"FILE", "ATTACHMENT"})  # a message may tell an address that holds for minutes
_LIST, _TIMESTAMP, _UTC = pl.List(pl.String), "TIMESTAMP", "UTC"


@dataclass(frozen=True, slots=True)
class ToldRows:
    """Finds the rows that messages tell whole.

    Args:
        prepared: the sync.
        hints: what has arrived.
        ledger: what is known of rows.
        sealer: decrypts rows.
    """

    prepared: Prepared
    hints: Hints
    ledger: LedgerThread
    sealer: Sealer

    async def of(self, found: Sequence[WaitingHint]) -> pl.DataFrame:
        """As `source_frame`, of those of the announced rows that need not be read."""
        name, read_fields, key = self.prepared.definition.name, self.prepared.read_fields, self.prepared.key
        sealed = await asyncio.to_thread(self.hints.payloads, found)
        times = Counter(each.source_pk for each in found)  # what was changed meanwhile as well is read
        single = [each for each in found if each.number in sealed and times[each.source_pk] == 1]
        known = await self.ledger.do(self.ledger.ledger.met_rows, name, [each.source_pk for each in single])
        rows = [
            row
            for each in single
            if each.source_pk not in known and (row := self._row(each.source_pk, sealed[each.number])) is not None
        ]
        frame = source_frame([orjson.dumps(rows)], read_fields, key.name)
        return frame.filter(pl.col(UNCASTABLE).is_null(), pl.col(SOURCE_PK).is_in([each.source_pk for each in single]))

    def _row(self, source_pk: int, sealed: bytes) -> dict[str, Any] | None:
        """The fields that the sync reads; None where one is missing, or could be read in another way."""
        opened = self.sealer.opened(sealed)
        told: Mapping[str, Any] = {} if opened is None else orjson.loads(opened)
        cells = {name.lower(): value for name, value in told.items()}
        row = {field.name: cells[field.name.lower()] for field in self._fields if field.name.lower() in cells}
        complete = len(row) == len(self._fields)
        if not complete or not all(is_plain(field, row[field.name]) for field in self._fields):
            return None
        versions = self.prepared.definition.compares_versions
        if versions and not all(map(_is_spelled_alike, self._fields, row.values())):
            return None
        return {**row, self.prepared.key.name: source_pk}

    @property
    def _fields(self) -> list[CaspioField]:
        key = self.prepared.key.name
        return [field for field in self.prepared.read_fields if field.name != key]


def is_plain(field: CaspioField, value: Any) -> bool:
    """Whether a cell of a message can be read in one way alone (Caspio, 5.3: types of `data`, and templates' texts)."""
    text, empty = isinstance(value, str), value is None or value == ""
    match SOURCE_DTYPES.get(field.type, pl.String):
        case dtype if dtype == _LIST:  # beside triggered actions lists are left out: an empty one may not be empty
            return isinstance(value, dict)
        case pl.Boolean:
            return isinstance(value, bool) or (text and value.lower() in _YES_OR_NO)
        case pl.Int64 | pl.Float64:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number or empty or (text and _NUMBER.fullmatch(value) is not None)
        case dtype if dtype == DATETIME:
            if field.type == _TIMESTAMP and (empty or (field.time_zone or "").strip().upper() != _UTC):
                return False  # in which zone a message tells it, nobody documents
            return empty or (text and _MOMENT.fullmatch(value) is not None)
    return field.type not in _PATHS and (text or value is None)


def _is_spelled_alike(field: CaspioField, value: Any) -> bool:
    """Whether a later read surely gives this very cell: it would else pass for another version of the row."""
    text = SOURCE_DTYPES.get(field.type, pl.String) == pl.String
    return not field.is_formula and not isinstance(value, dict) and not (text and value in {None, ""})
