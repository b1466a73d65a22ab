"""Tags of the account: by their names, and on contacts by joins (ActiveCampaign, tags).

A tag is given by the ids of contact and tag, and taken away by the id of the join between them alone. An import gives
tags by name, and takes none away.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from caspio_sync.destinations.activecampaign.answers import MissingError
from caspio_sync.destinations.activecampaign.client import PAGE, ActiveCampaignClient
from caspio_sync.errors import ConfigurationError
from caspio_sync.wire.http import RefusedError

# Of one request, who loses a tag: so many are looked for one by one, more among all who have it, a hundred a call.
_ONE_BY_ONE = 10


class Tags:
    """The account's tags, and who has them. Names are read once a run, all pages.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        self._ids: dict[str, str] | None = None
        self._bearers: dict[str, dict[str, str]] = {}  # name → id of each contact that had it, by address
        self._making = asyncio.Lock()
        self._turn = asyncio.Lock()  # else every request of a run's first batch would read all pages

    async def id(self, name: str) -> str | None:
        """The id of a tag by its name, as it is spelled there; None: there is none."""
        return (await self.ids()).get(name)

    async def ids(self) -> Mapping[str, str]:
        """The ids of all tags of contacts, by name."""
        async with self._turn:
            if self._ids is None:
                rows = await self._client.rows("/tags", "tags", "reading tags")
                # Tags of templates have names as well, and are no contact's.
                self._ids = {str(each["tag"]): str(each["id"]) for each in rows if each.get("tagType") == "contact"}
            return self._ids

    async def make(self, name: str) -> None:
        """POST /tags; one that somebody made meanwhile is taken as it is.

        Raises:
            ConfigurationError: there is one of this name in another case.
        """
        try:
            await self._client.ask("POST", "/tags", "making a tag", {"tag": {"tag": name, "tagType": "contact"}})
        except RefusedError as error:
            if getattr(error, "code", "") != "duplicate":
                raise
        async with self._turn:
            self._ids = None
        if await self.id(name) is None:
            raise ConfigurationError(
                f"tags.{name}: ActiveCampaign has a tag of a name like it in another case; write it as it is there"
            )

    async def make_missing(self, names: Iterable[str]) -> None:
        """Make those of these tags that are not there; as `make` raises."""
        for name in names:
            if await self.id(name) is None:
                async with self._making:  # many contacts of a batch have the same new word
                    if await self.id(name) is None:
                        await self.make(name)

    async def give(self, contact: str, names: Iterable[str]) -> None:
        """POST /contactTags: harmless where the contact has them."""
        for name in names:
            body = {"contactTag": {"contact": contact, "tag": await self._known(name)}}
            await self._client.ask("POST", "/contactTags", "giving a tag to a contact", body)

    async def take(self, contact: str, names: Iterable[str]) -> None:
        """Take these tags from a contact; what it does not have is not missed."""
        wanted = {await self._known(name) for name in names}
        if not wanted:
            return
        for join, tag in (await self.of(contact)).items():
            if tag in wanted:
                await self._untag(join)

    async def take_from(self, names_of: Mapping[str, Sequence[str]]) -> None:
        """Take tags from contacts: the names, by address."""
        losing: dict[str, list[str]] = {}
        for email, names in names_of.items():
            for name in names:
                losing.setdefault(name, []).append(email)
        leaving: dict[str, list[str]] = {}  # by the contact's id
        for name, emails in losing.items():
            bearers = await self._of_many(name) if len(emails) > _ONE_BY_ONE else None
            for email in emails:
                if bearers is not None:
                    there = [bearers[email]] if email in bearers else []
                else:
                    there = await self._client.ids(email)
                for contact in there:
                    leaving.setdefault(contact, []).append(name)
        for contact, names in leaving.items():
            await self.take(contact, names)

    async def take_others(self, contact: str, prefix: str, kept: Iterable[str]) -> None:
        """Take from a contact the tags that begin so, but for those that are kept."""
        others = await self._others(prefix, kept)
        for join, tag in (await self.of(contact)).items():
            if tag in others.values():
                await self._untag(join)

    async def take_others_from(self, kept_of: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        """As `take_others`, of many: how their tags begin, and which are kept, by address."""
        if len(kept_of) <= _ONE_BY_ONE:
            for email, (prefix, kept) in kept_of.items():
                for contact in await self._client.ids(email):
                    await self.take_others(contact, prefix, kept)
            return
        losing: dict[str, list[str]] = {}  # by the contact's id
        for email, (prefix, kept) in kept_of.items():
            for name in await self._others(prefix, kept):
                bearers = await self._of_many(name)
                if email in bearers:
                    losing.setdefault(bearers[email], []).append(name)
        for contact, names in losing.items():
            await self.take(contact, names)

    async def _others(self, prefix: str, kept: Iterable[str]) -> dict[str, str]:
        """The ids of the tags that begin so and are not kept, by name."""
        stays = set(kept)
        return {
            name: number for name, number in (await self.ids()).items() if name.startswith(prefix) and name not in stays
        }

    async def of(self, contact: str) -> dict[str, str]:
        """GET /contacts/{id}/contactTags: the tag's id, by the join's. Nothing for a contact that is gone."""
        try:
            rows = await self._client.parts(contact, "contactTags", "reading the tags of a contact")
        except MissingError:
            return {}
        return {str(each["id"]): str(each["tag"]) for each in rows}

    async def _known(self, name: str) -> str:
        number = await self.id(name)
        if number is None:
            raise ConfigurationError(
                f"tags: ActiveCampaign has no tag '{name}' any more; run the sync again: it makes the tag anew where "
                "`options: {create: true}` lets it"
            )
        return number

    async def _of_many(self, name: str) -> dict[str, str]:
        """Everybody who has a tag, by address; read once a run, by the id, which nobody's coming and going shifts."""
        number = await self._known(name)
        async with self._turn:
            if name in self._bearers:
                return self._bearers[name]
            doing, query = "reading who has a tag", {"tagid": number, "orders[id]": "ASC", "limit": str(PAGE)}
            found: dict[str, str] = {}
            last = 0
            while rows := await self._client.page("/contacts", "contacts", doing, **query, id_greater=str(last)):
                found |= {str(each.get("email") or "").strip().lower(): str(each["id"]) for each in rows}
                if max(int(each["id"]) for each in rows) <= last:
                    raise ConfigurationError(f"{doing}: ActiveCampaign gives the same page again and again")
                last = max(int(each["id"]) for each in rows)
            self._bearers[name] = found
            return found

    async def _untag(self, join: str) -> None:
        try:
            await self._client.ask("DELETE", f"/contactTags/{join}", "taking a tag from a contact")
        except MissingError:
            return  # somebody else was faster
