"""The accounts that a ledger tells of: with others, what it calls sent was never sent."""

from dataclasses import asdict

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import put
from caspio_sync.ledger.workspace import Workspace


class Workspaces(LedgerConnection):
    """One a sync."""

    def workspace(self, sync: str) -> Workspace | None:
        """The accounts of the sync's rows; None before its first run, and for runs before revision 0005."""
        table = schema.workspace.c
        chosen = sa.select(table.caspio, table.destination, table.address, table.destination_key).where(
            table.sync == sync
        )
        with self.reading("read whose data it is") as connection:
            found = connection.execute(chosen).one_or_none()
        return None if found is None else Workspace(*found)

    def remember_workspace(self, sync: str, present: Workspace, *, instead_of: Workspace | None) -> None:
        """The sync's rows are of these accounts.

        Args:
            sync: name of the sync.
            present: the accounts.
            instead_of: what these accounts were known as before: of every sync, for a key is rotated for all of them.
        """
        table = schema.workspace
        values = {**asdict(present), "at": self.now()}
        with self.writing("remember whose data it is") as connection:
            put(connection, table, sync, values)
            if instead_of is not None:
                same = (table.c[name] == value for name, value in asdict(instead_of).items())
                connection.execute(sa.update(table).where(*same).values(values))

    def newest_sent(self, sync: str, *, limit: int) -> list[str]:
        """Keys under which something was acknowledged, those sent last first."""
        rows = schema.row.c
        chosen = (
            sa.select(rows.key)
            .where(rows.sync == sync, rows.holds == 1, rows.sent_fp.is_not(None), rows.key.is_not(None))
            .order_by(rows.sent_at.is_(None), rows.sent_at.desc(), rows.source_pk)
            .limit(limit)
        )
        with self.reading("read keys that were sent") as connection:
            return [str(key) for key in connection.execute(chosen).scalars()]
