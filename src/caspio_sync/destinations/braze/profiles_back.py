"""What Braze holds of some rows: their profiles and subscription groups, asked for as fast as Braze allows.

Items of catalogs are read back in items_back.py.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from caspio_sync.clock import Clock
from caspio_sync.concurrency import all_of
from caspio_sync.delivery.paced import PacedCalls
from caspio_sync.destinations.braze.answers import (
    EXPORT_LIMIT,
    GENERAL_LIMIT,
    MAX_GROUP_IDS,
    SLOWEST_EXPORT_PER_MINUTE,
    ExportAnswer,
    ids_an_export,
)
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.destinations.braze.exported import agrees, exported_field, exported_values
from caspio_sync.engine.read_back import Held
from caspio_sync.mapping.definition import Named
from caspio_sync.schemas import MappedColumn


class ProfilesReadBack:
    """The `ReadBack` of profiles and their group states.

    Args:
        braze: the client.
        identity: what names a profile.
        columns: what is to be read.
        clock: paces the requests.
    """

    usual_sample = 1_000
    stretch_rows = 1_000  # twenty exports
    thing: Literal["profile", "item", "deal"] = "profile"
    agrees = staticmethod(agrees)

    def __init__(self, braze: BrazeClient, identity: Named, columns: Sequence[MappedColumn], clock: Clock) -> None:
        self._braze = braze
        self._identity = identity
        self._exports = PacedCalls("Braze", EXPORT_LIMIT, clock)
        self._group_calls = PacedCalls("Braze", GENERAL_LIMIT, clock)
        named = {column.name: exported_field(column) for column in columns}
        by_id = identity.kind == "external_id"
        own = {"external_id": "external_id", "user_alias": "user_aliases"}.get(identity.kind, identity.kind)
        self._fields = sorted({own, *(field for field in named.values() if field)})
        # Groups are asked for fifty ids a call; an address or a number has one for itself (Braze, 7.4): too many.
        self.groups = [column for column in columns if column.role == "subscription_group" and by_id]
        self.readable: Sequence[MappedColumn] = [
            column for column in columns if named[column.name] or column in self.groups
        ]
        self.unreadable: Sequence[str] = [column.name for column in columns if column not in self.readable]
        self._each = ids_an_export(identity.kind)

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._exports.requests + self._group_calls.requests

    def planned(self, rows: int) -> tuple[int, float, float]:
        """Requests that so many rows take, and the seconds: at the usual limit, and at the slowest Braze gives."""
        exports = math.ceil(rows / self._each)
        groups = len(self.groups) * math.ceil(rows / MAX_GROUP_IDS)
        group_seconds = groups / GENERAL_LIMIT[0] * GENERAL_LIMIT[1]
        usual = exports / EXPORT_LIMIT[0] * EXPORT_LIMIT[1]
        return exports + groups, max(usual, group_seconds), exports / SLOWEST_EXPORT_PER_MINUTE * 60

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """The profile of each key."""
        answers = await all_of(self._some_profiles(some) for some in _cut(keys, self._each))
        return [profile for answer in answers for profile in answer]

    async def _some_profiles(self, keys: Sequence[str]) -> list[Held]:
        answer = await self._exports.ask(lambda: self._export(keys))
        if self._each == 1:
            return [answer.users[0] if len(answer.users) == 1 else "ambiguous" if answer.users else "missing"]
        found = {name: user for user in answer.users for name in self._names(user)}
        missing = set(answer.invalid_user_ids)
        return [found.get(key, "missing" if key in missing else "ambiguous") for key in keys]

    def _export(self, keys: Sequence[str]) -> Any:
        client, fields = self._braze, self._fields
        match self._identity.kind:
            case "external_id":
                return client.export_users(keys, fields)
            case "user_alias":
                aliases = [(str(self._identity.label), key) for key in keys]
                return client.export_users([], fields, user_aliases=aliases)
            case "email":
                return client.export_users([], fields, email_address=keys[0])
            case "phone":
                return client.export_users([], fields, phone=keys[0])

    def _names(self, user: Mapping[str, Any]) -> list[str]:
        if self._identity.kind == "external_id":
            return [str(user.get("external_id"))]
        aliases = user.get("user_aliases") or []
        return [alias["alias_name"] for alias in aliases if alias["alias_label"] == self._identity.label]

    async def values(
        self, column: MappedColumn, held: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> pl.DataFrame:
        """As `ReadBack.values`."""
        if column.role == "subscription_group":
            states = await self.group_states(column, keys)
            values = pl.DataFrame({"value": pl.Series(states, dtype=pl.String)}).with_columns(type=pl.lit("str"))
        else:
            values = exported_values(held, column)
        if column.role == "consent":  # Braze's default (Braze, 3.3), left out of the export where nobody set it
            values = values.with_columns(pl.col("value").fill_null("subscribed"))
        return values

    async def group_states(self, column: MappedColumn, external_ids: Sequence[str]) -> list[str | None]:
        """The group's state of each id; None where it has none."""

        async def ask(some: Sequence[str]) -> list[str | None]:
            answer = await self._group_calls.ask(lambda: self._braze.group_states(column.group_id, some))
            states = [answer.states.get(external_id) for external_id in some]
            return [None if state == "unknown" else state for state in states]

        answers = await all_of(ask(some) for some in _cut(external_ids, MAX_GROUP_IDS))
        return [state for answer in answers for state in answer]

    async def by_address(self, email: str) -> ExportAnswer:
        """Every profile with this address."""
        return await self._exports.ask(
            lambda: self._braze.export_users([], ["external_id", "email"], email_address=email)
        )


def _cut(keys: Sequence[str], most: int) -> list[Sequence[str]]:
    return [keys[start : start + most] for start in range(0, len(keys), most)]
