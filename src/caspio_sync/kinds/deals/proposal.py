"""A first sync file for a table of orders or offers: guesses by field name and type, open to correction."""

import re
from collections.abc import Iterator, Sequence

from caspio_sync import registry
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.guesses import address_of
from caspio_sync.mapping.proposed_lines import DISABLED, KEY_TYPES, bare, cursor, quoted, why, zone_line
from caspio_sync.mapping.values import rules_for
from caspio_sync.schemas import CaspioField

_NAMES = re.compile(r"invoice|order|deal|offer|quote|booking|case|number|no$|id$")
_VALUE = re.compile(r"total|value|amount|sum|price|revenue")
_STAGE = re.compile(r"stage|status|state|phase")
_CURRENCY = re.compile(r"currency")


def propose_deals(
    name: str,
    table: str,
    fields: Sequence[CaspioField],
    *,
    time_zone: str | None = None,
    destination: str = registry.DEFAULT_DESTINATION,
    **_: object,
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync.
        table: of the source.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.
        destination: where its rows are to go.

    Raises:
        ConfigurationError: no field holds an address, names a deal, or tells what it is worth.
    """
    title = rules_for("deals", destination).title
    contact = address_of(table, fields)
    rest = [each for each in fields if each is not contact]
    deal = _named(table, rest)
    value = _found(rest, _VALUE, {"CURRENCY", "NUMBER", "INTEGER"})
    if value is None:
        raise ConfigurationError(f"{table}: no number tells what a deal is worth; add a field with its value")
    stage, currency = _found(rest, _STAGE, {"STRING"}), _found(rest, _CURRENCY, {"STRING"})
    lines = [
        f"# {name}: rows of {table} → {title} deals. A proposal: read it line by line, then",
        f"# `caspio-sync check {name}` and `caspio-sync plan {name}`. Nothing leaves before `caspio-sync run {name}`.",
        "kind: deals",
        *([] if destination == registry.DEFAULT_DESTINATION else [f"destination: {destination}"]),
        DISABLED,
        "",
        "source:",
        f"  table: {quoted(table)}",
        *cursor(fields),
        zone_line(time_zone),
        "",
        f"deal: {quoted(deal.name)}    # {why(deal)}; by it a deal is found again, and never made twice",
        f"contact: {quoted(contact.name)}    # whose deal it is; people come by a profile sync",
        f"title: {quoted(deal.name)}    # what it is called",
        f"value: {quoted(value.name)}    # in units of the currency, such as 12.99",
        "currency: {constant: USD}    # SAY IT: a code of ISO 4217, or a field"
        if currency is None
        else f"currency: {quoted(currency.name)}",
        f"pipeline: {{constant: Sales}}    # SAY IT: its title in {title}",
        *_stage(stage, title),
        "# deal_owner: {constant: 1}    # id of a user; without it the pipeline has to assign deals by itself",
        "# status: {from: Field, map: {won: won, lost: lost}}    # open, won or lost",
        "# description: Field",
        "",
        f"fields: {{}}    # {title}'s own fields of deals, by their labels: Label: Field",
        "# options: {create: true}    # makes those that are missing there",
    ]
    return "\n".join(lines) + "\n"


def _named(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    keys = [each for each in fields if each.type in KEY_TYPES]
    if not keys:
        raise ConfigurationError(f"{table}: no field can name a deal; add one with a number of its own")
    return max(keys, key=lambda each: (each.unique, _NAMES.search(bare(each)) is not None, -keys.index(each)))


def _stage(field: CaspioField | None, title: str) -> Iterator[str]:
    if field is None:
        yield f"# stage: Field    # a title in {title}; without it a new deal begins at the pipeline's first stage"
    else:
        yield f"stage: {quoted(field.name)}    # its titles in {title}; or {{from: {field.name}, map: {{word: Title}}}}"


def _found(fields: Sequence[CaspioField], words: re.Pattern[str], types: set[str]) -> CaspioField | None:
    return next((each for each in fields if each.type in types and words.search(bare(each))), None)
