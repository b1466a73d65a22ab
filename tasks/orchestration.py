"""Every call to Prefect's own API apart from artifacts: where its server is, and how a flow is run.

`use_prefect` must be called before anything imports Prefect: its settings are read then.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

from caspio_sync.engine.kind import kind_named
from caspio_sync.engine.opening import open_run
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError, without_values
from caspio_sync.observe.report import RunOptions
from caspio_sync.registry import KINDS
from caspio_sync.settings import current_settings
from caspio_sync.state import state_folder
from tasks.private_server import PrivateServer


def use_prefect(home: Path, *, server: str | None, verbose: bool = False) -> None:
    """Run flows with this server; None: with one of our own below `home`, which ends with this process.

    With one of our own the user's Prefect profile is left alone. Nothing is reported to the vendor.

    Raises:
        ConfigurationError: the folder cannot be written.
        TransientError: the server does not start.
    """
    folder = state_folder(state_folder(home.absolute()) / "prefect")
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
        **(_private_settings(folder) if server is None else {"PREFECT_API_URL": server}),
    }.items():
        os.environ.setdefault(name, value)
    if server is not None:
        return
    try:
        own = PrivateServer(folder)
    except OSError as error:
        raise ConfigurationError(f"Prefect's own server cannot start in {folder}: {error.strerror}") from None
    os.environ["PREFECT_API_URL"] = own.url
    import prefect.main  # noqa: F401, PLC0415 - takes as long as the server, which starts meanwhile

    own.await_answers()


# A server that lives for one run has nothing to schedule, expire or clean up; left on, these take half a core.
_IDLE_SERVICES = (
    "CANCELLATION_CLEANUP",
    "CLEANUP_RECONCILER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
    "TRIGGERS",
)


def _private_settings(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _IDLE_SERVICES},
    }


@contextlib.asynccontextmanager
async def opened_run(name: str, options: RunOptions) -> AsyncIterator[SyncRun]:
    """A run inside a flow run: opened with the worker's settings, its progress and summary kept as artifacts."""
    from prefect.runtime import flow_run  # noqa: PLC0415

    from expectations.suites import Gates  # noqa: PLC0415
    from tasks.report import published  # noqa: PLC0415
    from tasks.server import hide_keys, mark_killed  # noqa: PLC0415
    from tasks.shards import refuse_given_up  # noqa: PLC0415

    chosen = RunOptions(**options.model_dump(include=set(RunOptions.model_fields), by_alias=True))
    own_id = flow_run.get_id()
    if chosen.row_keys and own_id is not None:
        await hide_keys(own_id)
    async with (
        published() as publish,
        open_run(
            name, chosen, settings=current_settings(name), gates=Gates, flow_run=own_id, on_killed=mark_killed
        ) as run,
    ):
        if chosen.wait and chosen.pk_range and own_id is not None:  # what it waited for may have been long
            await refuse_given_up(UUID(own_id))
        await publish(run)
        with without_values():  # Prefect stores and logs what a flow raises
            yield run


def our_flows() -> list[str]:
    """Prefect's names of our flows."""
    return [*(kind_named(each).flow_name for each in KINDS), "backfill", "housekeeping", "webhook-hints"]


_AT_ONCE = 50  # flow runs, and artifacts, a look


async def purge_flow_runs(before: datetime, *, dry_run: bool) -> tuple[int, int]:
    """Delete our flow runs that ended before a time, with their task runs, logs and artifacts.

    Args:
        before: aware.
        dry_run: count only.

    Returns:
        Flow runs and artifacts that were deleted, or would be.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.client.schemas import filters  # noqa: PLC0415
    from prefect.client.schemas.objects import TERMINAL_STATES  # noqa: PLC0415
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    ours = filters.FlowFilter(name=filters.FlowFilterName(any_=our_flows()))
    ended = filters.FlowRunFilter(
        end_time=filters.FlowRunFilterEndTime(before_=before),
        state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    runs = artifacts = 0
    async with get_client() as client:
        while found := await client.read_flow_runs(
            flow_filter=ours, flow_run_filter=ended, limit=_AT_ONCE, offset=runs if dry_run else 0
        ):
            chosen = filters.ArtifactFilter(
                flow_run_id=filters.ArtifactFilterFlowRunId(any_=[each.id for each in found])
            )
            left = 0
            while kept := await client.read_artifacts(artifact_filter=chosen, limit=_AT_ONCE, offset=left):
                artifacts += len(kept)
                left += len(kept) if dry_run else 0
                for artifact in [] if dry_run else kept:
                    await client.delete_artifact(artifact.id)
            runs += len(found)
            for each in [] if dry_run else found:
                with contextlib.suppress(ObjectNotFound):  # somebody else deleted it
                    await client.delete_flow_run(each.id)
    return runs, artifacts
