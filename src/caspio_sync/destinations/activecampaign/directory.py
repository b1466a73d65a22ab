"""The account's custom fields and lists by their names: rows travel by name, calls by id.

Read once a run, all pages: what was asked once is not asked again, and a field that was renamed is not written to.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.errors import ConfigurationError

# The types of custom fields that hold several choices (ActiveCampaign, custom fields).
MULTIPLE = frozenset({"listbox", "checkbox"})


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field of the account.

    Args:
        id: its id.
        title: as people see it.
        tag: its personalisation tag, upper case.
        type: such as "dropdown".
        options: what may be chosen.
    """

    id: str
    title: str
    tag: str
    type: str
    options: Sequence[str]


class Directory:
    """Looks names up; asks the account when the first name comes.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        self._fields: list[CustomField] | None = None
        self._lists: dict[str, list[str]] | None = None
        self._turn = asyncio.Lock()  # else every request of a run's first batch would read all pages

    async def fields(self) -> list[CustomField]:
        """Every custom field."""
        async with self._turn:
            if self._fields is None:
                self._fields = [
                    CustomField(
                        str(each["id"]),
                        str(each.get("title") or ""),
                        str(each.get("perstag") or "").upper(),
                        str(each.get("type") or ""),
                        tuple(each["choices"]),
                    )
                    for each in await self._client.fields()
                ]
            return self._fields

    async def field(self, name: str) -> CustomField | None:
        """A custom field by its title, as it is spelled there, or by its personalisation tag; None: there is none."""
        fields = await self.fields()
        by_title = [each for each in fields if each.title == name]
        by_tag = [each for each in fields if each.tag and each.tag == name.strip("%").upper()]
        return next(iter(by_title or by_tag), None)

    async def list_id(self, name: str) -> str:
        """The id of a list by its name.

        Raises:
            ConfigurationError: there is none of this name, or there are several.
        """
        lists = await self._all_lists()
        found = lists.get(name, [])
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"'{each}'" for each in lists) or "none"
        what = "ActiveCampaign has no list" if not found else f"ActiveCampaign has {len(found)} lists"
        raise ConfigurationError(f"lists: {what} named '{name}'; rename it there or in the file. There are: {known}")

    async def list_ids(self) -> list[str]:
        """The ids of all lists."""
        return [number for ids in (await self._all_lists()).values() for number in ids]

    async def list_name(self, number: str) -> str:
        """The name of a list that was looked up before."""
        async with self._turn:
            return next((name for name, ids in (self._lists or {}).items() if number in ids), f"list {number}")

    async def _all_lists(self) -> dict[str, list[str]]:
        """Ids by name."""
        async with self._turn:
            if self._lists is None:
                found_lists: dict[str, list[str]] = {}
                for each in await self._client.lists():
                    found_lists.setdefault(str(each.get("name")), []).append(str(each["id"]))
                self._lists = found_lists  # once all pages were read: else what failed would pass for an empty account
            return self._lists

    def forget_fields(self) -> None:
        """Fields were made or changed: read them again when the next name comes."""
        self._fields = None
