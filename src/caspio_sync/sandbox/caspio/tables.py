"""Tables of the emulated account, kept in SQLite: definition, uniqueness, stamps, inserts, updates."""

import random
import sqlite3
import string
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour, Refusal, mismatch, no_field, sql_error
from caspio_sync.sandbox.caspio.fields import PK_ID, Cell, Field, MakeCell, cell_maker
from caspio_sync.sandbox.caspio.records import RowShape
from caspio_sync.sandbox.caspio.time import wall_clock, zone

SQL_TYPES = {"integer": "INTEGER", "number": "REAL", "bit": "INTEGER", "date": "TEXT", "list": "TEXT"}
CACHED_CELLS = 4096

Generate = Callable[[int], Cell]


class Table:
    """One table: its fields, and how rows get in and change.

    Args:
        db: the account's database; transactions are the caller's.
        name: the table's name.
        fields: in the order of their display.
        behaviour: switches of the account.
    """

    def __init__(self, db: sqlite3.Connection, name: str, fields: Sequence[Field], behaviour: CaspioBehaviour) -> None:
        self._db = db
        self._behaviour = behaviour
        self._random = random.Random(f"{behaviour.seed}:{name}")  # noqa: S311 - reproducible, guards nothing
        self.name = name
        self.note = ""
        self.next_pk = 1
        self.set_fields(fields)

    def set_fields(self, fields: Sequence[Field]) -> None:
        """Take another set of fields; the stored rows are the caller's to rebuild."""
        self.fields = list(fields)
        self.by_name = {field.name.lower(): field for field in self.fields}
        self.shape = RowShape([field.name for field in self.fields if field.readable])
        self._make = {field.name: self._cached(field) for field in self.fields}

    def _cached(self, field: Field) -> MakeCell:
        make = cell_maker(field, self._behaviour)
        if field.kind in {"integer", "number"}:
            return make
        cached = lru_cache(CACHED_CELLS, typed=True)(make)
        if field.kind == "list":
            return lambda value: cached(tuple(value) if isinstance(value, list) else value)
        return cached

    def create(self) -> None:
        """Make the SQLite table and its indexes."""
        columns = ["PK_ID INTEGER PRIMARY KEY AUTOINCREMENT", "_row BLOB", "_ends BLOB"]
        for field in self.fields:
            # Text compares without regard to case and trailing blanks (3.3); see caspio_functions.py.
            kind = SQL_TYPES.get(field.kind, "TEXT COLLATE CASPIO")
            columns.append(f'"{field.name}" {kind}')
        # An index on a date goes on by PK_ID only if that is a column of its own, not the table's key itself.
        columns.append("_pk INTEGER GENERATED ALWAYS AS (PK_ID) VIRTUAL")
        self._db.execute(f'CREATE TABLE "{self.name}" ({", ".join(columns)})')
        for field in self.fields:
            if field.unique:
                self._db.execute(self._unique_index(field))
            if field.type == "TIMESTAMP":
                index = f'"stamped.{self.name}.{field.name}"'
                self._db.execute(f'CREATE INDEX {index} ON "{self.name}" ("{field.name}", _pk)')

    def _unique_index(self, field: Field) -> str:
        # A unique field refuses a second blank unless it allows nulls (2.5).
        fold = "fold_or_null" if field.unique_allow_nulls else "fold"
        key = f'{fold}("{field.name}")' if field.kind == "text" else f'"{field.name}"'
        if field.kind != "text" and not field.unique_allow_nulls:
            key = f"ifnull({key}, '')"
        return f'CREATE UNIQUE INDEX "unique.{self.name}.{field.name}" ON "{self.name}" ({key})'

    def rebuild(self, fields: Sequence[Field], renamed: Mapping[str, str]) -> None:
        """Give the table other fields and render every row anew.

        Args:
            fields: the new fields.
            renamed: new name → old name, for fields whose values are kept.
        """
        self._db.execute(f'ALTER TABLE "{self.name}" RENAME TO "rebuilt.{self.name}"')
        for (index,) in self._db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
            (f"rebuilt.{self.name}",),
        ).fetchall():
            self._db.execute(f'DROP INDEX "{index}"')
        self.set_fields(fields)
        self.create()
        kept = ", ".join(f'"{renamed[field.name]}"' if field.name in renamed else "NULL" for field in self.fields)
        prefix = f"{kept}" if kept else "NULL"
        rows = self._db.execute(f'SELECT PK_ID, {prefix} FROM "rebuilt.{self.name}"')
        self._db.executemany(self._insert_sql(), (self._restored(row[0], row[1:]) for row in rows))
        self._db.execute(f'DROP TABLE "rebuilt.{self.name}"')

    def _restored(self, pk: int, stored: Sequence[Any]) -> tuple[Any, ...]:
        cells = [
            self._make[field.name](_as_written(value, field.kind))
            for field, value in zip(self.fields, stored, strict=False)
        ]
        return (pk, *self.shape.pack(pk, [cell[1] for cell in cells if cell[1]]), *[cell[0] for cell in cells])

    def _insert_sql(self) -> str:
        return f'INSERT INTO "{self.name}" VALUES ({", ".join("?" * (len(self.fields) + 3))})'

    def insert(self, rows: Iterable[Mapping[str, Any]], now: datetime) -> range:
        """Add rows; a row's keys are field names as declared.

        Returns:
            The new rows' PK_IDs.

        Raises:
            Refusal: an unknown or read-only field, a value that does not match its type, a second unique value.
        """
        first = self.next_pk
        try:
            self._db.executemany(self._insert_sql(), self._prepared(rows, now))
        except sqlite3.IntegrityError as error:
            self.next_pk = first
            raise self.unique_violation(error) from error
        except Refusal:
            self.next_pk = first
            raise
        return range(first, self.next_pk)

    def _prepared(self, rows: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[tuple[Any, ...]]:
        plan = [(field.name, self._make[field.name], *self._default(field, now)) for field in self.fields]
        known = {field.name for field in self.fields if field.editable}
        pack = self.shape.pack
        for row in rows:
            if not row.keys() <= known:
                self.check_names(row)
            pk = self.next_pk
            cells = []
            try:
                for name, make, default, generate in plan:
                    if name in row:
                        cells.append(make(row[name]))
                    else:
                        cells.append(generate(pk) if generate else default)
            except ValueError:
                raise mismatch(self.mismatched(row)) from None
            self.next_pk = pk + 1
            yield (pk, *pack(pk, [cell[1] for cell in cells if cell[1]]), *[cell[0] for cell in cells])

    def _default(self, field: Field, now: datetime) -> tuple[Cell, Generate | None]:
        make = self._make[field.name]
        if field.type in _GENERATE:
            generate = _GENERATE[field.type]
            return make(None), lambda pk: make(generate(field, pk, self._random))
        if field.type == "TIMESTAMP" and (field.on_insert or field.on_update):
            return make(self.stamp(field, now)), None
        empty = field.type == "STRING" and self._behaviour.unset_text == "empty"
        return make("" if empty else None), None

    def default_cell(self, field: Field, now: datetime) -> Cell:
        """What a row holds that does not name the field; generated types have no such value."""
        cell, generate = self._default(field, now)
        if generate is not None:
            raise self.read_only([field.name])
        return cell

    def insert_prepared(self, rows: Iterable[Sequence[Any]]) -> None:
        """Store rows that are rendered already; their PK_IDs must be new."""
        try:
            self._db.executemany(self._insert_sql(), rows)
        except sqlite3.IntegrityError as error:
            raise self.unique_violation(error) from error

    def stamp(self, field: Field, now: datetime) -> str:
        """What a Timestamp field holds for a change at `now`, in its own zone (2.4)."""
        where = zone(field.time_zone, self._behaviour.account_time_zone)
        return wall_clock(now, where, milliseconds=self._behaviour.stored_milliseconds)

    def check_names(self, row: Mapping[str, Any]) -> None:
        """Raise for a field that is unknown (FieldNotFound) or read-only (AlterReadOnlyData)."""
        unknown = [name for name in row if name.lower() not in self.by_name and name.upper() != PK_ID]
        if unknown:
            raise no_field(unknown)
        fixed = [name for name in row if name.upper() == PK_ID or not self.by_name[name.lower()].editable]
        if fixed:
            raise self.read_only(fixed)

    def read_only(self, fields: Sequence[str]) -> Refusal:
        """The refusal of values for fields that a client must not send."""
        message = f"Cannot alter read-only data in the following field(s): {', '.join(fields)}"
        return Refusal(self._behaviour.read_only_status, "AlterReadOnlyData", message)

    def mismatched(self, row: Mapping[str, Any]) -> list[str]:
        """Names of the fields whose values do not match their types."""
        return [name for name, value in row.items() if not self._fits(name, value)]

    def _fits(self, name: str, value: Any) -> bool:
        try:
            self._make[name](value)
        except ValueError:
            return False
        return True

    def unique_violation(self, error: sqlite3.IntegrityError) -> Refusal:
        """The refusal of a value that a unique field already has (status and code are open, 4.2)."""
        text = str(error)
        index = text.partition("unique.")[2] or text.rpartition(": ")[2]
        refusal = sql_error(
            f"Cannot insert duplicate value: field '{index.rstrip(chr(39)).rpartition('.')[2]}' is unique."
        )
        refusal.status = self._behaviour.unique_violation_status
        return refusal

    def update(self, values: Mapping[str, Any], where: str, parameters: Sequence[Any], now: datetime) -> list[int]:
        """Give all matching rows new values; `where` is translated already.

        Returns:
            The PK_IDs of the matching rows.
        """
        self.check_names(values)
        wrong = self.mismatched(values)
        if wrong:
            raise mismatch(wrong)
        cells = {name: self._make[name](value) for name, value in values.items()}
        for field in self.fields:
            if field.type == "TIMESTAMP" and field.on_update:
                cells[field.name] = self._make[field.name](self.stamp(field, now))
        rows = self._db.execute(
            f'SELECT PK_ID, _row, _ends FROM "{self.name}" AS r0 WHERE {where}', parameters
        ).fetchall()
        assignments = ", ".join(f'"{name}" = ?' for name in cells)
        sql = f'UPDATE "{self.name}" SET _row = ?, _ends = ?, {assignments} WHERE PK_ID = ?'
        stored = [cell[0] for cell in cells.values()]
        places = {self.shape.names.index(name): cell[1] for name, cell in cells.items() if cell[1]}
        try:
            self._db.executemany(sql, ((*self._changed(row, places), *stored, row[0]) for row in rows))
        except sqlite3.IntegrityError as error:
            raise self.unique_violation(error) from error
        return [row[0] for row in rows]

    def _changed(self, row: tuple[int, bytes, bytes], places: Mapping[int, bytes]) -> tuple[bytes, bytes]:
        chunks = self.shape.chunks(row[1], row[2])
        for place, chunk in places.items():
            chunks[place] = chunk
        return self.shape.pack(row[0], chunks)


def _as_written(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "list":
        return tuple(int(item) for item in value.strip("[]").split(",") if item)
    return bool(value) if kind == "bit" else value


def _random_id(field: Field, _pk: int, rng: random.Random) -> str:
    alphabet = {"0": string.digits, "U": string.ascii_uppercase}.get(
        field.format or "", string.digits + string.ascii_uppercase
    )
    return (field.prefix or "") + "".join(rng.choices(alphabet, k=field.length or 12))


_GENERATE: dict[str, Callable[[Field, int, random.Random], Any]] = {
    "AUTONUMBER": lambda _field, pk, _rng: pk,
    "PREFIXED AUTONUMBER": lambda field, pk, _rng: f"{field.prefix or ''}{pk:0{len(field.format or '1')}}",
    "GUID": lambda _field, _pk, rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "RANDOM ID": _random_id,
}
