"""What `check` looks at for syncs of profiles."""

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.caspio.counting import rows_counted
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.erasure_requests import MOST_PEOPLE, plan_erasures
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.keeping import what_is_missing
from caspio_sync.engine.opening import open_plan
from caspio_sync.engine.prepared import Prepared
from caspio_sync.observe.report import RunOptions
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """Whether what they need is there, the requests for erasure can be read, and the key may delete; nobody is."""
    definition, requests = prepared.definition, prepared.requests
    there = await what_is_missing(prepared)
    if requests is None:
        return there
    rows = await rows_counted(caspio, requests.source, requests.key.name, requests.where)
    connect, destination = CONNECT.get(), destination_of(definition)
    async with connect.account(destination, connect.clock) as account:
        right = await destination.sink(definition).eraser(account).probe()
    may = f"the {destination.title} key may delete ({right})"
    sound = Finding("ok", f"erasure: {rows} requests in {requests.source}; {may}")
    if rows <= MOST_PEOPLE:
        return [*there, sound]
    async with open_plan(definition.name, RunOptions(), settings=settings) as run:  # most of them may be erased already
        stopped = await plan_erasures(run)
    return [*there, sound if stopped is None else Finding("error", stopped)]
