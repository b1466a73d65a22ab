"""What travels for which rows: profiles in one call, items replaced, edited or deleted."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from caspio_sync.delivery.requests import TRACK, Envelope, items_envelope
from caspio_sync.ledger.compare import opt_out, repeated, send
from caspio_sync.mapping.catalog_items import encode_item_changes, encode_item_ids, encode_items
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.objects import encode_objects, identifier_expression
from caspio_sync.run.context import SyncRun
from caspio_sync.schemas import KEY

KNOWN_THERE = "_known_there"  # whether Braze has the item, of this row or of the one that bore its id before
_NEW = (pl.col("_op") == "new") & ~pl.col(KNOWN_THERE).fill_null(value=False)


@dataclass(frozen=True, slots=True)
class Write:
    """Rows that travel by one call.

    Args:
        rows: changes, in the order in which they leave.
        envelope: the call.
        encode: gives one JSON object a row.
    """

    rows: pl.DataFrame
    envelope: Envelope
    encode: Callable[[pl.DataFrame], pl.Series]


def envelopes(definition: Sync) -> tuple[Envelope, ...]:
    """Every call that a sync makes while it sends."""
    if not isinstance(definition, CatalogSync):
        return (TRACK,)
    name = definition.catalog.name
    return items_envelope("PUT", name), items_envelope("PATCH", name), items_envelope("DELETE", name)


def planned_writes(run: SyncRun, rows: pl.DataFrame) -> list[Write]:
    """How these changes travel; together their rows are all of them."""
    if not isinstance(run.definition, CatalogSync):
        return [Write(rows, TRACK, lambda some: _profiles(run, some, opt_outs=False))]
    put, patch, _ = envelopes(run.definition)
    columns = run.mapping.columns
    if not run.work.patches:
        return [Write(rows, put, lambda some: encode_items(some, columns))]
    # A PATCH of an item that is not there hides behind its 202 (Braze, 9.2).
    return [
        Write(rows.filter(_NEW), put, lambda some: encode_items(some, columns)),
        Write(rows.filter(~_NEW), patch, lambda some: encode_item_changes(some, columns, send)),
    ]


def planned_opt_outs(run: SyncRun, leaving: pl.DataFrame) -> list[Write]:
    """What leaves ahead, of identifier and consent alone."""
    return [Write(leaving, TRACK, lambda some: _profiles(run, some, opt_outs=True))]


def planned_deletes(run: SyncRun, rows: pl.DataFrame) -> list[Write]:
    """The items under these rows' `key`, to be deleted."""
    *_, delete = envelopes(run.definition)
    return [Write(rows, delete, lambda some: encode_item_ids(some[KEY]))]


def _profiles(run: SyncRun, rows: pl.DataFrame, *, opt_outs: bool) -> pl.Series:
    identity = run.mapping.identity
    columns = [column for column in run.mapping.columns if not opt_outs or column.role != "attribute"]
    states = [column.name for column in columns if column.role != "attribute"]
    return encode_objects(
        rows.with_columns(pl.coalesce(name, repeated(name)) for name in states),
        columns,
        identifier=identifier_expression(identity.kind, identity.label),
        travels=opt_out if opt_outs else send,
        # An opt-out must not create a profile: the row that would may be held.
        update_only=opt_outs or run.mapping.identity.on_new == "update_only",
    )
