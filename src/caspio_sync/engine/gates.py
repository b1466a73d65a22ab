"""What a run asks of its gates. They are `expectations`, handed in by whoever opens the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import CheckResult


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a gate says of a batch.

    Args:
        accepted: rows that may go on.
        held: rows set aside, with `reason` (names of the failed expectations, and what is wrong, masked).
        checks: a result for each expectation.
        blocked: why nothing of the batch may be sent; None where the rest may go on.
        seconds: how long it took.
    """

    accepted: pl.DataFrame
    held: pl.DataFrame
    checks: tuple[CheckResult, ...]
    blocked: str | None
    seconds: float

    @classmethod
    def of_nothing(cls, rows: pl.DataFrame) -> "Judgement":
        """Of a batch without a row, which needs no gate: a run that finds no change does not import one."""
        return cls(rows, rows.with_columns(reason=pl.lit("")), (), None, 0.0)


class Gates(Protocol):
    """The gates of a run."""

    def expect(self) -> None:
        """Rows to judge are sure to come: load in the background what that takes."""

    async def rows(self, changes: pl.DataFrame) -> Judgement:
        """Judge the full mapped rows of everything new or changed.

        Raises:
            ConfigurationError: an expectation of the sync file cannot be evaluated.
        """

    async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judgement:
        """Judge what is to be written into the table of campaigns: its columns of counts; `now` is aware."""


MakeGates = Callable[[str, Sync, RowMapping], Gates]


def no_gates(name: str, _sync: Sync, _mapping: RowMapping) -> Gates:
    """For a run that comes to no gate: one that is opened to look, or to erase."""

    class NoGates:
        def expect(self) -> None:
            pass

        async def rows(self, changes: pl.DataFrame) -> Judgement:  # noqa: ARG002
            raise RuntimeError(f"{name} was opened without a gate")

        async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judgement:  # noqa: ARG002
            raise RuntimeError(f"{name} was opened without a gate")

    return NoGates()
