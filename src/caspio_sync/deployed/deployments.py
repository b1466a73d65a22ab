"""The deployments of all syncs, as data: what `caspio-sync deploy` registers and `deployments/prefect.yaml` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from caspio_sync.caspio.records import RecordReader
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.hinted import can_be_hinted
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.prepared import calls_a_page, prepare
from caspio_sync.engine.quota import count_calls
from caspio_sync.engine.schedules import Schedule, daily_calls, over_budget, schedules_of
from caspio_sync.engine.sharing import beside
from caspio_sync.errors import ConfigurationError
from caspio_sync.feeds import feeds_named
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import Settings

# Marks what is ours on a server that holds others' deployments too.
TAG = "caspio-sync"
POOL = "caspio-sync"
POOL_TYPE = "process"
# The folder with .env and syncs/, on whichever machine the worker is.
FOLDER_VARIABLE = "CASPIO_SYNC_FOLDER"
PULL_STEPS: tuple[Mapping[str, Any], ...] = (
    MappingProxyType(
        {"prefect.deployments.steps.set_working_directory": {"directory": f"{{{{ ${FOLDER_VARIABLE} }}}}"}}
    ),
)
HOUSEKEEPING = "housekeeping"
_RENEWED = "*/5 * * * *"  # one that finds another listening ends at once
_DAILY = "23 4 * * *"  # after the nightly sweeps

_HEADER = """\
# Deployments: which syncs run, when, and with what. Written by
#   caspio-sync deploy --write deployments/prefect.yaml
# from the sync files (here the examples, with CASPIO_SYNC_SYNCS=examples; write your own list by the same command);
# correct those, not this one. `caspio-sync deploy` registers the same list; this does so too:
#   prefect work-pool create --type process caspio-sync
#   prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
# A worker needs CASPIO_SYNC_FOLDER, the folder with .env and syncs/: runs take their settings from there.
# Two runs of one sync exclude each other by the ledger's lease; no limit of Prefect's stands between a dead run and its
# successor. The nightly sweep waits for the run it meets.
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment.

    Args:
        name: the sync's name; with the flow's it is `profile-sync/customers`.
        description: what it does, for the UI.
        entrypoint: the flow, in module form.
        tags: `TAG` first.
        parameters: what its runs are given, and the form of a custom run is filled with.
        schedule: when it runs. It has no parameters of its own: pausing it in Prefect's UI would empty them.
    """

    name: str
    description: str
    entrypoint: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Deployments:
    """What a folder of sync files makes.

    Args:
        made: a deployment for each schedule of each enabled sync, by sync; and where there is a file, the housekeeping.
        left: syncs that are not deployed, and why.
    """

    made: tuple[Deployment, ...]
    left: Mapping[str, str]


def deployments_of(settings: Settings) -> Deployments:
    """The deployments of all sync files.

    Raises:
        ConfigurationError: a sync file cannot be read, bears the name of a deployment that is not its own, or writes
            what another one writes.
    """
    files = _files(settings)
    definitions = [load_sync(path) for path in files]
    enabled = [each for each in definitions if each.enabled]
    made = [_deployment(each, schedule) for each in enabled for schedule in schedules_of(each)]
    made += [_listening(each) for each in enabled if each.name in feeds_named() and can_be_hinted(each)]
    made += [_housekeeping(settings)] if files else []
    for path in files:
        if sum(each.name == path.stem for each in made) > 1:
            raise ConfigurationError(f"{path}: '{path.stem}' is another deployment's name; call the sync otherwise")
    by_name = {each.name: each for each in definitions}
    for each in enabled:
        beside(each, {name: other for name, other in by_name.items() if name != each.name})
    left = {each.name: f"enabled: false ({each.where('enabled')})" for each in definitions if not each.enabled}
    return Deployments(tuple(made), left)


def not_on_schedule(settings: Settings, name: str) -> str | None:
    """Why no schedule may run a sync; None where one may.

    Raises:
        ConfigurationError: its file cannot be read.
    """
    definition = load_sync(settings.sync_file(name))
    return None if definition.enabled else f"enabled: false ({definition.where('enabled')}): it runs by hand alone"


async def refusal_by_budget(settings: Settings) -> str | None:
    """Why the schedules of all syncs together would burst CASPIO_CALLS_PER_DAY; None where they fit, or it is not set.

    Asks Caspio how many rows each source has, where there is a budget at all.

    Raises:
        ConfigurationError, TransientError: as `prepare`.
    """
    if settings.caspio_calls_per_day is None:
        return None
    connect, asked = CONNECT.get(), []
    async with connect.caspio(settings, connect.clock) as caspio:
        try:
            for path in _files(settings):
                definition = load_sync(path)
                if not definition.enabled or definition.source.posts is not None:  # posts cost no call
                    continue
                prepared = await prepare(settings, path.stem, caspio)
                where = prepared.definition.source.where
                reader = RecordReader(
                    caspio, prepared.source, fields=prepared.selected, key_field=prepared.key.name, where=where
                )
                await reader.open()
                asked += daily_calls(path.stem, prepared.definition, reader.total, calls_a_page(caspio, prepared))
        finally:
            if settings.has_ledger:
                with connect.ledger(settings, connect.clock) as ledger:
                    count_calls(ledger, settings.caspio_integration_url, caspio.calls)
    asked.sort(key=lambda each: -each.calls)
    return over_budget(asked, settings.caspio_calls_per_day)


def prefect_file(deployments: Sequence[Deployment]) -> str:
    """The deployments as a `prefect.yaml`."""
    document = {
        "name": "caspio-sync",
        "pull": [dict(each) for each in PULL_STEPS],
        "deployments": [_entry(each) for each in deployments],
    }
    return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _files(settings: Settings) -> list[Path]:
    files = settings.sync_files
    return [files.path(name) for name in files.names]


def _deployment(definition: Sync, schedule: Schedule) -> Deployment:
    # A sweep that meets another run waits for its end: the next night is far away.
    sweep = {"full": True, "wait": True} if schedule.full else {}
    kind, whole = kind_of(definition), schedule.full or not definition.reads_changes
    return Deployment(
        name=f"{definition.name}-{schedule.slug}" if schedule.full else definition.name,
        description=kind.describe(definition, whole, destination_of(definition).title),
        entrypoint=kind.flow,
        tags=(TAG, kind.name),
        parameters={"parameters": {"sync": definition.name, **sweep}},
        schedule=schedule,
    )


def _listening(definition: Sync) -> Deployment:
    return Deployment(
        name=f"{definition.name}-hints",
        description=(
            "Listens for an hour to what Caspio's webhook announces, and has its rows read again and sent at once."
        ),
        entrypoint="flows.webhook_hints.webhook_hints",
        tags=(TAG, definition.kind, "hints"),
        parameters={"parameters": {"sync": definition.name}},
        schedule=Schedule("resident", _RENEWED),
    )


def _housekeeping(settings: Settings) -> Deployment:
    return Deployment(
        name=HOUSEKEEPING,
        description=(
            f"Removes what is old: the ledger's history after {settings.keep_days} days, Prefect's flow runs, logs and "
            f"artifacts after {settings.keep_prefect_days}. Custom run: `dry_run` counts only."
        ),
        entrypoint="flows.housekeeping.housekeeping",
        tags=(TAG, HOUSEKEEPING),
        parameters={"parameters": {"dry_run": False}},
        schedule=Schedule("daily", _DAILY),
    )


def _entry(deployment: Deployment) -> dict[str, Any]:
    when = deployment.schedule
    schedule = {"slug": when.slug, "cron": when.cron, "timezone": when.time_zone, "active": True}
    return {
        "name": deployment.name,
        "description": deployment.description,
        "entrypoint": deployment.entrypoint,
        "tags": list(deployment.tags),
        "parameters": dict(deployment.parameters),
        "work_pool": {"name": POOL},
        "schedules": [schedule],
    }
