"""What is kept of a run, of its batches, and of how far a sync has read. Known without SQLAlchemy."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

RUNNING = "running"
PARTIAL, SWEEP = "partial", "sweep"  # modes: of chosen rows, and of all
KILLED, FAILED, INTERRUPTED = "killed", "failed", "interrupted"
DIED = (KILLED, FAILED, INTERRUPTED)  # states of runs that recorded a part of their rows
KILLED_CODE = 137  # as a shell tells of a process that was killed
OPEN, RECORDED = "open", "recorded"  # states of batches


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a sync.

    Args:
        id: chosen by the caller.
        sync: name of the sync.
        kind: what it moves: `profiles`, `catalog`, `engagement`.
        mode: how it was asked for: `incremental`, `full`, …
        started_at: aware, UTC.
        ended_at: None while it runs; of a killed run, when the next one found it dead.
        state: `running`, then what `finish_run` was told (`interrupted`: by a signal); `killed` where nobody told
            anything.
        exit_code: None while it runs.
        report: what it counted.
        flow_run_id: of the orchestrator, where there is one.
        low_pk: first key of the rows it holds; None where it holds the whole sync.
        high_pk: the last one.
    """

    id: str
    sync: str
    kind: str
    mode: str
    started_at: datetime
    ended_at: datetime | None
    state: str
    exit_code: int | None
    report: dict[str, Any] | None
    flow_run_id: str | None
    low_pk: int | None = None
    high_pk: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of a run: its range of `source_pk` (both included), rows read, and state (`open`, then as closed)."""

    run: str
    number: int
    low_pk: int
    high_pk: int
    rows: int
    state: str
    counts: dict[str, Any] | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to when a sync has read its source.

    Args:
        sync: name of the sync.
        watermark: the source is known to be read up to here; None before the first complete read.
        full_sweep_at: start of the last complete read of everything.
        where_digest: of the source's filter; under another one the watermark means nothing.
    """

    sync: str
    watermark: datetime | None
    full_sweep_at: datetime | None
    where_digest: str | None
