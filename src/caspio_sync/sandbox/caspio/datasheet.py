"""What a person does with records in Caspio, by methods, and by HTTP for other processes: the emulator's own door.

    POST   /sandbox/datasheet/{table}                    {"No": "A-1"}, or a list of records
    PUT    /sandbox/datasheet/{table}?where=…            {"City": "Leeds"}
    DELETE /sandbox/datasheet/{table}?where=…            the selected records
    PUT    /sandbox/datasheet/{table}/replace?where=…    "replace value in records", of which no webhook hears
    DELETE /sandbox/datasheet/{table}/all                "delete all records", nor of this

`source=DataPages`, or another of `SOURCES`, changes as that one does.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from caspio_sync.sandbox.caspio.account import Account
from caspio_sync.sandbox.caspio.app import Answer, Request
from caspio_sync.sandbox.caspio.behaviour import Refusal, bad_body, bad_query
from caspio_sync.sandbox.caspio.changes import Changes
from caspio_sync.sandbox.caspio.requests import json_body, json_object, required_where
from caspio_sync.sandbox.caspio.webhooks import SOURCES

PERSON = "Datasheet"


class Datasheet:
    """Changes that a person makes, which webhooks hear of; they raise Refusal.

    Args:
        account: its tables.
        changes: what is written goes through them.
    """

    def __init__(self, account: Account, changes: Changes) -> None:
        self._account = account
        self._changes = changes

    def insert(self, table: str, *rows: Mapping[str, Any], source: str = PERSON) -> list[int]:
        """Add records; their PK_IDs."""
        return list(self._changes.insert(self._account.table(table), rows, source))

    def update(self, table: str, values: Mapping[str, Any], where: str, source: str = PERSON) -> list[int]:
        """Change the records that `where` (T-SQL) finds; their PK_IDs."""
        return self._changes.update(self._account.table(table), values, where, source)

    def delete(self, table: str, where: str, source: str = PERSON) -> int:
        """Delete selected records; how many."""
        return self._changes.delete(self._account.table(table), where, source)

    def replace(self, table: str, values: Mapping[str, Any], where: str) -> list[int]:
        """Replace a value in records: no webhook hears of it (5.2)."""
        return self._changes.replace(self._account.table(table), values, where)

    def delete_all(self, table: str) -> int:
        """Delete all records: no webhook hears of it (5.2)."""
        return self._changes.delete_all(self._account.table(table))

    def __call__(self, request: Request) -> Answer:
        """Answer a request to the door."""
        source = request.parameters.get("source", PERSON)
        if source not in SOURCES:
            raise bad_query(f"source is one of {', '.join(SOURCES)}")
        match (request.method, *request.path):
            case ("POST", table):
                return _told(self.insert(table, *_records(json_body(request)), source=source))
            case ("PUT", table):
                return _told(self.update(table, json_object(request), required_where(request), source))
            case ("DELETE", table):
                return _told(self.delete(table, required_where(request), source))
            case ("PUT", table, "replace"):
                return _told(self.replace(table, json_object(request), required_where(request)))
            case ("DELETE", table, "all"):
                return _told(self.delete_all(table))
        raise Refusal(HTTPStatus.NOT_FOUND, "ObjectNotFound", "The sandbox has no such door.")


def _records(body: Any) -> Iterable[dict[str, Any]]:
    rows = body if isinstance(body, list) else [body]
    if not all(isinstance(each, dict) for each in rows):
        raise bad_body("a record is a JSON object")
    return rows


def _told(found: list[int] | int) -> Answer:
    return Answer(HTTPStatus.OK, orjson.dumps({"PK_ID": found} if isinstance(found, list) else {"Deleted": found}))
