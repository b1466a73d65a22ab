"""The deals of a person who is erased: those that a sync made go first, for without their contact nobody finds them."""

import contextlib

from caspio_sync.destinations.activecampaign.answers import ForbiddenError, MissingError
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.activecampaign.deal_directory import refused
from caspio_sync.destinations.activecampaign.deal_marks import by_mark

_LOOKS = 4  # for a deletion that takes its time


async def erase_deals(client: ActiveCampaignClient, contact: str) -> dict[str, int | str]:
    """Delete the deals of a contact that bear our mark, and look whether they are gone.

    Args:
        client: of the account.
        contact: id of the contact, which is still there.

    Returns:
        For the audit trail: `deals`, how many were deleted, and `deals_left`, how many others made; where the key may
        not read deals, `deals` says so, and nothing of them is proven. Nothing for a contact that is gone.

    Raises:
        RefusedError, TransientError: a deal could not be deleted; the contact is to stay until it could.
    """
    deleted, path = 0, f"/contacts/{contact}/deals"
    for _ in range(_LOOKS):
        try:
            rows = await client.rows(path, "deals", "reading the deals of a contact")
        except ForbiddenError:
            return {"deals": "not proven: the key may not read deals"}
        except MissingError:
            return {}
        ours = {str(deal["id"]) for deals in by_mark(rows).values() for deal in deals}
        if not ours:
            return {"deals": deleted, "deals_left": len(rows)} if rows or deleted else {}
        for number in ours:
            with contextlib.suppress(MissingError):
                await client.ask("DELETE", f"/deals/{number}", "deleting a deal")
        deleted += len(ours)
    raise refused("its deals are still there though they were deleted")
