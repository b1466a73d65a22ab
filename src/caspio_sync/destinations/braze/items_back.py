"""What Braze holds of a catalog's rows: its items, read one by one or page by page, fifty calls a minute either way."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.concurrency import all_of
from caspio_sync.delivery.paced import A, PacedCalls
from caspio_sync.destinations.braze.catalog_answers import (
    ITEMS_PER_PAGE,
    ITEMS_READ_LIMIT,
    CatalogRefusedError,
    ItemAnswer,
    ItemsPage,
)
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.destinations.braze.catalog_schema import CatalogKeeper
from caspio_sync.destinations.braze.exported import agrees, item_values
from caspio_sync.destinations.braze.item_objects import ID
from caspio_sync.engine.read_back import CursorRefusedError, Held, Pages
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.schemas import MappedColumn

_PAGES = 20  # read together: as many rows as one call to Caspio gives; a kill repeats 24 seconds


class ItemsReadBack:
    """The `ReadBack` of catalog items.

    Args:
        client: asks Braze.
        sync: the definition.
        mapping: its mapping.
        clock: paces the requests.
    """

    usual_sample = 50  # a minute
    stretch_rows = 50
    thing: Literal["profile", "item", "deal"] = "item"
    unreadable: Sequence[str] = ()
    agrees = staticmethod(agrees)

    def __init__(self, client: CatalogClient, sync: CatalogSync, mapping: CatalogMapping, clock: Clock) -> None:
        self._client = client
        self._sync = sync
        self._mapping = mapping
        self._clock = clock
        self._name = sync.catalog.name
        self._calls = PacedCalls("Braze", ITEMS_READ_LIMIT, clock)
        self.readable: Sequence[MappedColumn] = mapping.columns
        self.pages = 1  # about so many has the catalog

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._calls.requests

    def planned(self, rows: int) -> tuple[int, float, float]:
        """As `ReadBack.planned`; a page is a request as an item is."""
        calls, seconds = ITEMS_READ_LIMIT
        return rows, rows / calls * seconds, rows / calls * seconds

    async def look(self) -> None:
        """Hold the catalog against the mapping, and learn how large it is.

        Raises:
            ConfigurationError: it is gone, or lacks a field: then every row differs, and a run repairs all of them.
        """
        change = await CatalogKeeper(self._sync, self._mapping.schema, self._client, self._clock).look()
        if change.create:
            raise self._gone()
        if change.add:
            lacking = ", ".join(each.name for each in change.add)
            raise ConfigurationError(
                f"{self._sync.name}: Braze's catalog '{self._name}' lacks {lacking}; nothing was compared. Run "
                f"`caspio-sync run {self._sync.name}`: it adds what is missing and sends the items that need it"
            )
        self.pages = max(1, math.ceil(change.num_items / ITEMS_PER_PAGE))

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """The item of each key, asked for one by one."""

        async def ask(key: str) -> Held:
            answer: ItemAnswer = await self._ask(lambda: self._client.item(self._name, key))
            return "missing" if answer.item is None else answer.item

        return await all_of(ask(key) for key in keys)

    async def values(
        self,
        column: MappedColumn,
        held: Sequence[Mapping[str, Any]],
        keys: Sequence[str],  # noqa: ARG002 - by which groups of profiles are asked for
    ) -> pl.DataFrame:
        """As `ReadBack.values`."""
        return item_values(held, column)

    async def some_pages(self, cursor: str | None) -> Pages:
        """As `PagedReadBack.some_pages`."""
        read: dict[str | None, Mapping[str, Mapping[str, Any]]] = {}
        while True:
            page = await self._page(cursor)
            read[cursor] = _by_id(page)
            cursor = page.next_cursor
            if cursor is None or len(read) == _PAGES:
                return Pages(read, cursor)

    def again(self, pages: Pages) -> Callable[[Sequence[str]], Awaitable[list[Held]]]:
        """Reads items that were on these pages anew: a page again where it held several, else the item alone."""
        page_of = {key: cursor for cursor, page in pages.read.items() for key in page}

        async def held(keys: Sequence[str]) -> list[Held]:
            wanted: dict[str | None, list[str]] = {}
            for key in keys:
                wanted.setdefault(page_of[key], []).append(key)
            found = await all_of(self._anew(cursor, some) for cursor, some in wanted.items())
            items = {key: item for some in found for key, item in some.items()}
            return [items[key] for key in keys]

        return held

    async def _anew(self, cursor: str | None, keys: Sequence[str]) -> dict[str, Held]:
        if len(keys) == 1:
            return dict(zip(keys, await self.held(keys), strict=True))
        page = await self._page(cursor)
        return dict(zip(keys, await Pages({cursor: _by_id(page)}, None).held(keys), strict=True))

    async def _page(self, cursor: str | None) -> ItemsPage:
        try:
            return await self._ask(lambda: self._client.items(self._name, cursor))
        except CatalogRefusedError as refused:
            if "invalid-cursor" in refused.ids and cursor is not None:
                raise CursorRefusedError from refused
            raise

    async def _ask(self, call: Callable[[], Awaitable[A]]) -> A:
        try:
            return await self._calls.ask(call)
        except CatalogRefusedError as refused:
            if refused.catalog_missing:
                raise self._gone() from refused
            raise

    def _gone(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._sync.name}: Braze has no catalog '{self._name}'. Run `caspio-sync run {self._sync.name}`: it "
            "makes the catalog anew and sends every item. No row was taken back for it"
        )


def _by_id(page: ItemsPage) -> dict[str, Mapping[str, Any]]:
    return {str(item[ID]): item for item in page.items}
