"""An engagement return: what it needs besides the parts of every run, and what is asked before the first row."""

import asyncio
from dataclasses import dataclass

from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.fingerprints import identity_salt
from caspio_sync.mapping.engagement import EngagementMapping
from caspio_sync.mapping.engagement_sync import EngagementSync
from caspio_sync.mapping.profile_sync import ProfileSync
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.context import SyncRun
from caspio_sync.run.engagement.source import Engagement
from caspio_sync.run.engagement.writeback_report import WritebackReport
from caspio_sync.settings import current_settings
from caspio_sync.writeback.writer import Writer


@dataclass(slots=True)
class EngagementWork:
    """What a run of an engagement return keeps.

    Args:
        definition: the sync.
        mapping: fitted to the table.
        engagement: what Braze told.
        writer: of the table.
        budget: writes that are left to this run; None for as many as it takes.
        found: people that were met in the table.
        consent_changes: rows whose consent this run changes.
    """

    definition: EngagementSync
    mapping: EngagementMapping
    engagement: Engagement
    writer: Writer
    budget: int | None
    found: int = 0
    consent_changes: int = 0


def work(run: SyncRun) -> EngagementWork:
    """The run's part, made by its first caller."""
    return run.part("engagement", lambda: _work(run))


def _work(run: SyncRun) -> EngagementWork:
    definition, mapping = run.definition, run.mapping
    assert isinstance(definition, EngagementSync)
    assert isinstance(mapping, EngagementMapping)
    made = CONNECT.get().engagement or run.sink.told
    run.report.writeback = WritebackReport()
    writer = Writer(run.caspio, run.prepared.source, run.prepared.key.name)
    return EngagementWork(definition, mapping, made(run), writer, definition.calls_per_run)


def report_of(run: SyncRun) -> WritebackReport:
    """The report's part about what is written back."""
    work(run)
    assert run.report.writeback is not None
    return run.report.writeback


async def gather(run: SyncRun) -> None:
    """Everything that Braze told up to now, folded; and what cannot be asked of this kind of sync is refused."""
    own, options = work(run), run.options
    if options.baseline or options.resend or options.allow_deletes:
        raise ConfigurationError(
            f"{run.name}: an engagement return writes what differs, whatever it wrote before; run it without "
            "--baseline, --resend and --allow-deletes"
        )
    check_profiles(own.definition)
    report_of(run).gathered = dict(await own.engagement.gather(run))


def profiles_salt(run: SyncRun) -> int:
    """The salt of the fingerprints that the profile sync under `consent: profiles` keeps."""

    def found() -> int:
        profiles = check_profiles(work(run).definition)
        assert profiles is not None
        return identity_salt(run.ledger.ledger.salt, profiles.identity.kind, profiles.identity.label)

    return run.part("salt of the profile sync", found)


def check_profiles(definition: EngagementSync) -> ProfileSync | None:
    """The profile sync that is told of conflicts, which must be about the same rows."""
    name = definition.returned.profiles
    if name is None:
        return None
    profiles = load_sync(current_settings().sync_file(name))
    if not isinstance(profiles, ProfileSync) or profiles.source.name != definition.source.name:
        raise ConfigurationError(
            f"{definition.where('consent', 'profiles')}: '{name}' is no profile sync of {definition.source.name}; "
            "name the one that carries these columns to Braze"
        )
    return profiles


async def note_unknown(run: SyncRun) -> None:
    """Count the people whom a whole read did not meet in the table; they wait there until their row appears."""
    own = work(run)
    if run.whole_read:
        known = await asyncio.to_thread(own.engagement.people)
        report_of(run).unknown_people = max(0, known - own.found)
