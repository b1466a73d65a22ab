"""What ActiveCampaign holds of deals: all of the account's, a hundred a call, told apart by their marks."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import PAGE
from caspio_sync.destinations.activecampaign.deal_marks import by_mark, mark_of, unmarked
from caspio_sync.destinations.activecampaign.deal_objects import deal_value
from caspio_sync.engine.read_back import Held
from caspio_sync.kinds.deals.definition import CONTACT, DESCRIPTION, OWN, OWNER, PIPELINE, STAGE
from caspio_sync.schemas import MappedColumn


class DealsReadBack:
    """The `ReadBack` of deals.

    Args:
        account: where they are.
        columns: what is to be read.
        table: that the rows are of.
    """

    usual_sample = 10_000  # all of them take no more calls than a few
    stretch_rows = 10_000
    thing: Literal["profile", "item", "deal"] = "deal"

    def __init__(self, account: ActiveCampaignAccount, columns: Sequence[MappedColumn], table: str) -> None:
        self._account, self._table = account, table
        # Of a contact the account tells its id alone; values of its own fields of deals are nowhere documented.
        self.readable: Sequence[MappedColumn] = [each for each in columns if each.name in OWN and each.name != CONTACT]
        self.unreadable: Sequence[str] = [each.name for each in columns if each not in self.readable]
        self._deals: dict[str, list[Mapping[str, Any]]] | None = None

    @property
    def requests(self) -> int:
        """As `ReadBack.requests`."""
        return self._account.client.requests

    def planned(self, rows: int) -> tuple[int, float, float]:
        """As `ReadBack.planned`: as if the account had no other deals, and there is one limit."""
        calls = rows // PAGE + 3
        seconds = calls / self._account.calls_per_second
        return calls, seconds, seconds

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """As `ReadBack.held`; what bears one mark twice is "ambiguous"."""
        if self._deals is None:
            self._deals = by_mark(await self._account.client.rows("/deals", "deals", "reading all deals"))
        found = [self._deals.get(mark_of(self._table, key), []) for key in keys]
        return [deals[0] if len(deals) == 1 else "ambiguous" if deals else "missing" for deals in found]

    async def values(
        self,
        column: MappedColumn,
        held: Sequence[Mapping[str, Any]],
        keys: Sequence[str],  # noqa: ARG002 - all of it was read with the deal
    ) -> pl.DataFrame:
        """As `ReadBack.values`."""
        titles = await self._titles(column.name)
        there = {PIPELINE: "group", OWNER: "owner"}.get(column.name, column.name)
        told = [each.get(there) for each in held]
        if column.name in {PIPELINE, STAGE}:
            found = [titles.get(str(each)) for each in told]
        elif column.name == DESCRIPTION:
            found = [unmarked(each) or None for each in told]
        else:
            found = [None if each is None else str(each) for each in told]
        return pl.DataFrame({"value": pl.Series(found, dtype=pl.String)}).with_columns(type=pl.lit("str"))

    @staticmethod
    def agrees(column: MappedColumn, wanted: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
        """As `ReadBack.agrees`; what the row does not say, a deal has all the same."""
        asked = pl.DataFrame([wanted.alias(column.name)]).select(deal_value(column).cast(pl.String).str.strip_chars())
        frame = held.with_columns(wanted=asked.to_series())
        same = pl.col("wanted").is_null() | (pl.col("value").str.strip_chars() == pl.col("wanted"))
        return frame.select(equal=same.fill_null(value=False), retyped=pl.lit(value=False).repeat_by(1).list.first())

    async def _titles(self, name: str) -> dict[str, str]:
        pipelines = await self._account.deals.pipelines() if name in {PIPELINE, STAGE} else []
        if name == PIPELINE:
            return {each.id: each.title for each in pipelines}
        return {number: title for each in pipelines for title, ids in each.stages.items() for number in ids}
