"""What sync files of events and purchases may say, and what is proposed for a table."""

import contextlib
import re
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from caspio_sync.engine.kind import mapping_of
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.events.definition import EventSync, PurchaseSync
from caspio_sync.kinds.events.proposal import propose_events, propose_purchases, propose_triggers
from caspio_sync.kinds.events.triggers_definition import TriggerSync
from caspio_sync.mapping.sync_file import load_sync, parse_sync, sync_json_schema
from caspio_sync.sandbox.orders import ORDER_FIELDS, ORDER_LINE_FIELDS, TICKET_FIELDS
from caspio_sync.schemas import CaspioField

EXAMPLES = Path(__file__).parents[2] / "examples"
EVENTS = """\
kind: events
source: {table: Tickets}
identity: {external_id: CustomerNo}
event: opened
time: OpenedAt
"""
PURCHASES = """\
kind: purchases
source: {table: Lines}
identity: {external_id: CustomerNo}
product_id: Code
currency: {constant: GBP}
price: Price
time: BoughtAt
"""


def event(text: str) -> EventSync:
    return cast("EventSync", parse_sync(text, Path("tickets.yaml")))


def purchase(text: str) -> PurchaseSync:
    return cast("PurchaseSync", parse_sync(text, Path("orders.yaml")))


def refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse_sync(text, Path("syncs/tickets.yaml"))
    return str(error.value)


def test_what_a_file_does_not_say() -> None:
    sync = event(EVENTS)
    assert (sync.on_update, sync.when_lost, sync.gate.max_age_seconds, sync.grows) == (
        "ignore",
        "hold",
        2_592_000,
        True,
    )
    assert purchase(PURCHASES).returned_as is None


def test_when_is_a_condition_of_what_is_read() -> None:
    sync = event(EVENTS.replace("{table: Tickets}", "{table: Tickets, where: \"Kind = 'a'\"}") + 'when: "Open = 1"\n')
    assert sync.source.where == "(Kind = 'a') AND (Open = 1)"
    assert not sync.grows  # a row may meet it after it was written


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("properties: {time: A}", "properties.time: 'time' is a part of the event itself"),
        ("properties: {event_name: A}", "'event_name' is a part of the event itself"),
        ("properties: {$a: A}", "begins with $"),
        ("properties: {fp: A}", "'fp' is a reserved name"),
        ("properties: {a: A, A: B}", "is mapped twice"),
        ("properties: {a: {from: A, on_null: clear}}", "there is nothing to clear"),
        ("properties: {a: {object: {b.c: A}}}", "may hold no space"),
        ("fields: {a: A}", "fields"),
        ("on_update: resend", "on_update"),
        ("when_lost: repeat", "when_lost"),
        ("gate: {max_age: never}", "is no span of time"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(more: str, said: str) -> None:
    text = refused(EVENTS + more + "\n")
    assert said in text
    assert "syncs/tickets.yaml:6" in text


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("{from: Status}", "declare the names"),
        ("{from: Status, map: {open: a}, name: b}", "exactly one of `name` and `from`"),
        ("ecommerce.order_placed", "tells of products; say with `lines:`"),
        ("ecommerce.order_place", "is none of Braze's own events"),
        ("{from: Status, map: {a: ecommerce.order_placed, b: closed}}", "'closed' has no schema"),
    ],
)
def test_an_event_has_a_name_that_is_declared(event: str, said: str) -> None:
    assert said in refused(EVENTS.replace("event: opened", f"event: {event}"))


