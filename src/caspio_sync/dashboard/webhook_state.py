"""What `status` says of a sync's webhook: what arrived, what waits, and what only the sweep found."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from caspio_sync.ledger.overview import Overview
from caspio_sync.observe.announced import Announced, announced
from caspio_sync.spans import DAYS_A_MONTH

_RUNS_COUNTED = 10_000  # a week of runs every minute


@dataclass(frozen=True, slots=True)
class Webhook:
    """What the webhook of a sync announced.

    Args:
        messages: in 30 days, by what became of them.
        last_at: when one came last.
        waiting: rows that no run has read yet.
        share: of what changed, what was announced.
    """

    messages: dict[str, int]
    last_at: datetime | None
    waiting: int
    share: Announced

    @property
    def lines(self) -> tuple[str, str]:
        """For people."""
        came = ", ".join(f"{outcome} {count:,}" for outcome, count in self.messages.items())
        calls = f"about {self.share.calls_a_month:,} calls to Caspio a month"
        return (
            f"messages in {DAYS_A_MONTH} days: {came}; {self.waiting:,} rows wait",
            f"{self.share.text}; {calls}",
        )

    @property
    def document(self) -> dict[str, Any]:
        """In JSON."""
        return {
            "messages": self.messages,
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "waiting": self.waiting,
            "announced": self.share.by_hints,
            "found_by_sweep": self.share.by_sweep,
            "caspio_calls_a_month": self.share.calls_a_month,
        }


def webhook_of(ledger: Overview, sync: str) -> Webhook | None:
    """What the webhook of a sync announced; None where nothing ever was."""
    heard = ledger.heard(sync, (ledger.now() - timedelta(days=DAYS_A_MONTH)).date())
    if heard is None:
        return None
    share = announced(ledger.runs(sync, limit=_RUNS_COUNTED))
    return Webhook(heard.messages, heard.last_at, heard.waiting, share)
