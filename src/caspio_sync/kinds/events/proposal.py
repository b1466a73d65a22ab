"""A first sync file for a table of activities or order lines: guesses by field name and type, open to correction."""

import re
from collections.abc import Iterator, Sequence

from caspio_sync import registry
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.faults import OF_PURCHASES
from caspio_sync.mapping.guesses import address_of
from caspio_sync.mapping.proposed_lines import DISABLED, KEY_TYPES, LEFT_OUT, bare, cursor, quoted, zone_line
from caspio_sync.mapping.values import ValueRules, rules_for
from caspio_sync.schemas import OF_FRAMES, SOURCE_DTYPES, CaspioField

_PERSON = re.compile(r"customer|client|contact|user|member|person|account|email")
_WHEN = re.compile(r"date|time|opened|created|at$|when|on$")
_PRODUCT = re.compile(r"product|sku|stockcode|item|article|isbn|ean|gtin")
_PRICE = re.compile(r"price|amount|cost|rate")
_PIECES = re.compile(r"quantity|qty|pieces|units|count")
_CURRENCY = re.compile(r"currency")
_ORDER = re.compile(r"(order|invoice|basket|cart)(no|nr|number|id)$")
_COUNT = re.compile(r"(line|item|position)s?count|number?of(lines|items)|^(lines|items)$")
ORDER_PLACED = "ecommerce.order_placed"


def propose_events(
    name: str,
    table: str,
    fields: Sequence[CaspioField],
    *,
    time_zone: str | None = None,
    destination: str = registry.DEFAULT_DESTINATION,
    alone: bool = False,
    **_: object,
) -> str:
    """YAML text of a sync that can be read as it is, with comments on what to look at.

    Args:
        name: of the sync, and of the event.
        table: of the source.
        fields: its fields, as Caspio declares them.
        time_zone: IANA zone of its wall clocks; None leaves it to a person.
        destination: where its rows are to go.
        alone: whether nothing belongs to a row in other tables, so that no lines are proposed.

    Raises:
        ConfigurationError: no field can name a person, or none tells when it happened.
    """
    values = rules_for("events", destination)
    by_address = "external_id" not in values.identities
    person = address_of(table, fields) if by_address else _person(table, fields)
    when = _time(table, fields)
    named = re.sub(r"[^A-Za-z0-9_]+", "_", name)[: values.rules["event_name"].chars]
    number = _found(fields, _ORDER, KEY_TYPES)
    is_of_orders = number is not None and _found(fields, _PRODUCT, KEY_TYPES) is None
    if number is not None and is_of_orders and not alone and ORDER_PLACED in values.schemas:
        head = _head(name, table, "events", fields, time_zone, person, "eCommerce events", destination)
        return "\n".join([*head, *_order(table, fields, number, when), "", *_ending()]) + "\n"
    lines = [
        *_head(name, table, "events", fields, time_zone, person, "custom events", destination),
        f"event: {named}    # or {{from: Field, map: {{word: name}}}}: one a row",
        f"time: {quoted(when.name)}    # when it happened",
        "",
        *_properties(values, [each for each in fields if each not in {person, when}]),
        "",
        *_ending(),
    ]
    return "\n".join(lines) + "\n"


def propose_purchases(
    name: str, table: str, fields: Sequence[CaspioField], *, time_zone: str | None = None, **_: object
) -> str:
    """As `propose_events`, of a table of order lines.

    Raises:
        ConfigurationError: as `propose_events`, or no field can name a product or tell its price.
    """
    person, when = _person(table, fields), _time(table, fields)
    product, price = _found(fields, _PRODUCT, KEY_TYPES), _found(fields, _PRICE, {"NUMBER", "CURRENCY", "INTEGER"})
    if product is None or price is None:
        lacks = "name a product" if product is None else "tell a price"
        raise ConfigurationError(f"{table}: no field can {lacks}; a purchase needs one. For other rows: --kind events")
    pieces = _found(fields, _PIECES, {"INTEGER", "NUMBER"})
    currency = _found(fields, _CURRENCY, {"STRING"})
    title = rules_for("purchases").title
    taken = {each for each in (person, when, product, price, pieces, currency) if each is not None}
    lines = [
        f"# {title} has announced that purchases will give way to its eCommerce events: where there is a table of",
        "# orders beside that of their lines, `caspio-sync init NAME --table Orders --kind events` proposes those.",
        *_head(name, table, "purchases", fields, time_zone, person, "purchases"),
        f"product_id: {quoted(product.name)}",
        "currency: {constant: USD}    # SAY IT: a code of ISO 4217, or a field"
        if currency is None
        else f"currency: {quoted(currency.name)}",
        f"price: {quoted(price.name)}    # of one piece",
        *_pieces(pieces),
        f"time: {quoted(when.name)}    # when it was bought",
        "negative: hold    # a line that takes back; or {event: order_line_returned}",
        "",
        *_properties(rules_for("purchases"), [each for each in fields if each not in taken]),
        "",
        *_ending(),
    ]
    return "\n".join(lines) + "\n"


def propose_triggers(
    name: str, table: str, fields: Sequence[CaspioField], *, time_zone: str | None = None, **_: object
) -> str:
    """As `propose_events`, of rows that send a message each.

    Raises:
        ConfigurationError: as `propose_events`.
    """
    person, when = _person(table, fields), _time(table, fields)
    head = _head(name, table, "triggers", fields, time_zone, person, "messages", known=True)
    properties = _properties(rules_for("triggers"), [each for each in fields if each not in {person, when}])
    lines = [
        *head,
        "campaign_id: SAY-IT    # its API identifier; or canvas_id; `transactional: true` for transactional e-mail",
        f"time: {quoted(when.name)}    # when it happened: older than gate.max_age, nothing is sent of it",
        "",
        *(each.replace("properties:", "trigger_properties:", 1) for each in properties),
        "",
        *_ending(),
    ]
    return "\n".join(lines) + "\n"


