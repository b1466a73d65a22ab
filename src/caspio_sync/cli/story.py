"""A row behind `caspio-sync why`: as Caspio holds it now, as it is mapped and judged, and what the ledger knows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.query import and_, identifier, keys_where
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.line import Row, line_of, look_at
from caspio_sync.engine.posted import kept_rows
from caspio_sync.engine.prepared import Prepared, prepare
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes, mask_names
from caspio_sync.ledger.sources import KnownSource
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.story import Outcome, RowStory
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.registry import found
from caspio_sync.schemas import KEY, PROBLEMS, SOURCE_PK, UNCASTABLE, MappedColumn, ok
from caspio_sync.settings import Settings

if TYPE_CHECKING:
    from caspio_sync.schemas import CheckResult

_ROWS = 10  # with one key, more than enough to name; fewer than 5 have been refused (Caspio, 3.1)


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as Caspio holds it.

    Args:
        prepared: the sync held against its table.
        frame: source frame of this one row.
        others: PK_IDs of further rows with the same key.
        left_out: whether `source.where`, or `source.only`, leaves the row out of the sync.
    """

    prepared: Prepared
    frame: pl.DataFrame
    others: tuple[int, ...]
    left_out: bool

    @property
    def source_pk(self) -> int:
        """Its PK_ID."""
        return int(self.frame[SOURCE_PK][0])

    @property
    def values(self) -> dict[str, Any]:
        """Its cells by field, those of the sync alone."""
        return self.frame.drop(SOURCE_PK, UNCASTABLE).row(0, named=True)


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A row as a run would see it.

    Args:
        key: its identity as it would be sent; None where empty.
        values: the mapped values by Braze's name, JSON columns as values.
        ill_formed: names of the values that are not well-formed.
        problems: what is wrong, values masked; None for nothing.
        operation: "new" or "changed"; None where Braze acknowledged all of it.
        differs: names of the fields that differ from what Braze acknowledged.
        checks: what the gate says of it.
        restrained: which states are stricter than the row's own, for what another row of its key says.
    """

    key: str | None
    values: dict[str, Any]
    ill_formed: tuple[str, ...]
    problems: str | None
    operation: str | None
    differs: tuple[str, ...]
    checks: "tuple[CheckResult, ...]"
    restrained: tuple[str, ...] = ()


def story_salt(settings: Settings, ledger: Ledger, sync: str) -> int:
    """What the sync's keys are hashed with; a sync whose file is gone is taken to have had external ids."""
    file = settings.sync_file(sync)
    identity = load_sync(file).identity if file.is_file() else None
    return identity_salt(ledger.salt, identity.kind, identity.label) if identity else ledger.salt


def find_story(ledger: Ledger, sync: str, key: str, salt: int, source_pk: int | None = None) -> RowStory | None:
    """What the ledger knows of the row with this key, whatever its case; of several, of the one with this PK_ID."""
    hashed = key_hashes(pl.Series([key.strip()]), salt)[0]
    return ledger.story(sync, key.strip(), key_hash=hashed, source_pk=source_pk)


def travelled(outcome: Outcome, columns: Mapping[int, tuple[str, ...]]) -> list[str]:
    """Names of the fields that travelled, or would have."""
    names = columns.get(outcome.mapping_version)
    return mask_names(outcome.changed, names) if outcome.changed and names else []


async def find_row(
    settings: Settings,
    sync: str,
    key: str,
    source_pk: int | None,
    known: KnownSource | None,
    *,
    chosen: bool = False,
) -> FoundRow | None:
    """Read the row from Caspio: by its key, then by the PK_ID under which the ledger knows it.

    Args:
        settings: accounts, limits, places.
        sync: name of the sync.
        key: the identity.
        source_pk: the ledger's PK_ID; None where it knows none.
        known: the source's fields as the last run found them.
        chosen: whether that row is meant, and no other with the key.

    Raises:
        ConfigurationError, TransientError: as `prepare`, or Caspio, says.
    """
    connect = CONNECT.get()
    async with connect.caspio(settings, connect.clock) as caspio:
        prepared = await prepare(settings, sync, caspio, known)
        conditions = _conditions(prepared, key, source_pk)
        if chosen:
            field = prepared.fields[prepared.mapping.identity.source_field]
            (one,) = keys_where(prepared.key, [str(source_pk)])
            keyed = [None] if prepared.posted is not None else keys_where(field, [key])
            conditions = [str(and_(one, each)) for each in keyed]
        where = prepared.definition.source.where
        for left_out in (False, True) if where else (False,):
            for condition in conditions:
                rows = await _read(prepared, caspio, and_(None if left_out else where, condition))
                if not rows.is_empty():
                    row = _chosen(prepared, rows, source_pk, left_out=left_out)
                    if (kept := kept_rows(prepared.definition.source)) is not None and row.frame.filter(
                        kept
                    ).is_empty():
                        row = replace(row, left_out=True)
                    return await _beside(caspio, row)
    return None


