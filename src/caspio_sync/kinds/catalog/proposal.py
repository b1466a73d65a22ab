"""A first sync file for a table of products: guesses by field name and type, every one of them open to correction."""

import re
from collections.abc import Iterator, Sequence

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.proposed_lines import DISABLED, KEY_TYPES, LEFT_OUT, bare, cursor, quoted, why, zone_line
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import OF_FRAMES, SOURCE_DTYPES, CaspioField

_ID = re.compile(r"(?:sku|code|id|no|nr|number|isbn|ean|gtin)$")


def propose_catalog(
    name: str, table: str, fields: Sequence[CaspioField], *, time_zone: str | None = None, **_: object
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync, and of the catalog.
        table: of the source.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.

    Raises:
        ConfigurationError: no field can name an item.
    """
    title = rules_for("catalog").title
    key = _key(table, fields)
    lines = [
        f"# {name}: rows of {table} → items of a {title} catalog. A proposal: read it line by line, then",
        f"# `caspio-sync check {name}` and `caspio-sync plan {name}`. Nothing leaves before `caspio-sync run {name}`.",
        "kind: catalog",
        DISABLED,
        "",
        "source:",
        f"  table: {quoted(table)}",
        *cursor(fields),
        zone_line(time_zone),
        "",
        "catalog:",
        f"  name: {name}    # made in {title} when there is none; a type cannot change afterwards",
        "",
        "item_id:",
        f"  from: {quoted(key.name)}    # {why(key)}",
        f"  id_transform: strict    # or slug: makes ids that {title} takes of those with spaces and other signs",
        "",
        "# Catalog field: Caspio field.",
        "fields:",
        *_fields([field for field in fields if field is not key]),
        "",
        "on_missing: delete    # an item whose row is gone is deleted; `keep` leaves it",
    ]
    return "\n".join(lines) + "\n"


def _key(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    candidates = [field for field in fields if field.type in KEY_TYPES]
    if not candidates:
        raise ConfigurationError(f"{table}: no field can name an item; add a unique Text or Integer field to the table")
    return max(candidates, key=lambda field: (field.unique, _ID.search(bare(field)) is not None, -fields.index(field)))


def _fields(fields: Sequence[CaspioField]) -> Iterator[str]:
    written: set[str] = set()
    for field in fields:
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name)
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", spaced).strip("_").lower() or "field"
        while name in written | OF_FRAMES or name == "id":
            name = f"caspio_{name}"
        written.add(name)
        if field.type in LEFT_OUT or field.type not in SOURCE_DTYPES:
            yield f"  # {name}: {quoted(field.name)}    # {field.type}: rarely of use in messages"
        else:
            yield f"  {name}: {quoted(field.name)}"
