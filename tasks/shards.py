"""Shards on workers: each a flow run of the sync's deployment, triggered here and followed to its end."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound

from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.observe.report import ExitCode, RunOptions
from tasks.server import mark_killed

_EXIT_CODE = "caspio-sync.exit-code"  # label of a flow run that failed
_GIVEN_UP = "caspio-sync.given-up"  # label of a flow run whose shard is another one's by now


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


async def flow_runs_of(ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    """Flow runs as they stand, by id.

    Raises:
        TransientError: the server did not answer.
    """
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(ids)))
    try:
        async with get_client() as client:
            found = await client.read_flow_runs(flow_run_filter=chosen, limit=len(ids))
    except Exception as error:  # noqa: BLE001 - httpx stays with the clients; whatever it is, the shards go on
        raise TransientError(f"the Prefect server did not answer: {type(error).__name__}") from None
    return {each.id: each for each in found}


async def give_up(flow_run: UUID) -> None:
    """Have the server say Crashed of a shard's flow run, and the run itself, should it live after all, do nothing.

    Raises:
        TransientError: the server did not answer; nothing is given up then.
    """
    try:
        async with get_client() as client:
            await client.update_flow_run_labels(flow_run, {_GIVEN_UP: True})
    except Exception as error:  # noqa: BLE001 - as above
        raise TransientError(f"the Prefect server did not answer: {type(error).__name__}") from None
    await mark_killed([str(flow_run)])


async def refuse_given_up(flow_run: UUID) -> None:
    """Stop a run that `give_up` was said of.

    Raises:
        TransientError: it was, or the server did not answer.
    """
    found = (await flow_runs_of([flow_run])).get(flow_run)
    if found is not None and _GIVEN_UP in found.labels:
        raise TransientError(
            "this run began so late that the backfill took its worker for dead and gave its rows to another run: "
            "nothing was sent by this one"
        )


async def label_failed(flow_run: UUID, exit_code: int) -> None:
    """Note on a flow run which exit code it fails with: a run that could not be opened is in no ledger.

    Where the server does not answer nothing is noted, else a run would fail of something else than it did.
    """
    with contextlib.suppress(Exception):
        async with get_client() as client:
            await client.update_flow_run_labels(flow_run, {_EXIT_CODE: exit_code})


def labelled_exit_code(flow_run: FlowRun) -> int:
    """What `label_failed` noted; `ExitCode.FAILED` where it could not, or where something else ended the run."""
    return int(flow_run.labels.get(_EXIT_CODE, ExitCode.FAILED))
