"""What `check` looks at for engagement returns."""

from typing import cast

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared
from caspio_sync.feeds import hook_secret
from caspio_sync.kinds.engagement.campaign_stats import find_table
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.gathering import check_profiles
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, _settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """Whether it finds its profile sync, the key may ask for what is polled, and the campaigns' table fits."""
    definition = cast("EngagementSync", prepared.definition)
    check_profiles(definition)
    connect, destination = CONNECT.get(), destination_of(definition)
    async with connect.account(destination, connect.clock) as account:
        sink = destination.sink(definition)
        there, hooks = await sink.polled(account), sink.hooks(account)
        found = [Finding("ok", f"polls: the {destination.title} key may ask ({', '.join(there)})")]
        if hooks is not None:
            found += await hooks.findings(hook_secret())
    if definition.campaign_stats is not None:
        todo = "has its fields" if await find_table(caspio, definition) else "will be made by the first run"
        found.append(Finding("ok", f"campaign_stats: {definition.campaign_stats.table} {todo}"))
    return found