PLACED = """\
kind: events
source: {table: Orders}
identity: {external_id: CustomerNo}
event: ecommerce.order_placed
time: PlacedAt
properties: {order_id: OrderNo, currency: {constant: GBP}, source: {constant: shop}}
lines:
  table: OrderLines
  key: OrderNo
  complete: {count: LineCount}
  products: {product_id: Code, product_name: Title, variant_id: Code, quantity: Quantity, price: Price}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: {constant: shop}", "store: Store", "has no 'store', and is refused with it"),
        (", source: {constant: shop}", "", "'ecommerce.order_placed' needs source"),
        ("source: {constant: shop}", "source: {constant: shop}, metadata: Store", "'metadata' is an object"),
        (", variant_id: Code", "", "a product needs variant_id"),
        ("price: Price", "price: Price, colour: Colour", "a product has no 'colour'"),
        ("price: Price", "price: Price, metadata: Colour", "'metadata' is an object"),
        ("product_id: Code", "product_id: {object: {a: Code}}", "'product_id' is no object"),
        ("{count: LineCount}", "{count: LineCount, quiet: 60s}", "exactly one of `count`, `when` and `quiet`"),
        ("{count: LineCount}", "{quiet: long}", "is no span of time"),
        ("event: ecommerce.order_placed", "event: order_placed", "only Braze's own events are made of lines"),
        ("event: ecommerce.order_placed", "event: ecommerce.order_cancelled", "needs cancel_reason"),
        ("event: ecommerce.order_placed", "event: ecommerce.product_viewed", "tells of no lines"),
        ("key: OrderNo", "key: OrderNo\n  negative: {event: ecommerce.refund}", "is none of Braze's own events"),
    ],
)
def test_what_no_schema_has_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    text = refused(PLACED.replace(old, new))
    assert said in text
    assert re.search(r"syncs/tickets\.yaml:\d+", text)


NONSENSE = ["5", "x", "null", "[]", "[a]", "{}", "{a: 1}", "{object: 5}", "{event: 5}", "{from: [a]}", "true", "1.5"]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    "part", ["event", "lines", "table", "key", "complete", "products", "product_id", "negative", "properties"]
)
def test_nonsense_is_a_finding_and_no_failure(part: str, nonsense: str) -> None:
    text = PLACED + "  negative: hold\n"
    inside = {"product_id": ("product_id: Code", f"product_id: {nonsense}")}
    line = next(each for each in text.splitlines() if each.strip().startswith(f"{part}:") or part in inside)
    if part == "lines":
        text = text[: text.index("lines:")] + f"lines: {nonsense}\n"
    elif part in inside:
        text = text.replace(*inside[part])
    else:
        text = text.replace(line, f"{line[: line.index(':')]}: {nonsense}")
    with contextlib.suppress(ConfigurationError):  # whatever else it raises is a failure
        parse_sync(text, Path("syncs/tickets.yaml"))


def test_what_is_taken_back_has_a_total_of_its_own() -> None:
    text = PLACED.replace("order_id:", "total_value: Total, order_id:")
    event(text)
    returned = text.replace("key: OrderNo", "key: OrderNo\n  negative: {event: ecommerce.order_refunded}")
    assert "leave it out" in refused(returned)


def test_an_order_is_read_once_it_is_one() -> None:
    sync = event(PLACED.replace("{count: LineCount}", "{when: \"Status = 'placed'\"}") + 'when: "Total > 0"\n')
    assert sync.source.where == "(Total > 0) AND (Status = 'placed')"
    assert not sync.grows
    assert event(PLACED).grows


def test_returned_lines_are_shared_with_a_sync_of_that_event() -> None:
    sync = event(PLACED.replace("key: OrderNo", "key: OrderNo\n  negative: {event: opened}"))
    assert event(EVENTS.replace("Tickets", "Orders")).shared(sync) == ["event opened of the rows of Orders"]


def test_an_event_may_have_what_is_a_part_of_a_purchase() -> None:
    sync = event(EVENTS + "properties: {price: A, quantity: B}\n")
    assert {"price", "quantity"} & sync.own_parts == set()


def test_parts_of_an_event_are_values() -> None:
    assert "single value" in refused(EVENTS.replace("time: OpenedAt", "time: {object: {a: A}}"))
    assert "differs from row to row" in refused(EVENTS.replace("time: OpenedAt", "time: {constant: today}"))
    assert "write `create` or `update_only`" in refused(
        EVENTS.replace("{external_id: CustomerNo}", "{external_id: CustomerNo, on_new: identify_by_email}")
    )


def test_the_pieces_may_not_hide_a_property() -> None:
    text = PURCHASES + "quantity: {from: Q, above_most: property}\nproperties: {units: A}\n"
    assert "'units' holds the pieces" in refused(text)
    assert "a part of the event itself" in refused(PURCHASES + "properties: {price: A}\n")


def test_two_syncs_of_one_event_and_table_share_it() -> None:
    one, other = event(EVENTS), event(EVENTS.replace("Tickets", "TICKETS"))
    assert one.shared(other) == ["event opened of the rows of Tickets"]
    assert one.shared(event(EVENTS.replace("opened", "closed"))) == []


def test_an_event_that_returns_become_is_shared_with_a_sync_of_that_event() -> None:
    returns = purchase(PURCHASES + "negative: {event: opened}\n")
    named = event(EVENTS.replace("Tickets", returns.source.name))
    assert returns.shared(named) == [f"event opened of the rows of {returns.source.name}"]
    assert purchase(PURCHASES).shared(named) == []


@pytest.mark.parametrize("name", ["confirmations", "orders", "placed_orders", "tickets"])
def test_shipped_files_are_as_the_schema_says(name: str) -> None:
    import yaml

    sync = load_sync(EXAMPLES / f"{name}.yaml")
    document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(document, sync_json_schema())
    tables = {"orders": ORDER_LINE_FIELDS, "tickets": TICKET_FIELDS}
    fields = fields_of(tables.get(name, ORDER_FIELDS))
    assert mapping_of(sync, fields).source_fields


MESSAGES = """\
kind: triggers
source: {table: Orders}
identity: {external_id: CustomerNo}
campaign_id: 0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c01
time: PlacedAt
"""


def trigger(text: str) -> TriggerSync:
    return cast("TriggerSync", parse_sync(text, Path("tickets.yaml")))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("canvas_id: b", "exactly one of `campaign_id` and `canvas_id`"),
        ("properties: {a: A}", "unknown key"),
        ("trigger_properties: {time: A}", "trigger_properties.time: 'time' is a part of the event itself"),
        ("trigger_properties: {a: {from: A, on_null: clear}}", "there is nothing to clear"),
        ("transactional: true\nsend_id: s", "send_id"),
        ("send_id: ü", "send_id"),
        ("when_lost: repeat", "when_lost"),
        ("lines: {table: T}", "unknown key"),
    ],
)
def test_messages_that_cannot_be_are_refused_with_their_line(more: str, said: str) -> None:
    text = refused(MESSAGES + more + "\n")
    assert said in text
    assert re.search(r"syncs/tickets\.yaml:\d+", text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("campaign_id: 0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c01\n", "", "exactly one of"),
        ("campaign_id", "transactional: true\ncanvas_id", "only a campaign is transactional"),
        ("{external_id: CustomerNo}", "{phone: CustomerNo}", "named by phone"),
        ("{external_id: CustomerNo}", "{external_id: CustomerNo, on_new: create}", "people who are known"),
        ("{external_id: CustomerNo}\n", "{email: CustomerNo}\ntransactional: true\n", "named by email"),
        ("campaign_id: 0c", "campaign_id: a b", "campaign_id"),
    ],
)
def test_whom_messages_reach(old: str, new: str, said: str) -> None:
    assert said in refused(MESSAGES.replace(old, new))


def test_only_what_is_known_again_is_repeated_by_itself() -> None:
    assert trigger(MESSAGES).when_lost == "hold"
    mail = trigger(MESSAGES + "transactional: true\n")
    assert (mail.when_lost, mail.known_again_seconds) == ("resend", 23 * 3600)
    assert trigger(MESSAGES + "transactional: true\nwhen_lost: hold\n").when_lost == "hold"
    assert trigger(MESSAGES + "when_lost: resend\n").known_again_seconds is None


def test_two_syncs_of_one_campaign_and_table_share_it() -> None:
    one, other = trigger(MESSAGES), trigger(MESSAGES + 'when: "A = 1"\n')
    assert one.shared(other) == ["messages of campaign 0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c01 of the rows of Orders"]
    assert one.shared(trigger(MESSAGES.replace("0c5f", "1c5f"))) == []


def test_proposed_messages_can_be_read_as_they_are() -> None:
    sync = trigger(propose_triggers("mails", "Orders", fields_of(ORDER_FIELDS), time_zone="Europe/London"))
    assert (sync.identity.external_id, sync.time.source_field, sync.enabled) == ("CustomerNo", "InvoiceDate", False)
    assert "invoice_no" in sync.fields
    mapping_of(sync, fields_of(ORDER_FIELDS))


def fields_of(declared: Any) -> list[CaspioField]:
    return [
        CaspioField(each["Name"], each["Type"], unique=each.get("Unique", False), on_update=each.get("OnUpdate", False))
        for each in declared
    ]


def test_what_is_proposed_can_be_read_as_it_is() -> None:
    lines = purchase(propose_purchases("orders", "OrderLines", fields_of(ORDER_LINE_FIELDS), time_zone="Europe/London"))
    assert (lines.product_id.source_field, lines.price.source_field) == ("StockCode", "UnitPrice")
    assert lines.quantity is not None
    assert (lines.quantity.source_field, lines.time.source_field) == ("Quantity", "InvoiceDate")
    assert not lines.enabled
    tickets = event(propose_events("tickets", "SupportTickets", fields_of(TICKET_FIELDS)))
    assert (tickets.event.name, tickets.time.source_field) == ("tickets", "OpenedAt")
    assert tickets.identity.external_id == "CustomerNo"
    orders = event(propose_events("placed", "Orders", fields_of(ORDER_FIELDS), time_zone="Europe/London"))
    assert (orders.event.name, orders.lines.table) == ("ecommerce.order_placed", "OrderLines")
    assert (orders.lines.key.order, orders.lines.complete.count) == ("InvoiceNo", "LineCount")
    assert event(propose_events("of_lines", "OrderLines", fields_of(ORDER_LINE_FIELDS))).event.name == "of_lines"
    for sync, declared in ((lines, ORDER_LINE_FIELDS), (tickets, TICKET_FIELDS), (orders, ORDER_FIELDS)):
        mapping_of(sync, fields_of(declared))


@pytest.mark.parametrize("lacking", ["CustomerNo", "InvoiceDate", "UnitPrice", "StockCode"])
def test_what_a_purchase_needs_and_the_table_lacks_is_said(lacking: str) -> None:
    fields = [each for each in fields_of(ORDER_LINE_FIELDS) if each.name != lacking]
    with pytest.raises(ConfigurationError, match="OrderLines: no "):
        propose_purchases("orders", "OrderLines", fields)
