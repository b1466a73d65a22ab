"""The source's fields as the last run found them: by these, a run tells what changed in the table's design."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import put


@dataclass(frozen=True, slots=True)
class KnownSource:
    """What is remembered of a sync's table or view.

    Args:
        sync: name of the sync.
        at: when it was written down, which is when something last changed.
        fields: JSON-able, as the caller wrote it.
    """

    sync: str
    at: datetime
    fields: dict[str, Any]


class Sources(LedgerConnection):
    """Remembering the fields of each sync's source."""

    def known_source(self, sync: str) -> KnownSource | None:
        """What was remembered last; None before the first run."""
        with self.reading("read the source's fields") as connection:
            found = connection.execute(sa.select(schema.source).where(schema.source.c.sync == sync)).one_or_none()
        return None if found is None else KnownSource(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    def remember_source(self, sync: str, fields: dict[str, Any]) -> None:
        """Write down the fields; the former ones are forgotten."""
        with self.writing("remember the source's fields") as connection:
            put(connection, schema.source, sync, {"fields": fields, "at": self.now()})