def _head(  # noqa: PLR0917 - what the first lines are made of
    name: str,
    table: str,
    kind: str,
    fields: Sequence[CaspioField],
    time_zone: str | None,
    person: CaspioField,
    what: str,
    destination: str = registry.DEFAULT_DESTINATION,
    *,
    known: bool = False,
) -> Iterator[str]:
    values = rules_for(kind, destination)
    yield f"# {name}: rows of {table} → {values.title} {what}. A proposal: read it line by line, then"
    yield f"# `caspio-sync check {name}` and `caspio-sync plan {name}`. Nothing leaves before `caspio-sync run {name}`."
    yield f"kind: {kind}"
    yield from [] if destination == registry.DEFAULT_DESTINATION else [f"destination: {destination}"]
    yield DISABLED
    yield ""
    yield "source:"
    yield f"  table: {quoted(table)}"
    yield from cursor(fields)
    yield zone_line(time_zone)
    yield ""
    yield "identity:"
    identifier = "external_id" if "external_id" in values.identities else "email"
    yield f"  {identifier}: {quoted(person.name)}    # the person; the same identity as in the profile sync"
    if not known and "update_only" in values.on_new:
        yield "  on_new: create    # update_only: dropped without a word, where the person is not known there"
    yield ""


def _order(table: str, fields: Sequence[CaspioField], number: CaspioField, when: CaspioField) -> Iterator[str]:
    """An order as an event that is made of it and its lines, whose table nobody has looked at yet."""
    currency, count = _found(fields, _CURRENCY, {"STRING"}), _found(fields, _COUNT, {"INTEGER", "NUMBER"})
    code = "{constant: USD}    # SAY IT: a code of ISO 4217, or a field" if currency is None else quoted(currency.name)
    yield f"event: {ORDER_PLACED}    # also order_refunded, order_cancelled, checkout_started, cart_updated"
    yield f"time: {quoted(when.name)}    # when it was placed"
    yield ""
    yield "# Its properties are prescribed; what else is to be told goes under metadata: {object: {name: Field}}."
    yield "properties:"
    yield f"  order_id: {quoted(number.name)}"
    yield f"  currency: {code}"
    yield "  source: {constant: shop}    # where it was placed"
    yield ""
    yield "lines:    # SAY IT: the table of the lines, and its fields; `caspio-sync check` tells what is not there"
    yield f"  table: {quoted(re.sub(r's$', '', table) + 'Lines')}"
    yield f"  key: {quoted(number.name)}    # of both tables; or {{order: Field, line: Field}}"
    if count is None:
        yield "  complete: {quiet: 60s}    # or {count: Field}, {when: \"Status = 'placed'\"}"
    else:
        yield f"  complete: {{count: {quoted(count.name)}}}    # or {{quiet: 60s}}, {{when: \"Status = 'placed'\"}}"
    yield "  products:"
    for part in ("product_id: StockCode", "product_name: Description", "variant_id: StockCode", "quantity: Quantity"):
        yield f"    {part}"
    yield "    price: UnitPrice    # of one piece"
    yield "  negative: hold    # lines that take back; or {event: ecommerce.order_refunded}"


def _ending() -> Iterator[str]:
    yield "# when: \"Status = 'placed'\"    # which rows are events; a row that meets it later is one from then on"
    yield "on_update: ignore    # or new_event: a row that is edited is an event of its own; or hold"
    yield "when_lost: hold    # an event whose answer was lost is not sent again by itself; or resend"
    yield "# gate: {max_age: 30d}    # older events are held, except in `caspio-sync backfill`"


def _person(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    found = _found(fields, _PERSON, KEY_TYPES)
    if found is None:
        raise ConfigurationError(f"{table}: no field can name a person; add one with the id of the profile sync")
    return found


def _time(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    kept = [each for each in fields if each.type == "DATE/TIME"]
    kept += [each for each in fields if each.type == "TIMESTAMP" and not each.on_update]
    if not kept:
        raise ConfigurationError(f"{table}: no Date/Time field can tell when something happened; add one to the table")
    return max(kept, key=lambda each: (_WHEN.search(bare(each)) is not None, -kept.index(each)))


def _pieces(field: CaspioField | None) -> Iterator[str]:
    if field is not None:
        yield f"quantity: {{from: {quoted(field.name)}, above_most: hold}}    # or split, property"


def _found(
    fields: Sequence[CaspioField], words: re.Pattern[str], types: set[str] | frozenset[str]
) -> CaspioField | None:
    return next((each for each in fields if each.type in types and words.search(bare(each))), None)


def _properties(values: ValueRules, fields: Sequence[CaspioField]) -> Iterator[str]:
    yield f"# Property: Caspio field. Remove what {values.title} need not know."
    lines, written = [], set[str]()
    for field in fields:
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name)
        named = re.sub(r"\W+", "_", spaced).strip("_").lower() or "field"
        taken = written | OF_PURCHASES | OF_FRAMES
        while named in taken or values.fault_in_name(named) is not None:
            named = f"caspio_{named}"
        if field.type in LEFT_OUT or field.type not in SOURCE_DTYPES:
            lines.append(f"  # {named}: {quoted(field.name)}    # {field.type}: rarely of use in messages")
            continue
        written.add(named)
        cut = f"{{from: {quoted(field.name)}, transform: {{truncate: {values.text_chars}}}}}"
        lines.append(f"  {quoted(named)}: {cut if field.type == 'TEXT' else quoted(field.name)}")
    yield "properties:" if written else "properties: {}"
    yield from lines