def _looked_through(row: FoundRow) -> FoundRow:
    """The row, left out where `source.only` says so."""
    kept = kept_rows(row.prepared.definition.source)
    return row if kept is None or not row.frame.filter(kept).is_empty() else replace(row, left_out=True)


async def _beside(caspio: CaspioClient, row: FoundRow) -> FoundRow:
    """The row with what belongs to it in other tables."""
    beside = kind_of(row.prepared.definition).beside
    return replace(row, frame=await found(beside)(row.prepared, caspio, row.frame)) if beside else row


def _conditions(prepared: Prepared, key: str, source_pk: int | None) -> list[str]:
    by_pk = [] if source_pk is None else keys_where(prepared.key, [str(source_pk)])
    if prepared.posted is not None:  # what is in a post, no condition tells
        return by_pk
    try:
        return keys_where(prepared.fields[prepared.mapping.identity.source_field], [key]) + by_pk
    except CaspioSyncError:  # a text where the field holds numbers: only the ledger can know it
        if by_pk:
            return by_pk
        raise


async def _read(prepared: Prepared, caspio: CaspioClient, where: str | None) -> pl.DataFrame:
    fields = [*prepared.selected, *prepared.asked]
    select = list(dict.fromkeys([prepared.key.name, *(each.name for each in fields)]))
    order = f"{identifier(prepared.key.name)} ASC"
    page = await prepared.rows(caspio).records(prepared.source, select=select, where=where, order_by=order, limit=_ROWS)
    return source_frame([page.rows], fields, prepared.key.name)


def _chosen(prepared: Prepared, rows: pl.DataFrame, source_pk: int | None, *, left_out: bool) -> FoundRow:
    """The row the ledger knows, else the first: the one that owns the key."""
    known = rows.clear() if source_pk is None else rows.filter(pl.col(SOURCE_PK) == source_pk)
    row = rows.head(1) if known.is_empty() else known
    others = rows.filter(pl.col(SOURCE_PK) != row[SOURCE_PK][0])[SOURCE_PK]
    return FoundRow(prepared, row, tuple(others), left_out)


async def judge_row(sync: str, found: FoundRow, ledger: Ledger) -> tuple[str | None, JudgedRow | None]:
    """Its key as it would be sent, and the row mapped, held against the ledger and judged; None where only a run can.

    Raises:
        ConfigurationError: an expectation of the sync file cannot be evaluated.
    """
    from expectations.suites import Gates

    prepared = found.prepared.keeping(ledger.mapping_fields(sync))
    definition, mapping = prepared.definition, prepared.mapping
    row = Row(sync, found.frame, mapping, ledger, destination_of(definition).consent, Gates(sync, definition, mapping))
    await look_at(row, line_of(definition))
    key = row.own[KEY][0]
    if row.ended:
        return key, None
    return key, JudgedRow(
        key=key,
        values={column.name: _value(column, row.mapped) for column in mapping.columns},
        ill_formed=tuple(check.column for check in mapping.checked if not row.mapped[ok(check.column)][0]),
        problems=row.mapped[PROBLEMS][0],
        operation=row.operation,
        differs=tuple(name for name in str(row.changes["_changed"][0]).split(",") if name),
        checks=tuple(row.checks),
        restrained=_restrained(row),
    )


def _restrained(row: Row) -> tuple[str, ...]:
    own, mapped = row.own, row.mapped
    states = (column.name for column in row.mapping.columns if column.role != "attribute")
    rows = ", ".join(f"PK_ID {source_pk}" for source_pk in row.words[SOURCE_PK])
    return tuple(
        f"{name} is {mapped[name][0]} and not {own[name][0] or 'unknown'}: of the rows with this key ({rows} beside "
        "this one) the most restrictive consent leaves. Correct them, or give them keys of their own."
        for name in states
        if own[name][0] != mapped[name][0]
    )


def _value(column: MappedColumn, mapped: pl.DataFrame) -> Any:
    value = mapped.get_column(column.name).to_list()[0]
    return orjson.loads(value) if column.encoding == "json" and value is not None else value
