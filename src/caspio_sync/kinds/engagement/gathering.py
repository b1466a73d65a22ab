"""An engagement return: what it needs besides the parts of every run, and what is asked before the first row."""

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

from caspio_sync import registry
from caspio_sync.caspio.writer import Writer
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.kinds.engagement.definition import EngagementSync
from caspio_sync.kinds.engagement.mapping import EngagementMapping
from caspio_sync.kinds.engagement.source import Engagement
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.writeback_report import WritebackReport
from caspio_sync.settings import current_settings
from caspio_sync.sync_files import said_in


@dataclass(kw_only=True)
class EngagementWork(Work):
    """What a run of an engagement return keeps.

    Args:
        definition: the sync.
        mapping: fitted to the table.
        engagement: what the destination told.
        writer: of the table.
        writeback: what is written back, for the report.
        budget: writes that are left to this run; None for as many as it takes.
        found: people that were met in the table.
        consent_changes: rows whose consent this run changes.
    """

    definition: EngagementSync
    mapping: EngagementMapping
    engagement: Engagement
    writer: Writer
    writeback: WritebackReport = field(default_factory=WritebackReport)
    budget: int | None
    found: int = 0
    consent_changes: int = 0

    @cached_property
    def profiles(self) -> Sync | None:
        """The profile sync that is told of conflicts (`check_profiles`); None where none is."""
        return check_profiles(self.definition)


async def engagement_work(opening: Opening, definition: EngagementSync, mapping: EngagementMapping) -> EngagementWork:
    """The work of an engagement return."""
    told = (CONNECT.get().told or opening.sink.told)(opening)
    writer = Writer(opening.clients.caspio, opening.prepared.source, opening.prepared.key.name)
    return EngagementWork(
        definition=definition, mapping=mapping, engagement=told, writer=writer, budget=definition.calls_per_run
    )


async def gather(run: SyncRun[EngagementWork]) -> None:
    """Everything that was told up to now, folded; and what cannot be asked of this kind of sync is refused."""
    own, options = run.work, run.options
    if options.baseline or options.resend or options.allow_deletes:
        raise ConfigurationError(
            f"{run.name}: an engagement return writes what differs, whatever it wrote before; run it without "
            "--baseline, --resend and --allow-deletes"
        )
    check_profiles(own.definition)
    own.writeback.gathered = dict(await own.engagement.gather(run))


def check_profiles(definition: EngagementSync) -> Sync | None:
    """The profile sync that is told of conflicts, which must send the same rows to where these states come from."""
    _refuse_decided(definition)
    name = definition.returned.profiles
    if name is None:
        return None
    profiles = load_sync(current_settings().sync_file(name))
    same = (profiles.source.name, profiles.destination) == (definition.source.name, definition.destination)
    if profiles.people is None or not same:
        raise ConfigurationError(
            f"{definition.where('consent', 'profiles')}: '{name}' is no profile sync of {definition.source.name}; "
            f"name the one that carries these columns to {destination_of(definition).title}"
        )
    return profiles


def _refuse_decided(definition: EngagementSync) -> None:
    """Raise where a condition of any sync decides who is on a list: whom it takes off would come back as an opt-out."""
    settings = current_settings()
    for name in settings.sync_files.names if definition.returned.states else ():
        file = settings.sync_file(name)
        said = said_in(file, "kind", "destination")  # nothing where it cannot be read to its end
        if said and said.get("destination", registry.DEFAULT_DESTINATION) != definition.destination:
            continue
        try:
            decided = load_sync(file).decided_states
        except CaspioSyncError:  # it does not run either, and says so itself
            continue
        for scope in definition.returned.states:
            if scope in decided:
                raise ConfigurationError(
                    f"{definition.where(*definition.returned.place(scope))}: in '{name}' a condition decides who is on "
                    "this list (`when`), and whom it takes off would come back as an opt-out; remove the list here"
                )


async def note_unknown(run: SyncRun[EngagementWork]) -> None:
    """Count the people whom a whole read did not meet in the table; they wait there until their row appears."""
    own = run.work
    if run.selection.whole:
        known = await asyncio.to_thread(own.engagement.people)
        own.writeback.unknown_people = max(0, known - own.found)
