"""What a run did, from the ledger alone: what `runs` and `show` print and the page shows."""

from datetime import datetime, timedelta
from typing import Any

from caspio_sync.ledger.overview import Overview
from caspio_sync.ledger.run_record import RUNNING, Run

ABANDONED = "abandoned"  # written down as running, and its process is gone: the next run takes over


def state_of(run: Run, ledger: Overview) -> str:
    """How a run ended, in a word; `running` while its process holds its lease, `abandoned` once that is gone."""
    return ABANDONED if run.state == RUNNING and not ledger.is_under_way(run) else run.state


def mapping_change(run: Run, ledger: Overview) -> dict[str, Any] | None:
    """The mapping that a run sent by, beside the one of the run before: versions, fields that came and went.

    None for runs of versions that did not keep it; `before` is None where no run before is known to have had one.
    """
    version = _mapping_version(run)
    present = None if version is None else ledger.mapping_version(run.sync, version)
    if present is None:
        return None
    before = next((each for each in map(_mapping_version, ledger.runs_before(run)) if each is not None), None)
    former = None if before is None else ledger.mapping_version(run.sync, before)
    fields, had = set(present.fields), set(present.fields if former is None else former.fields)
    return {
        "version": present.version,
        "before": None if former is None else former.version,
        "added": sorted(fields - had),
        "removed": sorted(had - fields),
    }


def _mapping_version(run: Run) -> int | None:
    version: int | None = (run.report or {}).get("mapping_version")
    return version


def took(run: Run, state: str, now: datetime) -> timedelta | None:
    """How long a run took, or has taken so far; None where nobody knows."""
    ended = run.ended_at or (now if state == RUNNING else None)
    return None if ended is None else max(timedelta(), ended - run.started_at)


def not_sent(report: dict[str, Any]) -> int:
    """Rows that were to be sent and were not, those held from before included."""
    verdicts = report.get("verdicts") or {}
    refused = sum(int(rows) for verdict, rows in verdicts.items() if verdict != "sent")
    return refused + sum(map(int, (report.get("held") or {}).values()))


def mapping_text(mapping: dict[str, Any] | None) -> str:
    """What `mapping_change` found, in a line."""
    if mapping is None:
        return "not known: the run broke off, or is of a version that did not keep it"
    before, version = mapping["before"], f"version {mapping['version']}"
    if before is None:
        return f"{version}, the first that is known"
    if before == mapping["version"]:
        return f"{version}, as in the run before"
    changes = [f"+ {name}" for name in mapping["added"]] + [f"- {name}" for name in mapping["removed"]]
    return f"{version}, {before} in the run before: {', '.join(changes) or 'the same fields, read otherwise'}"
