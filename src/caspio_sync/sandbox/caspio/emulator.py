"""A Caspio account on this machine: REST v3 over tables in SQLite, strict where the vendor is.

caspio.py            this file: the account as tests, demos and benchmarks hold it
caspio_app.py        the ASGI app: addresses, tokens, limits, error bodies
caspio_routes.py     the operations
caspio_account.py    tables and views by name, reads and writes in transactions
caspio_tables.py     one table: checks, stamps, uniqueness
caspio_records.py    records as stored JSON, cut to the selected fields
caspio_query.py, caspio_expressions.py, caspio_calls.py, caspio_functions.py    T-SQL in SQLite's words
webhooks.py, changes.py, messages.py, deliveries.py    outgoing webhooks, what they hear, post, and how it goes astray
datasheet.py           changes by a person in Caspio
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from caspio_sync.clock import Clock, SystemClock
from caspio_sync.sandbox.caspio.account import Account
from caspio_sync.sandbox.caspio.app import CaspioApp
from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour, Refusal
from caspio_sync.sandbox.caspio.changes import Changes
from caspio_sync.sandbox.caspio.datasheet import Datasheet
from caspio_sync.sandbox.caspio.deliveries import Deliveries
from caspio_sync.sandbox.caspio.routes import CaspioRoutes
from caspio_sync.sandbox.caspio.webhooks import Webhooks

__all__ = ["CaspioBehaviour", "CaspioSandbox", "Refusal"]


class CaspioSandbox:
    """An emulated account; its HTTP side is `app`.

    The methods here act as an import does: no call is counted, no right is checked, no webhook hears of it, and text
    may hold any character. A person's changes are made by `datasheet`. They raise Refusal, with the status, Code and
    Message that the API would answer.

    Args:
        behaviour: switches of the account and service.
        clock: stamps, tokens, limits and the Date header.
        database: file that keeps the tables; None keeps them in memory.
    """

    def __init__(
        self,
        behaviour: CaspioBehaviour | None = None,
        clock: Clock | None = None,
        database: Path | None = None,
    ) -> None:
        self.behaviour = behaviour or CaspioBehaviour()
        self.clock = clock or SystemClock()
        self.account = Account(self.behaviour, self.clock, database)
        self.webhooks = Webhooks(self.account, self.clock)
        self.deliveries = Deliveries(self.account, self.webhooks, self.clock)
        changes = Changes(self.account, self.webhooks, self.deliveries.announce)
        self.datasheet = Datasheet(self.account, changes)
        routes = CaspioRoutes(self.account, changes, self.webhooks)
        self.app = CaspioApp(self.behaviour, self.clock, routes, self.datasheet)

    @property
    def calls(self) -> int:
        """Requests received: what Caspio bills, refused ones and token requests included (4.1)."""
        return self.app.calls

    def expire_tokens(self) -> None:
        """End every access token now, as its 24 hours would."""
        self.app.tokens.expire()

    def close(self) -> None:
        """Close the database; tables in memory are gone."""
        self.account.close()

    def tables(self) -> list[str]:
        """Names of the tables."""
        return [table.name for table in self.account.tables.values()]

    def create_table(self, name: str, fields: Sequence[Mapping[str, Any]]) -> None:
        """Create an empty table; `fields` in their write shape (2.2)."""
        self.account.create_table(name, [dict(field) for field in fields])

    def create_view(self, name: str, table: str, fields: Sequence[str], where: str | None = None) -> None:
        """Create a view of some fields of one table, and of the rows that `where` (T-SQL) finds."""
        self.account.create_view(name, table, fields, where or "")

    def insert_rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> list[int]:
        """Insert rows, all or none; values as in a request body. Their PK_IDs."""
        return list(self.account.insert(self.account.table(table), rows))

    def insert_frames(self, table: str, frames: Iterable[pl.DataFrame]) -> int:
        """Insert many rows, all or none: columns are fields, lists are List of ids, dates ISO text. How many."""
        return len(self.account.insert_frames(self.account.table(table), frames))

    def update_rows(self, table: str, values: Mapping[str, Any], where: str) -> list[int]:
        """Change all rows that `where` (T-SQL) finds; OnUpdate Timestamps move. Their PK_IDs."""
        return self.account.update(self.account.table(table), values, where)

    def delete_rows(self, table: str, where: str) -> int:
        """Delete all rows that `where` (T-SQL) finds; how many."""
        return self.account.delete(self.account.table(table), where)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All records as REST reads them, PK_ID included, in PK_ID order."""
        return self.account.all_records(self.account.table(table))
