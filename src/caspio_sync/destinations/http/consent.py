"""What an endpoint is told of consent: states, as fields. It has no law of its own, so nothing takes one back there."""

from types import MappingProxyType

from caspio_sync.consent import ConsentRules
from caspio_sync.schemas import MappedColumn


def _reset_by(_: MappedColumn) -> tuple[str, ...]:
    return ()


CONSENT = ConsentRules(
    rank=MappingProxyType({"opted_in": 0, "subscribed": 1, "unsubscribed": 2}),
    # An opt-out is told though nobody knows of a subscription: the endpoint may have one from elsewhere.
    default="subscribed",
    refused="unsubscribed",
    reset_by=_reset_by,
)
