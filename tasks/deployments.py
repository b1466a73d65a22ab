"""Registering deployments with Prefect's server: made, updated, and removed when their sync is gone."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from caspio_sync.deployed.deployments import POOL_TYPE, PULL_STEPS, Deployment
from tasks.server import our_deployments, reached_server

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

Action = Literal["made", "updated", "unchanged", "removed", "left"]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one deployment.

    Args:
        name: `flow/deployment`; of one that was left or removed the deployment alone.
        action: "left" is one of ours whose sync is gone or not enabled, when nobody asked to remove it.
        note: what a person should know, such as a schedule that stays paused.
    """

    name: str
    action: Action
    note: str = ""


async def deploy(
    wanted: Sequence[Deployment], *, pool: str, prune: bool = False, dry_run: bool = False
) -> list[Change]:
    """Make the server hold these deployments. A schedule that a person paused stays paused.

    Args:
        wanted: all deployments there should be.
        pool: the work pool; made where there is none.
        prune: remove our deployments on this pool whose sync is gone.
        dry_run: change nothing, only say what would be.

    Raises:
        TransientError: the server does not answer.
    """
    async with reached_server() as client:
        if not dry_run:
            await _make_pool(client, pool)
        present = {each.name: each for each in await our_deployments(client, pool)}
        changes = [await _register(client, each, present.get(each.name), pool, dry_run=dry_run) for each in wanted]
        for name in sorted(set(present) - {each.name for each in wanted}):
            if prune and not dry_run:
                await client.delete_deployment(present[name].id)
            note = "" if prune else "its sync file is gone, or says `enabled: false`; `--prune` removes it"
            changes.append(Change(name, "removed" if prune else "left", note))
        return changes


async def _make_pool(client: PrefectClient, pool: str) -> None:
    try:
        await client.read_work_pool(pool)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        try:
            await client.create_work_pool(WorkPoolCreate(name=pool, type=POOL_TYPE, base_job_template=template))
        except ObjectAlreadyExists:  # somebody else was faster
            return


async def _register(
    client: PrefectClient, wanted: Deployment, present: "DeploymentResponse | None", pool: str, *, dry_run: bool
) -> Change:
    flow = _flow(wanted.entrypoint)
    name = f"{flow.name}/{wanted.name}"
    paused = {each.slug for each in present.schedules if not each.active} if present else set()
    if present is not None and not present.paused and _same(present, wanted, flow):
        return Change(name, "unchanged", _note(paused))
    if present is not None and present.paused and _same(present, wanted, flow):
        return Change(name, "unchanged", "it is paused, and stays so")
    if not dry_run:
        flow_id = await client.create_flow(flow)
        if present is not None and present.flow_id != flow_id:  # the sync is of another kind now
            await client.delete_deployment(present.id)
        await client.create_deployment(
            flow_id=flow_id,
            name=wanted.name,
            description=wanted.description,
            entrypoint=wanted.entrypoint,
            path=".",
            tags=list(wanted.tags),
            parameters=dict(wanted.parameters),
            parameter_openapi_schema=_form(flow),
            enforce_parameter_schema=True,
            work_pool_name=pool,
            pull_steps=[dict(each) for each in PULL_STEPS],
            schedules=[
                DeploymentScheduleCreate(
                    schedule=CronSchedule(cron=wanted.schedule.cron, timezone=wanted.schedule.time_zone),
                    active=wanted.schedule.slug not in paused,
                    slug=wanted.schedule.slug,
                )
            ],
            paused=None if present is None else present.paused,
        )
    return Change(name, "made" if present is None else "updated", _note(paused))


def _note(paused: set[str | None]) -> str:
    return f"schedule {', '.join(sorted(map(str, paused)))} is paused, and stays so" if paused else ""


def _flow(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.rpartition(".")
    return cast("Flow[..., Any]", getattr(importlib.import_module(module), name))


def _form(flow: Flow[..., Any]) -> dict[str, Any]:
    """What the UI makes the form of a custom run from: the parameter model's fields with their descriptions."""
    return flow.parameters.model_dump(mode="json", exclude_unset=True)


def _same(present: "DeploymentResponse", wanted: Deployment, flow: Flow[..., Any]) -> bool:
    """Whether registering it again would change nothing; it would also drop the runs that are scheduled already."""
    schedules = [
        (each.slug, each.schedule.cron, each.schedule.timezone)
        for each in present.schedules
        if isinstance(each.schedule, CronSchedule)
    ]
    return (
        present.description == wanted.description
        and present.entrypoint == wanted.entrypoint
        and set(present.tags) == set(wanted.tags)
        and present.parameters == wanted.parameters
        and present.pull_steps == [dict(each) for each in PULL_STEPS]
        and present.parameter_openapi_schema == _form(flow)
        and len(present.schedules) == 1
        and schedules == [(wanted.schedule.slug, wanted.schedule.cron, wanted.schedule.time_zone)]
    )
