"""What `check` looks at for syncs of profiles."""

from datetime import datetime

import orjson

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.errors import CaspioSyncError
from caspio_sync.extraction.records import rows_counted
from caspio_sync.registry import DEFAULT_DESTINATION
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.destination import destination_named, destination_of
from caspio_sync.run.erasure_requests import MOST_PEOPLE, plan_erasures
from caspio_sync.run.examination import Examination
from caspio_sync.run.finding import Finding, findings_of
from caspio_sync.run.opening import open_plan
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.report import RunOptions
from caspio_sync.settings import Settings

TEST_ATTRIBUTE = "caspio_sync_test"


async def _account(_settings: Settings, write_test: str | None) -> list[Finding]:
    connect = CONNECT.get()
    async with connect.account(destination_named(DEFAULT_DESTINATION), connect.clock) as account:
        await account.users.probe_track()
        may = Finding("ok", f"Braze: {account.address} takes the key, which may write profiles (users.track)")
        if write_test is None:
            return [may]
        try:
            return [may, await _written(account.users, write_test, connect.clock.now())]
        except CaspioSyncError as error:
            return [may, *findings_of(error)]


async def _written(braze: BrazeClient, external_id: str, now: datetime) -> Finding:
    """What became of a test attribute, sent to one profile."""
    written = now.isoformat(timespec="seconds")
    profile = {"external_id": external_id, "_update_existing_only": False, TEST_ATTRIBUTE: written}
    answer = await braze.track(orjson.dumps({"attributes": [profile]}), sent={"attributes": 1})
    if answer.doubt:
        return Finding("error", answer.doubt, "whether the test profile was written is not known")
    if answer.errors:
        said = ", ".join(each.type for each in answer.errors)
        return Finding("error", f"Braze: refused the test profile: {said}", "correct the external id")
    return Finding(
        "ok",
        f"Braze: WROTE {TEST_ATTRIBUTE} = {written} to the profile with external_id {external_id} (one data point)",
        "look it up in the Braze dashboard; writes take effect a little later than they are accepted",
    )


async def _erasure(prepared: Prepared, settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """Whether the requests can be read, and whether the Braze key may delete; nobody is."""
    requests = prepared.requests
    if requests is None:
        return []
    rows = await rows_counted(caspio, requests.source, requests.key.name, requests.where)
    connect = CONNECT.get()
    async with connect.account(destination_of(prepared.definition), connect.clock) as account:
        await account.users.probe_delete()
    sound = Finding("ok", f"erasure: {rows} requests in {requests.source}; the Braze key may delete (users.delete)")
    if rows <= MOST_PEOPLE:
        return [sound]
    # Most of them may be erased already.
    async with open_plan(prepared.definition.name, RunOptions(), settings=settings) as run:
        stopped = await plan_erasures(run)
    return [sound] if stopped is None else [Finding("error", stopped)]


EXAMINATION = Examination(_account, _erasure)
