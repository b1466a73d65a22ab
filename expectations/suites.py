"""The suite of a sync, whatever its kind: that of kind `x` is `expectations/x.py`, its `suite` and `judged_frame`."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

import polars as pl

from caspio_sync.engine.gates import Judgement
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from expectations.gate import Expectation, Gate, warm
from expectations.rules import gate_with


def _of_kind(sync: Sync) -> Any:
    return import_module(f"expectations.{sync.kind}")


def gate_of(name: str, sync: Sync, mapping: RowMapping) -> Gate:
    """The gate of a sync: its kind's suite, the sync file's own expectations, and its limits.

    Raises:
        ConfigurationError: an expectation of the sync file that Great Expectations does not know, or that cannot judge
            the attribute it names.
    """
    return gate_with(name, sync, mapping, suite_of(sync, mapping))


def suite_of(sync: Sync, mapping: RowMapping) -> Sequence[Expectation]:
    """What is shipped with the kind of sync; the sync file's own expectations come on top."""
    suite: Sequence[Expectation] = _of_kind(sync).suite(sync, mapping)
    return suite


def judged_frame(rows: pl.DataFrame, sync: Sync, mapping: RowMapping) -> pl.DataFrame:
    """The rows with the columns that the suite names."""
    judged: pl.DataFrame = _of_kind(sync).judged_frame(rows, sync, mapping)
    return judged


class Gates:
    """The gates of a run, each made when the first rows come to it.

    Args:
        name: of the sync.
        sync: its definition.
        mapping: held against the table.
    """

    def __init__(self, name: str, sync: Sync, mapping: RowMapping) -> None:
        self._name = name
        self._sync = sync
        self._mapping = mapping
        self._gate: Gate | None = None

    def expect(self) -> None:
        """Load Great Expectations while the first pages are read, where no batch can be judged without it."""
        # Not a daemon: an interpreter that ends while libraries in C++ are being loaded may abort.
        threading.Thread(target=self._load, name="gate").start()

    def _load(self) -> None:
        with contextlib.suppress(ConfigurationError):  # the first rows tell
            if gate_of(self._name, self._sync, self._mapping).always_asks:
                warm()

    async def rows(self, changes: pl.DataFrame) -> Judgement:
        """Judge the full mapped rows of everything new or changed.

        Raises:
            ConfigurationError: an expectation of the sync file cannot be evaluated.
        """
        return await asyncio.to_thread(self._judge, changes)

    async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judgement:
        """Judge what is to be written into the table of campaigns: its columns of counts; `now` is aware."""
        own = _of_kind(self._sync)
        gate: Gate = own.campaign_gate(self._name, self._sync)
        return await asyncio.to_thread(gate.judge, own.judged_days(days, counts, now))

    def _judge(self, changes: pl.DataFrame) -> Judgement:
        if changes.is_empty():  # as in most runs of a minutely schedule: half their time was the import of the gate
            return Judgement.of_nothing(changes)
        if self._gate is None:
            self._gate = gate_of(self._name, self._sync, self._mapping)
        return self._gate.judge(judged_frame(changes, self._sync, self._mapping))
