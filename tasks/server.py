"""What Prefect's server knows of us: whether it is there, our deployments and workers, and the runs that died."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from caspio_sync.deployed.deployments import TAG
from caspio_sync.deployed.server_state import DeployedSync, RunningFlow, ServerState
from caspio_sync.errors import TransientError

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

_MASK = "**********"  # as pydantic masks the keys of a run that the command line began
PAGE = 200  # what the server gives at once
_LOG = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def reached_server() -> AsyncIterator[PrefectClient]:
    """A client of the server that PREFECT_API_URL names.

    Raises:
        TransientError: it does not answer.
    """
    async with get_client() as client:
        error = await client.api_healthcheck()
        if error is not None:
            raise TransientError(
                f"Prefect's server at {client.api_url} does not answer ({type(error).__name__}). Start it "
                "(`make serve` does on this machine), or correct PREFECT_API_URL"
            )
        yield client


async def our_deployments(client: PrefectClient, pool: str) -> list["DeploymentResponse"]:
    """The deployments that carry our tag and run on this work pool: two projects on one server use a pool each."""
    chosen = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    on_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    found: list[DeploymentResponse] = []
    while len(
        page := await client.read_deployments(
            deployment_filter=chosen, work_pool_filter=on_pool, limit=PAGE, offset=len(found)
        )
    ):
        found += page
        if len(page) < PAGE:
            break
    return sorted(found, key=lambda each: each.name)


async def look_at_server(pool: str) -> ServerState:
    """What the server says of our deployments, runs and workers.

    Raises:
        TransientError: it does not answer.
    """
    async with reached_server() as client:
        url = str(client.api_url).rstrip("/")
        try:
            found = await client.read_work_pool(pool)
        except ObjectNotFound:
            return ServerState(url, pool, pool_exists=False, running=await _running(client))
        workers = await client.read_workers_for_work_pool(pool)
        deployed = await our_deployments(client, pool)
        return ServerState(
            url,
            pool,
            pool_paused=found.is_paused,
            workers=tuple(sorted(each.name for each in workers if each.status == WorkerStatus.ONLINE)),
            lost_workers=tuple(sorted(each.name for each in workers if each.status != WorkerStatus.ONLINE)),
            deployments=tuple(DeployedSync(each.name, each.paused, _paused(each)) for each in deployed),
            running=await _running(client),
            late=await _late(client, pool),
        )


async def mark_killed(flow_runs: Iterable[str]) -> None:
    """Let the server say Crashed of flow runs whose process is dead: a plain killed one stays Running there for ever.

    A run that the server does not know (it had another one) or that has ended there is left alone, and nothing that
    goes wrong here is the caller's concern: the ledger is right, and `caspio-sync doctor` finds what is left.
    """
    try:
        async with get_client() as client:
            for each in flow_runs:
                with contextlib.suppress(ObjectNotFound):
                    found = await client.read_flow_run(UUID(each))
                    if found.state is None or not found.state.is_final():
                        message = "The process was killed; another run found it dead and went on."
                        await client.set_flow_run_state(found.id, Crashed(name="Killed", message=message), force=True)
    except Exception as error:  # noqa: BLE001 - whatever the server has, the run goes on
        _LOG.warning("dead runs could not be marked in Prefect: %s", type(error).__name__)


async def hide_keys(flow_run: str) -> None:
    """Mask the keys that somebody typed into the form of a custom run, which Prefect would keep; the run has them.

    What goes wrong here is said and no reason to end: housekeeping deletes the record in time.
    """
    try:
        async with get_client() as client:
            parameters = (await client.read_flow_run(UUID(flow_run))).parameters
            given = parameters["parameters"]
            masked = {**given, "keys": [_MASK] * len(given["keys"])}
            if masked != given:
                await client.update_flow_run(UUID(flow_run), parameters={**parameters, "parameters": masked})
    except Exception as error:  # noqa: BLE001 - see above; messages of libraries quote values
        _LOG.warning("the keys of this run could not be masked in Prefect: %s", type(error).__name__)


def _paused(deployment: "DeploymentResponse") -> tuple[str, ...]:
    return tuple(each.slug or str(each.schedule) for each in deployment.schedules if not each.active)


async def _running(client: PrefectClient) -> tuple[RunningFlow, ...]:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING]))
    found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), limit=PAGE)
    return tuple(
        RunningFlow(str(each.id), each.name, sync, each.start_time)
        for each in found
        if (sync := _sync_of(each)) is not None
    )


async def _late(client: PrefectClient, pool: str) -> int:
    state = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))
    return await client.count_flow_runs(
        flow_run_filter=FlowRunFilter(state=state),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )


def _sync_of(run: FlowRun) -> str | None:
    given = run.parameters.get("parameters")
    return given.get("sync") if isinstance(given, dict) else None
