"""Deals of one sync: made once, changed by their numbers."""

from typing import ClassVar, cast

import polars as pl

from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import CONNECTIONS
from caspio_sync.destinations.activecampaign.deal_endpoint import CHANGE, MAKE, DealsEndpoint
from caspio_sync.destinations.activecampaign.deal_fields import DealFields
from caspio_sync.destinations.activecampaign.deal_objects import encode_deals
from caspio_sync.destinations.activecampaign.deal_values import DEAL_VALUES
from caspio_sync.destinations.activecampaign.deals_back import DealsReadBack
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.writes import Write
from caspio_sync.kinds.deals.definition import DealSync
from caspio_sync.kinds.deals.mapping import DealMapping
from caspio_sync.kinds.deals.work import NUMBER
from caspio_sync.ledger.compare import send
from caspio_sync.mapping.field import Strict
from caspio_sync.mapping.row_mapping import RowMapping

_A_SECOND = 1_000  # requests; every call keeps the account's pace by itself


class DealOptions(Strict):
    """What only ActiveCampaign asks of a sync of deals.

    Args:
        create: whether fields of deals are made that are missing there.
    """

    create: bool = False


class DealSink(Sink[ActiveCampaignAccount]):
    """Deals of one sync."""

    values = DEAL_VALUES
    envelopes = (MAKE, CHANGE)
    when_lost = "look"
    options: ClassVar = DealOptions
    keeps = True

    def __init__(self, sync: DealSync) -> None:
        self._sync = sync
        self._options: DealOptions = vars(sync).get("options") or DealOptions()

    @classmethod
    async def probe(cls, account: ActiveCampaignAccount) -> str:
        """As `Sink.probe`: whether the key may read deals; that it may write them, the first one shows."""
        return f"lets the key read deals, and has {len(await account.deals.pipelines())} pipelines"

    def limits(self, account: ActiveCampaignAccount) -> SenderLimits:  # noqa: ARG002 - the account's pace holds for all
        """As `Sink.limits`: deals that are in doubt take no call, and are not to wait for one."""
        return SenderLimits(CONNECTIONS, _A_SECOND, 1.0)

    def endpoint(self, account: ActiveCampaignAccount) -> DealsEndpoint:
        """As `Sink.endpoint`."""
        return DealsEndpoint(account, self._sync.source.name)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`: of a deal whose number is known what changed, of any other all."""
        known, columns = pl.col(NUMBER).is_not_null(), mapping.columns
        own = [each.name for each in cast("DealMapping", mapping).own_fields]
        chosen = [(rows.filter(~known), MAKE), (rows.filter(known), CHANGE)]
        return [
            Write(
                some,
                envelope,
                lambda part, envelope=envelope: encode_deals(  # type: ignore[misc]
                    part, columns, own, travels=send if envelope == CHANGE else None
                ),
            )
            for some, envelope in chosen
            if not some.is_empty()
        ]

    def calls(self, account: ActiveCampaignAccount, envelope: Envelope, requests: int) -> tuple[int, float]:
        """As `Sink.calls`: to make one, its contact is asked for and that contact's deals; of several each once."""
        calls = requests * (3 if envelope == MAKE else 1)
        return calls, calls / account.calls_per_second

    async def read_back(self, account: ActiveCampaignAccount, mapping: RowMapping) -> ReadBack:
        """As `Sink.read_back`."""
        return DealsReadBack(account, mapping.columns, self._sync.source.name)

    def keeper(self, account: ActiveCampaignAccount, mapping: RowMapping) -> DealFields:
        """As `Sink.keeper`."""
        return DealFields(account, self._sync, cast("DealMapping", mapping), create=self._options.create)
