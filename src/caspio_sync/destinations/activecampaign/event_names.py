"""Whether events are saved, and their names: made before the first one leaves, where the sync allows it."""

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.client import TITLE
from caspio_sync.engine.destination import Missing
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.definition import EventSync

_NAMES, _SWITCH = "/eventTrackingEvents", "/eventTracking"


async def tracks_events(account: ActiveCampaignAccount) -> bool:
    """GET /eventTracking: whether events are saved; those that come while they are not are lost without a word."""
    answer = await account.client.ask("GET", _SWITCH, "asking whether events are tracked")
    told = answer.body.get("eventTracking")
    return isinstance(told, dict) and str(told.get("enabled")).lower() in {"true", "1"}


async def require_tracking(account: ActiveCampaignAccount) -> None:
    """Raise ConfigurationError where events are not saved."""
    if not await tracks_events(account):
        raise ConfigurationError(
            f"{TITLE}: event tracking is off, and what is sent meanwhile is lost; switch it on under Website > "
            "Site Tracking > Event Tracking"
        )


class EventNames:
    """The `Keeper` of events.

    Args:
        account: where they are.
        sync: the definition.
        create: whether the sync lets missing names be made.
    """

    def __init__(self, account: ActiveCampaignAccount, sync: EventSync, *, create: bool) -> None:
        self._account, self._sync, self._create = account, sync, create

    async def look(self) -> Missing:
        """As `Keeper.look`: the names that `keep` would make.

        Raises:
            ConfigurationError: event tracking is off, or names are missing that the sync does not let be made.
        """
        await require_tracking(self._account)
        missing = await self._missing()
        if missing and not self._create:
            raise ConfigurationError(
                f"{self._sync.where('event')}: event: {TITLE} does not know {', '.join(missing)}; make them there, or "
                "write `options: {create: true}` into the file"
            )
        return Missing(tuple(f"make the event {name}" for name in missing))

    async def keep(self, expected: Missing) -> None:
        """As `Keeper.keep`; what somebody made meanwhile is taken as it is."""
        if not expected.lines:
            return
        for name in await self._missing():
            body = {"eventTrackingEvent": {"name": name}}
            await self._account.client.ask("POST", _NAMES, "making the name of an event", body)

    async def _missing(self) -> list[str]:
        rows = await self._account.client.rows(_NAMES, "eventTrackingEvents", "reading the names of events")
        there = {str(row.get("name")) for row in rows}
        return [name for name in self._sync.taxonomy if name not in there]
