"""Rows of more fields than one address can name: several calls for the same rows, joined by their key."""

from collections.abc import Sequence

import orjson

from caspio_sync.clients.caspio_query import encoded, identifier


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


def joined(pages: Sequence[bytes], key: str) -> bytes | None:
    """The pages of one set of rows as one page; None where they do not hold the same rows.

    Args:
        pages: JSON arrays, each row with its key.
        key: the field's Name.
    """
    first, *others = (orjson.loads(page) for page in pages)
    rows = {str(row[key]): row for row in first}
    for more in others:
        if len(rows) != len(more) or rows.keys() != {str(row[key]) for row in more}:
            return None
        for row in more:
            rows[str(row[key])].update(row)
    return orjson.dumps(list(rows.values()))
