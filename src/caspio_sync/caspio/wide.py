"""Rows of more fields than one address can name: several calls for the same rows, joined by their key."""

from collections.abc import Sequence
from typing import TypeVar

import orjson

from caspio_sync.caspio.query import encoded, identifier

_Part = TypeVar("_Part")


def selections(names: Sequence[str], room: int) -> list[list[str]]:
    """The fields in as few selections as fit, each with the key.

    Args:
        names: the key first.
        room: characters that a selection may take in the address, escapes counted.

    Returns:
        At least one; a selection is longer than the room only where it holds a single field besides the key.
    """
    key, *others = names
    base = len(encoded(identifier(key)))
    made, used = [[key]], base
    for name in others:
        size = 1 + len(encoded(identifier(name)))
        if used + size > room and len(made[-1]) > 1:
            made.append([key])
            used = base
        made[-1].append(name)
        used += size
    return made


def in_turn(parts: Sequence[_Part]) -> list[_Part]:
    """All selections, and all but the last once more.

    Where the repeated ones tell what they told before, everything was so while the last one was read: no row is made
    of two of its versions, such as the new address and the consent that belonged to the old one.
    """
    return [*parts, *parts[:-1]]


def joined(pages: Sequence[bytes], key: str) -> bytes | None:
    """The pages of one set of rows as one page; None where they do not hold the same rows, or a cell changed between.

    Args:
        pages: JSON arrays, each row with its key, in the order of `in_turn`.
        key: the field's Name.
    """
    first, *others = (orjson.loads(page) for page in pages)
    rows = {str(row[key]): row for row in first}
    for more in others:
        if len(rows) != len(more) or rows.keys() != {str(row[key]) for row in more}:
            return None
        for row in more:
            known = rows[str(row[key])]
            if any(known.get(name, cell) != cell for name, cell in row.items()):
                return None
            known.update(row)
    return orjson.dumps(list(rows.values()))
