"""Changes of records that webhooks hear: through REST, or by a person or an app in Caspio (5.2).

What Caspio makes no messages of goes past this: imports, data tasks, the Datasheet's replace and delete-all, cascades.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from caspio_sync.sandbox.caspio.account import Account
from caspio_sync.sandbox.caspio.fields import PK_ID
from caspio_sync.sandbox.caspio.tables import Table
from caspio_sync.sandbox.caspio.webhooks import HookEvent, Webhook, Webhooks

Rows = list[dict[str, Any]]
Announce = Callable[[Webhook, HookEvent, Rows], None]
REST = "RESTAPIs"
EVERY_ROW = "PK_ID>0"


class Changes:
    """Writes to the account, and has events that hear of it announce it.

    Args:
        account: what is written.
        webhooks: who hears of it.
        announce: makes messages of the rows that an event heard of.
    """

    def __init__(self, account: Account, webhooks: Webhooks, announce: Announce) -> None:
        self._account = account
        self._webhooks = webhooks
        self._announce = announce

    def insert(self, table: Table, rows: Iterable[Mapping[str, Any]], source: str = REST) -> range:
        """Add rows, all or none; their PK_IDs."""
        keys = self._account.insert(table, rows)
        if keys and self._webhooks.listening(table.name, source):
            within = f"PK_ID>={keys.start} AND PK_ID<{keys.stop}"
            self._tell(table, "table.recordInsert", source, list(self._account.matching(table, within).values()))
        return keys

    def update(self, table: Table, values: Mapping[str, Any], where: str, source: str = REST) -> list[int]:
        """Change all rows that `where` finds; their PK_IDs. Only those are announced of which a value changes (5.2)."""
        if not self._webhooks.listening(table.name, source):
            return self._account.update(table, values, where)
        before = self._account.matching(table, where)
        keys = self._account.update(table, values, where)
        listed = ",".join(map(str, keys))
        after = self._account.matching(table, f"PK_ID IN ({listed})") if keys else {}
        stamped = {field.name for field in table.fields if field.type == "TIMESTAMP"}
        changed = {
            key: {name for name, value in row.items() if value != before[key].get(name) and name not in stamped}
            for key, row in after.items()
        }
        rows = [after[key] for key, names in changed.items() if names]
        self._tell(table, "table.recordUpdate", source, rows, changed)
        return keys

    def delete(self, table: Table, where: str, source: str = REST) -> int:
        """Delete all rows that `where` finds; how many. A message carries them as they were (5.3)."""
        heard = self._webhooks.listening(table.name, source)
        gone = list(self._account.matching(table, where).values()) if heard else []
        count = self._account.delete(table, where)
        self._tell(table, "table.recordDelete", source, gone)
        return count

    def replace(self, table: Table, values: Mapping[str, Any], where: str) -> list[int]:
        """The Datasheet's "replace value in records": nobody is told."""
        return self._account.update(table, values, where)

    def delete_all(self, table: Table) -> int:
        """The Datasheet's "delete all records": nobody is told."""
        return self._account.delete(table, EVERY_ROW)

    def _tell(
        self, table: Table, kind: str, source: str, rows: Rows, changed: Mapping[int, set[str]] | None = None
    ) -> None:
        for webhook, event in self._webhooks.listening(table.name, source):
            if event.type != kind:
                continue
            names = {each.lower() for each in event.fields}
            heard = [
                row
                for row in rows
                if not names or changed is None or names & {name.lower() for name in changed[row[PK_ID]]}
            ]
            if heard:
                self._announce(webhook, event, heard)
