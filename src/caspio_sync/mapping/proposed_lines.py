"""Lines that every proposed sync file has, and what its guesses go by."""

import math
import re
from collections.abc import Iterator, Sequence

import yaml

from caspio_sync.schemas import CaspioField

KEY_TYPES = frozenset({"STRING", "INTEGER", "AUTONUMBER", "PREFIXED AUTONUMBER", "GUID", "RANDOM ID"})
# A proposal is a guess: no schedule may send it before a person has looked.
DISABLED = "enabled: false    # remove this line once it is right: then `deploy` and `serve` run it on a schedule"
LEFT_OUT = frozenset({"FILE", "ATTACHMENT", "TIMESTAMP"})


def why(key: CaspioField) -> str:
    """What to know of the field that was taken for the key."""
    return "unique in Caspio" if key.unique else "NOT unique in Caspio: two rows with one value would be held back"


def cursor(fields: Sequence[CaspioField]) -> Iterator[str]:
    """The line of `source:` about the cursor field."""
    stamps = [field for field in fields if field.type == "TIMESTAMP" and field.on_update]
    if stamps:
        yield f"  cursor: {quoted(stamps[0].name)}    # stamped on every update: a run reads what changed"
    else:
        yield "  # cursor: Field    # no TIMESTAMP with OnUpdate found: without one every run reads the whole table"


def zone_line(time_zone: str | None) -> str:
    """The line of `source:` about the wall clocks."""
    if time_zone is None:
        said = "SAY IT: the IANA zone of the wall clocks in Date/Time fields, which else are taken for UTC"
        return f"  # time_zone: Europe/London    # {said}"
    return (
        f"  time_zone: {time_zone}    # of the wall clocks in Date/Time fields; the zone of the table's Timestamp field"
    )


def quoted(text: str) -> str:
    """As YAML writes it."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None and text.lower() not in {"null", "true", "false"}
    return text if plain else yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()


def bare(field: CaspioField) -> str:
    """The field's name without blanks, signs and case."""
    return "".join(character for character in field.name.lower() if character.isalnum())
