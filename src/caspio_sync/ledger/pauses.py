"""Syncs that somebody has paused: every run on the ledger looks here, whoever started it.

Kept apart from schedules and processes, so that a pause holds on every machine and outlives all of them.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import ALL_SYNCS
from caspio_sync.ledger.runs import insert

pause = sa.Table(
    "pause",
    schema.metadata,
    sa.Column("sync", sa.Text, primary_key=True),  # ALL_SYNCS: of each one there is, or will be
    sa.Column("at", schema.Instant, nullable=False),
    sa.Column("everything", sa.SmallInteger, nullable=False),  # 1: opt-outs and erasures as well
    sa.Column("reason", sa.Text, nullable=False),  # as somebody typed it; "" for none
)


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a sync sends nothing.

    Args:
        at: since when; of several pauses, of the last.
        everything: whether opt-outs and erasures do not leave either.
        reason: as somebody typed it; "" for none.
        of_all: whether it is of all syncs, so that `resume SYNC` does not end it.
    """

    at: datetime
    everything: bool
    reason: str
    of_all: bool


class Pauses(LedgerConnection):
    """One of each sync, and one of all of them, at the most."""

    def pause(self, sync: str | None, *, everything: bool = False, reason: str = "") -> None:
        """Pause a sync, or all (None). One that is paused already is so anew, with these words."""
        values = {"at": self.now(), "everything": int(everything), "reason": reason}
        with self.writing("pause") as connection:
            connection.execute(
                insert(connection, pause)
                .values(sync=ALL_SYNCS if sync is None else sync, **values)
                .on_conflict_do_update(index_elements=[pause.c.sync], set_=values)
            )

    def resume(self, sync: str | None) -> bool:
        """End the pause of a sync, or that of all (None); whether there was one. Those of single syncs stay."""
        mine = pause.c.sync == (ALL_SYNCS if sync is None else sync)
        with self.writing("resume") as connection:
            return connection.execute(sa.delete(pause).where(mine)).rowcount > 0

    def paused(self, sync: str) -> Pause | None:
        """Why a sync sends nothing: for its own pause, or that of all; None where it is not paused."""
        mine = sa.select(pause).where(pause.c.sync.in_((sync, ALL_SYNCS))).order_by(pause.c.at.desc())
        with self.reading("look for a pause", fold=False) as connection:
            found = connection.execute(mine).all()
        if not found:
            return None
        return Pause(
            found[0].at,
            any(each.everything for each in found),
            next((each.reason for each in found if each.reason), ""),
            any(each.sync == ALL_SYNCS for each in found),
        )
