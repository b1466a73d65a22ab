"""Items of a catalog in Braze: replaced, edited or deleted, and free of charge."""

from collections.abc import Sequence
from typing import cast

import polars as pl

from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.catalog_answers import ITEMS_READ_LIMIT, ITEMS_WRITE_LIMIT
from caspio_sync.destinations.braze.catalog_schema import CatalogKeeper
from caspio_sync.destinations.braze.item_endpoint import ItemsEndpoint
from caspio_sync.destinations.braze.item_objects import encode_item_changes, encode_item_ids, encode_items
from caspio_sync.destinations.braze.items import ITEM_VALUES
from caspio_sync.destinations.braze.items_back import ItemsReadBack
from caspio_sync.destinations.braze.requests import items_envelope
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.writes import KNOWN_THERE, Write
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.ledger.compare import send
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import KEY

_NEW = (pl.col("_op") == "new") & ~pl.col(KNOWN_THERE).fill_null(value=False)


class CatalogSink(Sink[BrazeAccount]):
    """Items of one catalog."""

    values = ITEM_VALUES
    when_lost = "repeat"  # items hold whole values
    endpoint_place = "caspio_sync.destinations.braze.item_endpoint:items"

    def __init__(self, sync: CatalogSync) -> None:
        self._name = sync.catalog.name
        self._sync = sync
        self._put, self._patch, self._delete = (
            items_envelope("PUT", self._name),
            items_envelope("PATCH", self._name),
            items_envelope("DELETE", self._name),
        )
        self.envelopes = (self._put, self._patch, self._delete)

    @classmethod
    async def probe(cls, account: BrazeAccount) -> str:
        """As `Sink.probe`."""
        await account.catalogs.probe_catalogs()
        return "lets the key keep catalogs (catalogs.*)"

    def limits(self, account: BrazeAccount) -> SenderLimits:
        """As `Sink.limits`."""
        return SenderLimits(account.connections, *ITEMS_WRITE_LIMIT)

    def endpoint(self, account: BrazeAccount) -> ItemsEndpoint:
        """As `Sink.endpoint`."""
        return ItemsEndpoint(account.new_catalogs())

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:
        """As `Sink.writes`."""
        columns = mapping.columns
        if whole:
            return [Write(rows, self._put, lambda some: encode_items(some, columns))]
        # A PATCH of an item that is not there hides behind its 202 (Braze, 9.2).
        return [
            Write(rows.filter(_NEW), self._put, lambda some: encode_items(some, columns)),
            Write(rows.filter(~_NEW), self._patch, lambda some: encode_item_changes(some, columns, send)),
        ]

    def deletes(self, rows: pl.DataFrame) -> list[Write]:
        """As `Sink.deletes`."""
        return [Write(rows, self._delete, lambda some: encode_item_ids(some[KEY]))]

    async def known(self, account: BrazeAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        paced = PacedCalls("Braze", ITEMS_READ_LIMIT, account.clock)
        answers = [
            await paced.ask(lambda key=key: account.catalogs.item(self._name, key))  # type: ignore[misc]
            for key in keys
        ]
        return sum(each.item is not None for each in answers)

    async def read_back(self, account: BrazeAccount, mapping: RowMapping) -> ReadBack:
        """As `Sink.read_back`."""
        items = ItemsReadBack(account.catalogs, self._sync, cast("CatalogMapping", mapping), account.clock)
        await items.look()
        return items

    def keeper(self, account: BrazeAccount, mapping: RowMapping) -> CatalogKeeper:
        """As `Sink.keeper`."""
        return CatalogKeeper(self._sync, cast("CatalogMapping", mapping).schema, account.catalogs, account.clock)
