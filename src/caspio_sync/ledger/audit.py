"""The audit trail: append-only, each entry hashed together with the hash before it.

An entry changed, left out, added or moved later breaks the chain from there on. What a chain alone cannot tell, that
its newest entries were cut off, is told by the head kept in `meta`, and by a hash that was noted elsewhere.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger import schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import instant

FIRST_HASH = "0" * 64  # stands before the first entry
_HEAD = "audit_head"
_ENTRIES_A_READ = 1_000
_COLUMNS = ("number", "at", "sync", "event", "key_digest", "details", "hash")


class AuditBrokenError(CaspioSyncError):
    """The audit trail is not what was written; `number` is the first entry that shows it."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One step of an erasure.

    Args:
        number: from 1, without gaps.
        at: when, in UTC.
        sync: name of the sync.
        event: requested, deleted, proven, cleared or released.
        key_digest: keyed hash of the subject's key; None where the entry is about nobody.
        details: counts and words, never a value of a row.
        hash: hex SHA-256 of the hash before it and the entry's canonical JSON.
    """

    number: int
    at: datetime
    sync: str
    event: str
    key_digest: str | None
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """How long the trail is, and its newest hash: noted elsewhere, it proves later that nothing was cut off."""

    entries: int
    hash: str


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, without blanks, in UTF-8."""
    return orjson.dumps(dict(value), option=orjson.OPT_SORT_KEYS)


def chained(before: str, entry: Mapping[str, Any]) -> str:
    """The hash of an entry: `number`, `at` (microseconds since 1970), `sync`, `event`, `key_digest`, `details`."""
    return hashlib.sha256(before.encode() + canonical(entry)).hexdigest()


def lock(connection: sa.Connection) -> None:
    """Keep every other writer of the trail waiting until the transaction ends: two must not follow one hash.

    SQLite's writers wait for each other from their first word on (BEGIN IMMEDIATE).
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE")


def append(
    connection: sa.Connection,
    *,
    at: int,
    sync: str,
    event: str,
    subjects: Mapping[str, Mapping[str, Any]],
) -> None:
    """Append one entry a subject, in a write transaction that holds `lock`.

    Args:
        connection: in that transaction.
        at: microseconds since 1970.
        sync: name of the sync.
        event: see `AuditEntry`.
        subjects: by the keyed hash of each, the details: counts and words, never a value of a row.
    """
    if not subjects:
        return
    head = _head(connection)
    number, before = head.entries, head.hash
    rows: list[dict[str, Any]] = []
    for key_digest, details in subjects.items():
        number += 1
        entry = {"number": number, "at": at, "sync": sync, "event": event, "key_digest": key_digest}
        before = chained(before, {**entry, "details": dict(details)})
        rows.append({**entry, "at": instant(at), "details": canonical(details).decode(), "hash": before})
    connection.execute(sa.insert(schema.audit), rows)
    connection.execute(sa.delete(schema.meta).where(schema.meta.c.name == _HEAD))
    connection.execute(sa.insert(schema.meta).values(name=_HEAD, value=f"{number} {before}"))


def _head(connection: sa.Connection) -> AuditHead:
    stored = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == _HEAD)).scalar()
    entries, _, newest = str(stored or f"0 {FIRST_HASH}").partition(" ")
    return AuditHead(int(entries), newest)


class Audit(LedgerConnection):
    """Reading the trail, and holding it against its hashes."""

    def audit_entries(self) -> Iterator[AuditEntry]:
        """Every entry, oldest first, as it stands.

        Raises:
            AuditBrokenError: an entry that cannot be read.
        """
        for entry in self._stored():
            try:
                at, details = instant(entry["at"]), orjson.loads(entry["details"])
            except (TypeError, ValueError, OverflowError):
                raise _broken(entry["number"], "it cannot be read") from None
            yield AuditEntry(**{**entry, "at": at, "details": details})

    def verify_audit(self) -> AuditHead:
        """Hold every entry against the chain.

        Raises:
            AuditBrokenError: names the first entry that is not what was written.
        """
        number, before = 0, FIRST_HASH
        for entry in self._stored():
            number += 1
            if entry["number"] != number:
                raise _broken(number, "it is missing")
            if not _holds(entry, before):
                raise _broken(number, "it is not what was written, or the entry before it is not")
            before = entry["hash"]
        with self.reading("read the head of the audit trail") as connection:
            head = _head(connection)
        if head.entries > number:
            raise _broken(number + 1, "it is missing, and all entries after it")
        if (head.entries, head.hash) != (number, before):
            raise _broken(head.entries, "it is not the newest entry that was written")
        return head

    def _stored(self) -> Iterator[dict[str, Any]]:
        """The entries as they are stored, `at` as a number: whoever tampered may have left anything there."""
        table = schema.audit.c
        columns = [sa.type_coerce(table[name], sa.types.NullType()).label(name) for name in _COLUMNS]
        # Without a lower bound: numbers below 1 would be entries too.
        after: int | None = None
        while True:
            chosen = sa.select(*columns).order_by(table.number).limit(_ENTRIES_A_READ)
            if after is not None:
                chosen = chosen.where(table.number > after)
            with self.reading("read the audit trail") as connection:
                rows = [dict(row) for row in connection.execute(chosen).mappings()]
            if not rows:
                return
            yield from rows
            after = rows[-1]["number"]


def _holds(entry: Mapping[str, Any], before: str) -> bool:
    try:
        told = {**entry, "details": orjson.loads(entry["details"])}
        # Another spelling of the same JSON is not what was written either.
        same = canonical(told["details"]).decode() == entry["details"]
        written = told.pop("hash")
        return same and chained(before, told) == str(written)
    except (TypeError, ValueError):
        return False


def _broken(number: int, how: str) -> AuditBrokenError:
    return AuditBrokenError(
        f"The audit trail is broken at entry {number}: {how}. Entries before it are as they were written; "
        "compare the ledger with its backups to see what was changed, and by whom.",
        number=number,
    )
