"""Braze as a destination."""

from collections.abc import Callable
from types import MappingProxyType

from caspio_sync.clock import Clock
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.catalog import CatalogSink
from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.destinations.braze.events import EventSink, PurchaseSink
from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.destinations.braze.plain import PLAIN
from caspio_sync.destinations.braze.profiles import EngagementFeed, ProfileSink
from caspio_sync.destinations.braze.settings import BrazeSettings
from caspio_sync.destinations.braze.triggers import TriggerSink
from caspio_sync.engine.destination import Destination
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
    sinks=MappingProxyType(
        {
            "profiles": ProfileSink,
            "catalog": CatalogSink,
            "engagement": EngagementFeed,
            "events": EventSink,
            "purchases": PurchaseSink,
            "triggers": TriggerSink,
        }
    ),
)
