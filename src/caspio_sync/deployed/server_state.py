"""What an orchestrator's server says of our deployments, runs and workers: plain values, for `caspio-sync doctor`."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RunningFlow:
    """A flow run that the server takes for running.

    Args:
        id: of the flow run.
        name: as the UI shows it.
        sync: the sync it was started for; None where its parameters do not say.
        since: when it began.
    """

    id: str
    name: str
    sync: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class DeployedSync:
    """A deployment of ours.

    Args:
        name: the sync's name.
        paused: whether it is paused as a whole.
        paused_schedules: schedules that are switched off.
    """

    name: str
    paused: bool
    paused_schedules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the server says.

    Args:
        url: where it is.
        pool: the work pool that was looked at.
        pool_exists: whether it is there.
        pool_paused: whether it hands out no runs.
        workers: names of the workers that are online.
        lost_workers: names of those whose heartbeat stopped.
        deployments: ours on this pool.
        running: flow runs of ours.
        late: runs that should have begun and were taken by no worker.
    """

    url: str
    pool: str
    pool_exists: bool = True
    pool_paused: bool = False
    workers: tuple[str, ...] = ()
    lost_workers: tuple[str, ...] = ()
    deployments: tuple[DeployedSync, ...] = ()
    running: tuple[RunningFlow, ...] = ()
    late: int = 0
