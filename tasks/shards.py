"""Shards on workers: each a flow run of the sync's deployment, triggered here and followed to its end."""

from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.run.report import RunOptions


async def trigger(deployment: str, sync: str, options: RunOptions, *, name: str) -> UUID:
    """Have a worker run a sync with these options.

    Args:
        deployment: `flow/deployment`.
        sync: name of the sync.
        options: what to read, and what to send of it.
        name: of the flow run.

    Returns:
        Its id; it may not have begun yet.

    Raises:
        ConfigurationError: there is no such deployment.
    """
    chosen = options.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    try:
        run = await arun_deployment(
            deployment, parameters={"parameters": {"sync": sync, **chosen}}, timeout=0, flow_run_name=name
        )
    except ObjectNotFound:
        raise ConfigurationError(
            f"{sync}: the Prefect server has no deployment {deployment}. Register it with `caspio-sync deploy`, or "
            "unset PREFECT_API_URL to run the backfill in this process"
        ) from None
    return run.id


async def states_of(flow_runs: Sequence[UUID]) -> dict[UUID, State]:
    """Where flow runs stand; one that nobody took yet is Scheduled.

    Raises:
        TransientError: the server did not answer.
    """
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(flow_runs)))
    try:
        async with get_client() as client:
            found = await client.read_flow_runs(flow_run_filter=chosen, limit=len(flow_runs))
    except Exception as error:  # noqa: BLE001 - httpx stays with the clients; whatever it is, the shards go on
        raise TransientError(f"the Prefect server did not answer: {type(error).__name__}") from None
    return {each.id: each.state or Scheduled() for each in found}
