"""Runs with Prefect's engine around them, or without."""

import contextlib
import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from caspio_sync.engine.line import bare


def without_engine(patch: pytest.MonkeyPatch) -> list[str]:
    """The steps without the engine around them: three times as fast. The summaries of the runs that end from then on."""
    patch.setattr("tasks.line.as_task", bare)
    patch.setattr("caspio_sync.cli.server.refuse_silent", lambda _server: None)
    for flow in ("profile_sync", "catalog_sync", "engagement_return", "event_sync", "deal_sync", "backfill"):
        module = importlib.import_module(f"flows.{flow}")
        patch.setattr(module, flow, getattr(module, flow).fn)
    report = importlib.import_module("tasks.report")
    summaries: list[str] = []

    @contextlib.asynccontextmanager
    async def summarised() -> AsyncIterator[Any]:
        runs: list[Any] = []

        async def watch(run: Any) -> None:
            runs.append(run)

        try:
            yield watch
        finally:
            summaries.extend("\n".join(report.summary_lines(run.report, run.past)) for run in runs)

    patch.setattr(report, "published", summarised)
    return summaries


def repeat_at_once(patch: pytest.MonkeyPatch) -> None:
    """Prefect's own waits between the tries of a task are not on the virtual clock."""
    for task in importlib.import_module("tasks.options").TASKS.values():
        if task.retries:
            patch.setattr(task, "retry_delay_seconds", [0.0] * task.retries)
            patch.setattr(task, "retry_jitter_factor", None)
