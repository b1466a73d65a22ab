"""What ActiveCampaign makes of consent: a status on each list (ActiveCampaign, lists).

Nothing takes a status back by itself: a contact that gets another address keeps its lists.
"""

from types import MappingProxyType

from caspio_sync.consent import ConsentRules
from caspio_sync.schemas import MappedColumn

SUBSCRIBED, UNSUBSCRIBED = "1", "2"  # as calls say it
BOUNCED = "3"  # what answers alone say
# Statuses there that only the person, or an admin, may take back; what is not known of is none of ours to loosen.
_WHY = {
    "0": "has not confirmed it there yet (status 0)",
    "2": "left it in ActiveCampaign (status 2)",
    "3": "bounced there (status 3)",
}


def _reset_by(_: MappedColumn) -> tuple[str, ...]:
    return ()


CONSENT = ConsentRules(
    rank=MappingProxyType({"subscribed": 0, "unsubscribed": 1}),
    # An opt-out is told though nobody knows of a subscription: somebody may have signed up there.
    default="subscribed",
    refused="unsubscribed",
    reset_by=_reset_by,
)


def state_of(status: str | None) -> str | None:
    """A status as a sync file says it; None for one that is neither."""
    if status == SUBSCRIBED:
        return "subscribed"
    return None if status in {None, "0"} else "unsubscribed"


def why_not(status: str) -> str:
    """Why whoever has this status is not subscribed."""
    return _WHY.get(status, f"was taken off it there (status {status})")
