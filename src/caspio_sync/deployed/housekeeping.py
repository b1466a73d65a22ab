"""What housekeeping removed, of the ledger and of the orchestrator."""

import contextlib
from dataclasses import asdict
from datetime import timedelta

from pydantic import BaseModel

from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.situation import LATE
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.housekeeping import Purged
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.posts import Read
from caspio_sync.schemas import SOURCE_PK, Verdict
from caspio_sync.settings import LocalSettings

_ALL = 2**63 - 1


class HousekeepingReport(BaseModel):
    """What was removed, or with `dry_run` would be.

    Args:
        dry_run: whether nothing was.
        keep_days: of the ledger's history.
        keep_prefect_days: of Prefect's own records.
        keep_inbox_days: of what the destination posted or was asked for.
        ledger: entries by what they are, and bytes given back.
        posts: of any system, that every sync of their path is done with.
        hints: of webhooks, that came more than two weeks ago.
        inbox_posts: that every engagement return has folded.
        flow_runs: Prefect's records of ended runs of ours, with their task runs and logs.
        artifacts: of these runs.
    """

    dry_run: bool
    keep_days: int
    keep_prefect_days: int
    keep_inbox_days: int
    ledger: dict[str, int]
    inbox_posts: int = 0
    posts: int = 0
    hints: int = 0
    flow_runs: int = 0
    artifacts: int = 0

    def lines(self) -> list[str]:
        """In words, one thing a line."""
        removed = "would be removed" if self.dry_run else "removed"
        counted = {name: count for name, count in self.ledger.items() if name != "bytes_freed"}
        names = {
            "outcomes": "stretches of history",
            "budget_days": "days of counted calls",
            "event_ids": "hours of event ids",
        }
        lines = [
            f"ledger, older than {self.keep_days} days: {count:,} {names.get(name, name)} {removed}"
            for name, count in counted.items()
        ]
        if self.ledger.get("bytes_freed"):
            lines.append(f"ledger: {self.ledger['bytes_freed'] / 1e6:,.1f} MB given back to the disk")
        if self.inbox_posts:
            lines.append(
                f"inbox, folded and older than {self.keep_inbox_days} days: {self.inbox_posts:,} posts {removed}"
            )
        if self.posts:
            lines.append(f"posts, read and older than {self.keep_inbox_days} days: {self.posts:,} {removed}")
        if self.hints:
            lines.append(f"hints of webhooks, older than two weeks: {self.hints:,} {removed}")
        lines.append(
            f"Prefect, older than {self.keep_prefect_days} days: {self.flow_runs:,} flow runs with their logs, and "
            f"{self.artifacts:,} artifacts {removed}"
        )
        return lines


def purge_ledger(settings: LocalSettings, *, dry_run: bool) -> HousekeepingReport:
    """Purge the ledger and the inbox, where there are any.

    Raises:
        CaspioSyncError: as the ledger says; what was removed before stays removed.
    """
    connect, purged, folded_posts, posts, hints = CONNECT.get(), Purged(), 0, 0, 0
    if settings.has_ledger:
        with contextlib.closing(connect.ledger(settings, connect.clock)) as ledger:
            before = ledger.now() - timedelta(days=settings.keep_days)
            purged = ledger.purge(before, dry_run=dry_run)
            folded = ledger.folded_by_all()
            read = _posts_read(settings, ledger)
        if settings.has_inbox:
            with contextlib.closing(connect.inbox(settings, connect.clock)) as inbox:
                before = connect.clock.now() - timedelta(days=settings.keep_inbox_days)
                folded_posts = inbox.purge(folded=folded or 0, before=before, dry_run=dry_run)
            with contextlib.closing(connect.posts(settings, connect.clock)) as posted:
                posts = posted.purge(read, before=before, dry_run=dry_run)
            with contextlib.closing(connect.hints(settings, connect.clock)) as told:
                hints = told.purge(payload_days=settings.keep_inbox_days, dry_run=dry_run)
    return HousekeepingReport(
        dry_run=dry_run,
        keep_days=settings.keep_days,
        keep_prefect_days=settings.keep_prefect_days,
        keep_inbox_days=settings.keep_inbox_days,
        ledger=asdict(purged),
        inbox_posts=folded_posts,
        posts=posts,
        hints=hints,
    )


def _posts_read(settings: LocalSettings, ledger: Ledger) -> dict[str, Read]:
    """How far the syncs of each path have read; nothing where a file cannot be read, which may be of any path."""
    found: dict[str, Read] = {}
    for name in settings.sync_files.names:
        try:
            path = load_sync(settings.sync_file(name)).source.posts
        except CaspioSyncError:
            return {}
        if path is None:
            continue
        reached = ledger.reached(name, ledger.now() - LATE)
        before = found.get(path, Read(_ALL, frozenset()))
        # Not those of erased people (blocked): nothing would ever send them.
        needed = {*ledger.held(name, (Verdict.QUARANTINED, Verdict.REJECTED)), *ledger.unknown_events(name)[SOURCE_PK]}
        found[path] = Read(min(before.up_to, -1 if reached is None else reached), before.but | needed)
    return found
