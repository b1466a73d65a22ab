"""ActiveCampaign as a destination."""

from collections.abc import Callable

from caspio_sync.clock import Clock
from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.consent import CONSENT
from caspio_sync.destinations.activecampaign.identifiers import NAMING
from caspio_sync.destinations.activecampaign.plain import PLAIN
from caspio_sync.destinations.activecampaign.settings import ActiveCampaignSettings
from caspio_sync.engine.destination import Destination
from caspio_sync.registry import Loaded
from caspio_sync.wire.http import Transport


def _account(
    settings: ActiveCampaignSettings, clock: Clock, *, transport: Callable[[], Transport] | None = None
) -> ActiveCampaignAccount:
    return ActiveCampaignAccount(
        address=settings.activecampaign_url,
        key=settings.activecampaign_key,
        clock=clock,
        calls_per_second=settings.activecampaign_calls_per_second,
        event_address=settings.activecampaign_event_url,
        event_id=settings.activecampaign_event_id,
        event_key=settings.activecampaign_event_key,
        transport=transport,
    )


ACTIVECAMPAIGN = Destination(
    name="activecampaign",
    title=PLAIN.title,
    consent=CONSENT,
    naming=NAMING,
    settings=ActiveCampaignSettings,
    account=_account,
    sinks=Loaded(
        {
            "profiles": "caspio_sync.destinations.activecampaign.contacts:ContactSink",
            "events": "caspio_sync.destinations.activecampaign.events:EventSink",
            "engagement": "caspio_sync.destinations.activecampaign.engagement:EngagementFeed",
            "deals": "caspio_sync.destinations.activecampaign.deals:DealSink",
        }
    ),
)
