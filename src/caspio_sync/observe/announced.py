"""How much of what changed webhooks announced, and how much the schedule found by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from caspio_sync.ledger.run_record import Run

_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Announced:
    """New and changed rows of a sync, by what found them, since hints were read first, in 7 days at the most.

    Args:
        by_hints: by runs that read announced rows.
        by_sweep: by the others; what was announced and not read yet is among them.
        calls: to Caspio, of runs that read announced rows.
        days: that these counts are of.
    """

    by_hints: int = 0
    by_sweep: int = 0
    calls: int = 0
    days: float = 0.0

    @property
    def text(self) -> str:
        """For people."""
        both = self.by_hints + self.by_sweep
        if not both:
            return "webhooks announced nothing yet, and the sweep found nothing"
        share = round(100 * self.by_hints / both)
        return f"webhooks announced {share} %, the sweep found {100 - share} % ({both:,} rows)"

    @property
    def calls_a_month(self) -> int:
        """Calls to Caspio that hints take in thirty days, as it has gone lately."""
        return round(self.calls / max(self.days, 1.0) * 30) if self.calls else 0


def announced(runs: Iterable[Run]) -> Announced:
    """Count the runs of a sync, newest first; those of chosen rows say nothing of either."""
    told = [each for each in runs if each.report]
    if not told:
        return Announced()
    newest = told[0].started_at
    told = [each for each in told if each.started_at > newest - _WITHIN]
    hinted = [each for each in told if (each.report or {}).get("hints")]
    if not hinted:
        return Announced()
    first = min(each.started_at for each in hinted)
    swept = [each for each in told if each.started_at > first and each.mode != "partial"]
    return Announced(
        by_hints=sum(map(_changes, hinted)),
        by_sweep=sum(map(_changes, swept)),
        calls=sum((each.report or {}).get("caspio_calls", 0) for each in hinted),
        days=(newest - first) / timedelta(days=1),
    )


def _changes(run: Run) -> int:
    report = run.report or {}
    return int(report.get("new", 0)) + int(report.get("changed", 0))
