"""Fields of Caspio that never leave it: a sync that reads one, for whatever, is refused before its first row."""

from collections.abc import Collection, Iterator, Mapping

from caspio_sync.caspio.query import without_literals
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import names
from caspio_sync.settings import PRIVATE_VARIABLE

ANY_TABLE = "*"


def refuse_private(
    private: Collection[str], table: str, *, read: Mapping[str, str], conditions: Mapping[str, str | None]
) -> None:
    """Refuse what would take a private field out of Caspio, or choose rows by one.

    Args:
        private: as the setting has them: TABLE.FIELD, and *.FIELD of all tables and views.
        table: the table or view that is read.
        read: its fields that are read, and `file:line` of where they are named.
        conditions: SQL by which rows are chosen, by `file:line`.

    Raises:
        ConfigurationError: naming each such field, and its place.
    """
    kept = {field.lower(): field for field in _of(private, table)}
    found = [f"{place}: {table}.{name}" for name, place in read.items() if name.lower() in kept]
    for place, condition in conditions.items():
        text = without_literals(condition or "")
        found += [f"{place}: {table}.{field}" for field in kept.values() if names(text, field)]
    if found:
        raise ConfigurationError(
            "\n".join(dict.fromkeys(found)) + f"\n{PRIVATE_VARIABLE} says that it stays in Caspio. Take it out of the "
            "sync file; whether it may travel is for whoever wrote that setting"
        )


def _of(private: Collection[str], table: str) -> Iterator[str]:
    for each in private:
        where, _, field = each.partition(".")
        if where.lower() in {ANY_TABLE, table.lower()}:
            yield field
