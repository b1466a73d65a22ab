"""Items of a catalog in Braze: replaced, edited or deleted, and free of charge."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from caspio_sync.clients.braze_account import BrazeAccount
from caspio_sync.clients.braze_catalog_answers import ITEMS_READ_LIMIT, ITEMS_WRITE_LIMIT
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.braze.endpoints import ItemsEndpoint
from caspio_sync.destinations.braze.requests import items_envelope
from caspio_sync.ledger.compare import send
from caspio_sync.mapping.catalog_items import encode_item_changes, encode_item_ids, encode_items
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.catalogs import CatalogMapping
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.run.catalogs.items_back import ItemsReadBack
from caspio_sync.run.destination import WhenLost
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.verification.reading_back import ReadBack
from caspio_sync.run.writes import KNOWN_THERE, Write
from caspio_sync.schemas import KEY, MappedColumn

_NEW = (pl.col("_op") == "new") & ~pl.col(KNOWN_THERE).fill_null(value=False)


class CatalogSink:
    """Items of one catalog."""

    when_lost: WhenLost = "repeat"  # items hold whole values
    endpoint_place = "caspio_sync.destinations.braze.endpoints:items"

    def __init__(self, sync: CatalogSync) -> None:
        self._name = sync.catalog.name
        self._sync = sync
        self._put, self._patch, self._delete = (
            items_envelope("PUT", self._name),
            items_envelope("PATCH", self._name),
            items_envelope("DELETE", self._name),
        )
        self.envelopes: Sequence[Envelope] = (self._put, self._patch, self._delete)

    def limits(self, account: BrazeAccount) -> SenderLimits:
        """As `Sink.limits`."""
        return SenderLimits(account.connections, *ITEMS_WRITE_LIMIT)

    def endpoint(self, account: BrazeAccount) -> ItemsEndpoint:
        """As `Sink.endpoint`."""
        return ItemsEndpoint(account.new_catalogs())

    def endpoint_arguments(self, account: BrazeAccount) -> Mapping[str, Any]:
        """As `Sink.endpoint_arguments`."""
        return {"endpoint": account.address, "api_key": account.secret, "clients": account.connections}

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

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """As `Sink.opt_outs`: items have no consent."""
        raise NotImplementedError

    def deletes(self, rows: pl.DataFrame) -> list[Write]:
        """As `Sink.deletes`."""
        return [Write(rows, self._delete, lambda some: encode_item_ids(some[KEY]))]

    def price(
        self,
        rows: pl.DataFrame,  # noqa: ARG002 - nothing is billed
        columns: Sequence[MappedColumn],  # noqa: ARG002
        travels: Callable[[str], str] | None,  # noqa: ARG002
    ) -> pl.Expr:
        """As `Sink.price`: items are not billed."""
        return pl.lit(0)

    async def known(self, account: BrazeAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        paced = PacedCalls("Braze", ITEMS_READ_LIMIT, account.clock)
        answers = [
            await paced.ask(lambda key=key: account.catalogs.item(self._name, key))  # type: ignore[misc]
            for key in keys
        ]
        return sum(each.item is not None for each in answers)

    async def read_back(self, account: BrazeAccount, prepared: Prepared) -> ReadBack:
        """As `Sink.read_back`."""
        assert isinstance(prepared.mapping, CatalogMapping)
        items = ItemsReadBack(account.catalogs, self._sync, prepared.mapping, account.clock)
        await items.look()
        return items
