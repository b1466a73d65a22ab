"""What a query names, and what it becomes on the way to SQLite: tables and views, their fields, and scalars."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A field as a query may name it.

    Args:
        name: as declared.
        kind: what is stored: integer, number, bit, date, text, list, password.
        sql: how SQLite calls it, without its relation.
        folded: whether an index on `fold(field)` finds it by text.
        unique: whether it orders rows completely.
        items: a list field's values by id.
        second: how SQLite calls it as the second column of an index, where that differs.
    """

    name: str
    kind: str
    sql: str
    folded: bool = False
    unique: bool = False
    items: dict[int, Any] | None = None
    second: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view in a FROM: the names it goes by, its SQL, and its columns by lower-case name."""

    names: frozenset[str]
    alias: str
    sql: str
    columns: dict[str, Column]


@dataclass(frozen=True, slots=True)
class Value:
    """A translated scalar: its SQL and kind, or a literal that waits for the type it is compared with."""

    sql: str = ""
    kind: str = "text"
    slot: int | None = None
    sign: int = 1
    column: Column | None = None
