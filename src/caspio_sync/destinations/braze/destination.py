"""Braze as a destination."""

from collections.abc import Callable

from caspio_sync.clock import Clock
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.destinations.braze.plain import PLAIN
from caspio_sync.destinations.braze.settings import BrazeSettings
from caspio_sync.engine.destination import Destination
from caspio_sync.registry import Loaded
from caspio_sync.wire.http import Transport


def _account(
    settings: BrazeSettings, clock: Clock, *, transport: Callable[[], Transport] | None = None
) -> BrazeAccount:
    return BrazeAccount(
        address=settings.braze_endpoint,
        api_key=settings.braze_api_key,
        clock=clock,
        connections=settings.braze_connections,
        track_limit=settings.braze_track_limit,
        transport=transport,
    )


BRAZE = Destination(
    name="braze",
    title=PLAIN.title,
    consent=CONSENT,
    naming=NAMING,
    settings=BrazeSettings,
    account=_account,
    sinks=Loaded(
        {
            "profiles": "caspio_sync.destinations.braze.profiles:ProfileSink",
            "catalog": "caspio_sync.destinations.braze.catalog:CatalogSink",
            "engagement": "caspio_sync.destinations.braze.profiles:EngagementFeed",
            "events": "caspio_sync.destinations.braze.events:EventSink",
            "purchases": "caspio_sync.destinations.braze.events:PurchaseSink",
            "triggers": "caspio_sync.destinations.braze.triggers:TriggerSink",
        }
    ),
)
