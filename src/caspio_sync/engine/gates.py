"""What a run asks of its gates. They are `expectations`, handed in by whoever opens the run."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import polars as pl

from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import CheckResult


class Judged(Protocol):
    """What a gate says of rows."""

    @property
    def accepted(self) -> pl.DataFrame:
        """Rows that may go on."""
        ...

    @property
    def held(self) -> pl.DataFrame:
        """Rows set aside, with `reason`."""
        ...

    @property
    def checks(self) -> Sequence[CheckResult]:
        """A result for each expectation."""
        ...

    @property
    def blocked(self) -> str | None:
        """Why none of them may go on; None where the accepted may."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


class Gates(Protocol):
    """The gates of a run."""

    async def rows(self, changes: pl.DataFrame) -> Judged:
        """Judge the full mapped rows of everything new or changed.

        Raises:
            ConfigurationError: an expectation of the sync file cannot be evaluated.
        """
        ...

    async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judged:
        """Judge what is to be written into the table of campaigns: its columns of counts; `now` is aware."""
        ...


MakeGates = Callable[[str, Sync, RowMapping], Gates]


def no_gates(name: str, _sync: Sync, _mapping: RowMapping) -> Gates:
    """For a run that comes to no gate: one that is opened to look, or to erase."""

    class NoGates:
        async def rows(self, changes: pl.DataFrame) -> Judged:  # noqa: ARG002
            raise RuntimeError(f"{name} was opened without a gate")

        async def campaign_days(self, days: pl.DataFrame, counts: Sequence[str], now: datetime) -> Judged:  # noqa: ARG002
            raise RuntimeError(f"{name} was opened without a gate")

    return NoGates()
