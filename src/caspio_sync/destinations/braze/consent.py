"""Braze's subscription states (Braze, user attributes object)."""

from types import MappingProxyType

from caspio_sync.consent import ConsentRules
from caspio_sync.schemas import MappedColumn


def _reset_by(column: MappedColumn) -> tuple[str, ...]:
    """A new address resets the e-mail states, a new number its groups; either, where the channel is unknown."""
    if column.name == "email_subscribe":
        return ("email",)
    if column.role != "subscription_group":
        return ()
    match column.channel:
        case "email":
            return ("email",)
        case None:
            return ("email", "phone")
        case _:
            return ("phone",)


CONSENT = ConsentRules(
    rank=MappingProxyType({"opted_in": 0, "subscribed": 1, "unsubscribed": 2}),
    default="subscribed",
    refused="unsubscribed",
    reset_by=_reset_by,
)
