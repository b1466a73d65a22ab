"""What was written down under another name of a sync goes over to its own.

Versions before the rule for names took the path to a sync file for a name: `run syncs/customers.yaml` was another sync
than `run customers`. Without its state, the sync would send everything again.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from caspio_sync.errors import TransientError
from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.processes import has_died

# The trail is hashed as it was written; whom to erase goes over by itself.
_LEFT = frozenset({schema.audit.name, schema.erased.name})
# Where it says what was sent, or returned.
_STATE = ("row", "agreed", "engagement_cursor")


class Renaming(LedgerConnection):
    """Names of syncs that are paths, and giving their state to the sync that is meant."""

    def path_names(self) -> list[str]:
        """The names that are paths; an empty list, at the cost of one look at a small table, nearly always."""
        name = schema.mapping.c.sync
        paths = sa.or_(*(name.like(f"%{each}") for each in ("/%", ".yaml", ".yml")))
        with self.reading("read the names of syncs") as connection:
            return list(connection.execute(sa.select(name).where(paths).distinct().order_by(name)).scalars())

    def take_over(self, name: str, formers: Sequence[str]) -> str | None:
        """Give the state under one of the former names to a sync that has none; pending erasures in any case.

        Args:
            name: of the sync.
            formers: names it went by.

        Returns:
            The former name whose state it has now, the one that ran last; None where it has a state of its own.

        Raises:
            TransientError: a run under one of the names is under way.
        """
        asked = sa.select(schema.erased.c.sync).where(schema.erased.c.sync.in_(formers)).limit(1)
        with self.reading("read the state of a sync") as connection:
            if _has_state(connection, name) and connection.execute(asked).first() is None:
                return None
        with self.writing("take over the state of a sync") as connection:
            if connection.dialect.name == "postgresql":  # on SQLite, writers take turns from their first word on
                connection.exec_driver_sql("LOCK TABLE lease IN SHARE ROW EXCLUSIVE MODE")
            own = _has_state(connection, name)  # another process may have been here since: what it took over stays
            if not own:
                self._refuse_while_held(connection, [name, *formers])
            taken = None if own else max(formers, key=lambda each: (_last_run(connection, each), each))
            for table in schema.metadata.tables.values() if taken is not None else ():
                if "sync" not in table.c or table.name in _LEFT:
                    continue
                if "sync" in table.primary_key.columns:  # else its entries stand beside each other
                    connection.execute(sa.delete(table).where(table.c.sync == name))
                connection.execute(sa.update(table).where(table.c.sync == taken).values(sync=name))
            _take_erasures(connection, name, formers)
        return taken

    def _refuse_while_held(self, connection: sa.Connection, names: Sequence[str]) -> None:
        held = sa.select(schema.lease).where(schema.lease.c.sync.in_(names))
        now = self._now(connection)
        for lease in connection.execute(held):
            if lease.expires_at > now and not has_died(lease.process):
                raise TransientError(
                    f"{lease.sync}: {lease.holder} is at work under this name, whose state is to go over to "
                    f"{names[0]}. Try again when it has ended"
                )


def _take_erasures(connection: sa.Connection, name: str, formers: Sequence[str]) -> None:
    """Whom to erase, under all names together: it is the sync's own runs that see to it from now on."""
    table = schema.erased
    known = sa.select(table.c.key_digest).where(table.c.sync == name)
    for former in formers:
        theirs = table.c.sync == former
        connection.execute(sa.delete(table).where(theirs, table.c.key_digest.in_(known)))
        connection.execute(sa.update(table).where(theirs).values(sync=name))


def _has_state(connection: sa.Connection, name: str) -> bool:
    columns = (schema.metadata.tables[table].c.sync for table in _STATE)
    return any(connection.execute(sa.select(sync).where(sync == name).limit(1)).first() for sync in columns)


def _last_run(connection: sa.Connection, name: str) -> int:
    begun = sa.select(sa.func.max(schema.run.c.started_at)).where(schema.run.c.sync == name)
    found = connection.execute(begun).scalar()
    return 0 if found is None else microseconds(found)
