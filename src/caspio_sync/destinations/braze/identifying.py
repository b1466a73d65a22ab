"""Profiles that Braze knows by their address alone: a new external id would make a second one (Braze, 3.2)."""

import math

import polars as pl

from caspio_sync.concurrency import all_of
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.account import BrazeAccount
from caspio_sync.destinations.braze.answers import (
    EXPORT_LIMIT,
    IDENTITY_LIMIT,
    MAX_EXPORT_IDS,
    MAX_IDENTIFIED,
    SLOWEST_EXPORT_PER_MINUTE,
    EmailToIdentify,
    refusal_text,
)
from caspio_sync.destinations.braze.profiles_back import ProfilesReadBack
from caspio_sync.mapping.definition import Named


class Identifying:
    """The `KnownByAddress` of Braze: /users/export/ids finds, /users/identify gives the id.

    Args:
        account: the workspace.
        identity: what names a profile.
    """

    def __init__(self, account: BrazeAccount, identity: Named) -> None:
        self._account = account
        self._read_back = ProfilesReadBack(account.users, identity, [], account.clock)
        self._calls = PacedCalls("Braze", IDENTITY_LIMIT, account.clock)

    @property
    def requests(self) -> int:
        """As `KnownByAddress.requests`."""
        return self._read_back.requests + self._calls.requests

    async def unknown(self, keys: pl.Series) -> pl.Series:
        """As `KnownByAddress.unknown`."""
        profiles = await self._read_back.held(keys.to_list())
        return pl.Series([profile == "missing" for profile in profiles], dtype=pl.Boolean)

    async def bearers(self, address: str) -> list[bool]:
        """As `KnownByAddress.bearers`."""
        return ["external_id" in user for user in (await self._read_back.by_address(address)).users]

    async def identify(self, rows: pl.DataFrame) -> list[tuple[str, str]]:
        """As `KnownByAddress.identify`."""
        answers = await all_of(self._some(some) for some in rows.iter_slices(MAX_IDENTIFIED))
        return [each for some in answers for each in some]

    async def _some(self, rows: pl.DataFrame) -> list[tuple[str, str]]:
        emails = [EmailToIdentify(*pair) for pair in rows.iter_rows()]
        _, refused = await self._calls.ask_for(emails, self._account.users.identify_users)
        return [(one.external_id, f"identify: {error.status}: {refusal_text(error)}") for one, error in refused]


def identify_seconds(rows: int) -> tuple[float, float]:
    """How long so many new rows take to look up and identify: at the usual limit, and at the slowest Braze gives."""
    exports = math.ceil(rows / MAX_EXPORT_IDS)
    identify = math.ceil(rows / MAX_IDENTIFIED) / IDENTITY_LIMIT[0] * IDENTITY_LIMIT[1]
    return exports / EXPORT_LIMIT[0] * EXPORT_LIMIT[1] + identify, exports / SLOWEST_EXPORT_PER_MINUTE * 60 + identify
