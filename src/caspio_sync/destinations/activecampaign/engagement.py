"""What ActiveCampaign has told of the people of an engagement return; nothing is sent there."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast

import polars as pl

from caspio_sync.destinations.activecampaign.account import ActiveCampaignAccount
from caspio_sync.destinations.activecampaign.hooks import HOOKS
from caspio_sync.destinations.activecampaign.polls import BOUNCES, OPT_OUTS, Polls
from caspio_sync.destinations.activecampaign.values import CONTACT_VALUES
from caspio_sync.destinations.activecampaign.webhooks import OwnWebhooks
from caspio_sync.engagement.fold import WRITTEN
from caspio_sync.engagement.identity import EMAIL
from caspio_sync.engagement.measures import newest_states
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.run import Opening, SyncRun
from caspio_sync.errors import ConfigurationError
from caspio_sync.inbox import Inbox
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.people import KnownPeople
from caspio_sync.kinds.engagement.told import ToldEngagement
from caspio_sync.mapping.consent import LIST_PREFIX
from caspio_sync.mapping.row_mapping import RowMapping


class ActiveCampaignEngagement(ToldEngagement):
    """As `ToldEngagement`; states are a list's, known by its id until a row is asked for."""

    sources = (HOOKS, OPT_OUTS, BOUNCES)

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._lists: dict[str, str] = {}  # names by id, of the lists that the file names

    async def poll(self, run: SyncRun, inbox: Inbox) -> dict[str, int]:
        """As `ToldEngagement.poll`."""
        account = cast("ActiveCampaignAccount", run.account)
        before, polls = account.client.requests, Polls(account.client, inbox, run.clock)
        self._lists = {await account.directory.list_id(name): name for name in self._definition.returned.lists}

        async def known(emails: Collection[str], number: str) -> Collection[str]:
            return await run.ledger.do(self._known_out, list(emails), number)

        told = {"polled opt-outs": await polls.opt_outs(self._lists, known)}
        if asks_for_bounces(self._definition):
            told["polled bounces"] = await polls.bounces(await account.directory.list_ids())
        run.report.requests += account.client.requests - before
        return told

    def spread(self, events: pl.DataFrame) -> pl.DataFrame:
        """As `ToldEngagement.spread`: who leaves all lists at once leaves each that the file names."""
        of_all = (pl.col("group_id").is_null() & pl.col("state").is_not_null()).fill_null(value=False)
        each = pl.lit(list(self._lists), dtype=pl.List(pl.String))
        left = events.filter(of_all).with_columns(group_id=each).explode("group_id")
        return pl.concat([events.filter(~of_all), left.drop_nulls("group_id")])

    def resolve(self, people: pl.DataFrame) -> KnownPeople:
        """As `ToldEngagement.resolve`."""
        known = super().resolve(people)
        names = {number: f"{LIST_PREFIX}{name}" for number, name in self._lists.items()}
        return replace(known, consents=known.consents.with_columns(pl.col("scope").replace(names)))

    def _known_out(self, emails: Sequence[str], number: str) -> set[str]:
        """Whose newest state on a list is that they left it; what calls wrote is none, for it may be our own."""
        given = pl.DataFrame({"email": emails}, {"email": pl.String})
        people = given.with_columns(person=self._ledger.address_digests(given["email"]), person_kind=pl.lit(EMAIL))
        _, consents = self._ledger.told_of(self._name, people.select("person_kind", "person"))
        news = consents.filter((pl.col("scope") == number) & (pl.col("origin") != WRITTEN))
        out = newest_states(news, ("person",)).filter(pl.col("newest") == "unsubscribed")
        return set(people.join(out, on="person", how="semi")["email"])


class EngagementFeed(Sink[ActiveCampaignAccount]):
    """The account, as an engagement return has it."""

    values = replace(CONTACT_VALUES, told=())

    def __init__(self, sync: EngagementSync) -> None:
        self._sync = sync

    async def known(self, account: ActiveCampaignAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        return sum([await account.people.number(key) is not None for key in keys])

    async def read_back(self, account: ActiveCampaignAccount, mapping: RowMapping) -> ReadBack:  # noqa: ARG002
        """As `Sink.read_back`."""
        raise ConfigurationError(
            f"{self._sync.name}: an engagement return holds every row of Caspio against ActiveCampaign whenever it "
            f"runs; `caspio-sync plan {self._sync.name}` shows what differs"
        )

    async def polled(self, account: ActiveCampaignAccount) -> list[str]:
        """As `Sink.polled`; a list that is not there is a finding."""
        for name in self._sync.returned.lists:
            await account.directory.list_id(name)
        await account.client.user()
        return ["opt-outs of lists", *(["bounces"] if asks_for_bounces(self._sync) else [])]

    def hooks(self, account: ActiveCampaignAccount) -> OwnWebhooks:
        """As `Sink.hooks`."""
        return OwnWebhooks(account.client, self._sync.name)

    def told(self, opening: Opening) -> ActiveCampaignEngagement:
        """As `Sink.told`."""
        return ActiveCampaignEngagement(opening)


def asks_for_bounces(sync: EngagementSync) -> bool:
    """Whether a column holds what they are asked for: one that does not is not worth a call a list."""
    return any(field.measure == "hard_bounced_at" for field in sync.fields.values())
