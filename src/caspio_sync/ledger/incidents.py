"""What is wrong with a sync, since when, and whether it was told: so that a schedule tells it once."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import insert


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is, or was, wrong with a sync.

    Args:
        sync: name of the sync.
        kind: `failed`, `blocked`, `freshness`, `share`.
        since: when it was first seen.
        told_at: when one of this kind was last told; before `since` it was an earlier one.
        ended_at: when it was over; None while it lasts.
    """

    sync: str
    kind: str
    since: datetime
    told_at: datetime | None
    ended_at: datetime | None

    @property
    def told(self) -> bool:
        """Whether this very incident was told."""
        return self.told_at is not None and self.told_at >= self.since


class Incidents(LedgerConnection):
    """One of each kind a sync at the most."""

    def open_incident(self, sync: str, kind: str) -> Incident:
        """Write down that it began; one that lasts stays as it is."""
        table, now = schema.incident, self.now()
        own = (table.c.sync == sync, table.c.kind == kind)
        anew = {"since": now, "ended_at": None}
        with self.writing("note an incident") as connection:
            connection.execute(
                insert(connection, table)
                .values(sync=sync, kind=kind, **anew)
                .on_conflict_do_update(
                    index_elements=[table.c.sync, table.c.kind], set_=anew, where=table.c.ended_at.is_not(None)
                )
            )
            found = connection.execute(sa.select(table).where(*own)).one()
        return Incident(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping

    def note_told(self, sync: str, kind: str) -> None:
        """Write down that it was told."""
        table = schema.incident
        with self.writing("note an incident") as connection:
            connection.execute(
                sa.update(table).where(table.c.sync == sync, table.c.kind == kind).values(told_at=self.now())
            )

    def end_incident(self, sync: str, kind: str) -> None:
        """Write down that it is over."""
        table = schema.incident
        with self.writing("end an incident") as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.sync == sync, table.c.kind == kind, table.c.ended_at.is_(None))
                .values(ended_at=self.now())
            )

    def open_incidents(self, sync: str) -> list[Incident]:
        """Those that last, oldest first."""
        table = schema.incident
        chosen = sa.select(table).where(table.c.sync == sync, table.c.ended_at.is_(None)).order_by(table.c.since)
        with self.reading("read incidents") as connection:
            return [Incident(**found._mapping) for found in connection.execute(chosen)]  # noqa: SLF001 - public name
