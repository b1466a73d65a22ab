"""What `check` looks at for engagement returns."""

from typing import cast

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.destination import destination_of
from caspio_sync.run.engagement.campaign_stats import find_table
from caspio_sync.run.engagement.gathering import check_profiles
from caspio_sync.run.examination import Examination
from caspio_sync.run.finding import Finding
from caspio_sync.run.prepared import Prepared
from caspio_sync.settings import Settings


async def _returns(prepared: Prepared, _settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """Whether it finds its profile sync, the Braze key may ask for what is polled, and the campaigns' table fits."""
    definition = cast("EngagementSync", prepared.definition)
    check_profiles(definition)
    connect, returned, stats = CONNECT.get(), definition.returned, definition.campaign_stats
    states = bool(returned.states and definition.people_per_run and returned.profiles)
    async with connect.account(destination_of(definition), connect.clock) as account:
        there = await account.engagement.probe_engagement(states=states, campaigns=stats is not None)
    found = [Finding("ok", f"polls: the Braze key may ask ({', '.join(there)})")]
    if stats is not None:
        todo = "has its fields" if await find_table(caspio, definition) else "will be made by the first run"
        found.append(Finding("ok", f"campaign_stats: {stats.table} {todo}"))
    return found


async def _account(_settings: Settings, _write_test: str | None) -> list[Finding]:
    return []  # it writes nothing to Braze


EXAMINATION = Examination(_account, _returns)
