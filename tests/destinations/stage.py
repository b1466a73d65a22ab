"""What a suite needs to know of a destination's emulator: how rows get there, what arrived, and how it is broken."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote_plus

import orjson

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault, drain, once
from caspio_sync.sandbox.http.behaviour import HttpBehaviour
from caspio_sync.sandbox.http.emulator import HttpSandbox
from tests.flows.catalog_shop import PRODUCTS, PRODUCTS_SYNC, product
from tests.flows.deal_orders import buyers, order, orders
from tests.flows.gateway import between, refusing
from tests.flows.happenings import (
    LINES_SYNC,
    LOOSE,
    MESSAGES,
    TICKETS,
    TICKETS_SYNC,
    line,
    order_lines,
    people,
    ticket,
    tickets,
)
from tests.flows.world import Ended, World

AN_HOUR = 3600.0


class Stage:
    """A table, a sync of it, and the emulator at the other end.

    Attributes:
        name: of the sync.
        path: of the requests that rows travel by.
        array: in whose body they stand.
        most: objects that the vendor's documentation allows in one.
        key: the table's key field, and `table` its name.
        number: its field with a number.
        vendor: name of the emulator in the world.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    array: ClassVar[str]
    most: ClassVar[int]
    table: ClassVar[str]
    key: ClassVar[str]
    number: ClassVar[str]
    vendor: ClassVar[str] = "braze"

    def __init__(self, world: World) -> None:
        self.world = world
        self.bodies: list[list[dict[str, Any]]] = []  # the objects of each request, whatever became of it

    def fill(self, rows: int) -> list[str]:
        """So many sound rows, and the sync; their keys."""
        raise NotImplementedError

    def arrived(self) -> dict[str, float]:
        """The number of what is there, by key."""
        raise NotImplementedError

    def count(self) -> int:
        """How many things are there, two of one key counted twice."""
        return len(self.arrived())

    def expected(self) -> dict[str, float]:
        """The number of each row in Caspio, by key."""
        return {row[self.key]: row[self.number] for row in self.world.caspio.rows(self.table)}

    def change(self, key: str, **values: Any) -> None:
        """Change a row."""
        self.world.caspio.update_rows(self.table, values, f"{self.key}='{key}'")

    def ended(self, **options: Any) -> Ended:
        """A run as its user sees it, an hour after the last one; whatever is sent is written down in `bodies`."""
        self.world.clock.advance(AN_HOUR)
        self.bodies.clear()
        emulator = getattr(self.world, self.vendor)
        sound = emulator.app

        def note(body: bytes) -> bytes | None:
            if objects := orjson.loads(body).get(self.array):  # a question holds none
                self.bodies.append(objects)
            return None

        emulator.app = between(sound, self.path, note)
        try:
            return self.world.ended(self.name, **options)
        finally:
            emulator.app = sound
            emulator.settle()

    def refuse(self, key: str, words: str) -> None:
        """From now on a request with this key is refused whole, in these words."""
        emulator = getattr(self.world, self.vendor)
        emulator.app = refusing(emulator.app, self.path, f'"{key}"'.encode(), words)

    def lose_answers(self, *nth: int) -> None:
        """Of these requests the answer is lost although they were taken; none: of none."""
        faults = [Fault(kind="reset_after", path=self.path, nth=nth)] if nth else []
        getattr(self.world, f"break_{self.vendor}")(*faults)

    def slow_down(self, requests: int) -> None:
        """From here on the vendor takes so many of these requests a window; before the table is filled."""
        raise NotImplementedError

    def refused_for_haste(self) -> int:
        """Requests that were too many."""
        return self.world.braze.statuses[429]

    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        """Verdict and reason of each row of the ledger, by key."""
        with self.world.ledger() as ledger:
            rows = ledger.read_rows(self.name, 0, 10**6)
            held = ledger.quarantine(self.name, ["quarantined", "rejected", "blocked", "unknown"], limit=10_000)
        reasons: Mapping[str, str] = {str(row["key"]): row["reason"] for row in held.iter_rows(named=True)}
        return {row["key"]: (row["verdict"], reasons.get(row["key"])) for row in rows.iter_rows(named=True)}


class BrazeProfiles(Stage):
    """The small customers table and Braze's profiles."""

    name, path, array, most = "customers", "/users/track", "attributes", 75
    table, key, number = "Customers", "CustomerNo", "Spend"

    def fill(self, rows: int) -> list[str]:
        self.world.customers([self.world.person(number, Spend=number) for number in range(1, rows + 1)])
        self.world.loose()
        return [f"c{number}" for number in range(1, rows + 1)]

    def arrived(self) -> dict[str, float]:
        return {key: each["custom_attributes"]["spend"] for key, each in self.world.profiles().items()}

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(burst_limit=requests), self.world.clock)

    def state(self, key: str) -> str:
        """The consent that Braze holds."""
        return str(self.world.profiles()[key]["email_subscribe"])


class BrazeItems(Stage):
    """The small products table and a catalog of Braze."""

    name, path, array, most = "products", "/catalogs/products/items", "items", 50
    table, key, number = "Products", "Code", "Price"

    def fill(self, rows: int) -> list[str]:
        made = [product(number) for number in range(1, rows + 1)]
        self.world.caspio.create_table("Products", PRODUCTS)
        self.world.sync(PRODUCTS_SYNC + "gate: {max_quarantined_share: 1, max_quarantined_rows: 1000}\n", "products")
        self.world.caspio.insert_rows("Products", made)
        return [row["Code"] for row in made]

    def arrived(self) -> dict[str, float]:
        return {key: item["price"] for key, item in self.world.braze.catalogs["products"].items.items()}

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(catalog_writes_per_minute=requests), self.world.clock)


class ActiveCampaignContacts(Stage):
    """A table of addresses and ActiveCampaign's contacts; all of them go by imports, as `automations` is left alone.

    A run reads all rows, so that who is new comes by an import that runs no automations; changes come one by one.
    """

    name, path, array, most = "contacts", "/api/3/import/bulk_import", "contacts", 250
    table, key, number, vendor = "People", "Address", "Spend", "activecampaign"

    FIELDS: ClassVar = [
        {"Name": "Address", "Type": "STRING"},
        {"Name": "Email", "Type": "STRING"},
        {"Name": "Spend", "Type": "NUMBER"},
        {"Name": "Newsletter", "Type": "STRING"},
    ]
    SYNC: ClassVar = """\
kind: profiles
destination: activecampaign
source: {table: People}
identity: {email: Address}
fields:
  Spend: Spend
  Billing: {from: Email, map: {nobody: none}}
lists:
  Newsletter: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
options: {create: true}
gate:
  max_quarantined_share: 1
  max_quarantined_rows: 1000
  expectations:
    - type: expect_column_values_to_match_regex
      kwargs: {column: Billing, regex: "@"}
"""

    def fill(self, rows: int) -> list[str]:
        self.world.caspio.create_table(self.table, self.FIELDS)
        made = [
            {
                "Address": f"p{number}@example.com",
                "Email": f"b{number}@example.com",
                "Spend": number,
                "Newsletter": "yes",
            }
            for number in range(1, rows + 1)
        ]
        self.world.caspio.insert_rows(self.table, made)
        self.world.sync(self.SYNC, self.name)
        return [str(row["Address"]) for row in made]

    def ended(self, **options: Any) -> Ended:
        """As `Stage.ended`; a contact that goes alone is a request with one object."""
        sound = self.world.activecampaign.app

        def note(body: bytes) -> bytes | None:
            self.bodies.append([orjson.loads(body)["contact"]])
            return None

        self.world.activecampaign.app = between(sound, "/api/3/contact/sync", note)  # type: ignore[method-assign]
        try:
            return super().ended(**options)
        finally:
            self.world.activecampaign.app = sound  # type: ignore[method-assign]

    def arrived(self) -> dict[str, float]:
        return {key: float(each["fields"]["Spend"]) for key, each in self.world.activecampaign.contacts().items()}

    def state(self, key: str) -> str:
        """The consent that ActiveCampaign holds."""
        status = self.world.activecampaign.contacts()[key]["lists"]["Newsletter"]
        return {"1": "subscribed", "2": "unsubscribed"}[status]

    def slow_down(self, requests: int) -> None:
        behaviour = ActiveCampaignBehaviour(imports_a_minute=requests)
        self.world.activecampaign = ActiveCampaignSandbox(behaviour, self.world.clock)

    def refused_for_haste(self) -> int:
        """As `Stage.refused_for_haste`; imports are refused so with 400."""
        return self.world.activecampaign.statuses[429] + self.world.activecampaign.imports.throttled


class BrazeEvents(Stage):
    """The small tickets table and Braze's custom events; the number is the last one that a person's events had."""

    name, path, array, most = "tickets", "/users/track", "events", 75
    table, key, number = "Tickets", "CustomerNo", "Hours"

    def fill(self, rows: int) -> list[str]:
        text = TICKETS_SYNC.replace("properties: {", "properties: {hours: Hours, ") + "on_update: new_event\n" + LOOSE
        made = [ticket(number, Hours=number / 4) for number in range(1, rows + 1)]
        tickets(self.world, made, text, [{"Name": "Hours", "Type": "NUMBER"}])
        return [row["CustomerNo"] for row in made]

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(burst_limit=requests), self.world.clock)

    def arrived(self) -> dict[str, float]:
        taken = [each.object for each in self.world.braze.log if each.array == self.array]
        return {each["external_id"]: each["properties"]["hours"] for each in taken}


class ActiveCampaignEvents(Stage):
    """The small tickets table, of people with addresses, and the events that ActiveCampaign tracks, a call each.

    The number is the value of the last event that a person had.
    """

    name, path, array, most = "tickets", "/event", "events", 1
    table, key, number, vendor = "Tickets", "CustomerNo", "Hours", "activecampaign"

    SYNC: ClassVar = """\
kind: events
destination: activecampaign
source: {table: Tickets, cursor: ChangedAt}
identity: {email: CustomerNo}
event: ticket_opened
time: OpenedAt
properties: {hours: Hours}
on_update: new_event
options: {create: true, contacts: ignore}
"""

    def fill(self, rows: int) -> list[str]:
        made = [ticket(number, CustomerNo=f"c{number}@example.com", Hours=number / 4) for number in range(1, rows + 1)]
        tickets(self.world, made, self.SYNC + LOOSE, [{"Name": "Hours", "Type": "NUMBER"}])
        return [str(row["CustomerNo"]) for row in made]

    def ended(self, **options: Any) -> Ended:
        """As `Stage.ended`; an event is a form."""
        sound = self.world.activecampaign.app

        def note(body: bytes) -> bytes | None:
            noted.append([{"form": parse_qs(body.decode())}])
            return None

        noted: list[list[dict[str, Any]]] = []
        self.world.activecampaign.app = between(sound, self.path, note)  # type: ignore[method-assign]
        path, type(self).path = self.path, "/nowhere"
        try:
            return super().ended(**options)
        finally:
            type(self).path = path
            self.bodies += noted
            self.world.activecampaign.app = sound  # type: ignore[method-assign]

    def refuse(self, key: str, words: str) -> None:
        app = self.world.activecampaign.app
        word = quote_plus(f'"{key}"').encode()
        self.world.activecampaign.app = refusing(app, self.path, word, words)  # type: ignore[method-assign]

    def slow_down(self, requests: int) -> None:
        behaviour = ActiveCampaignBehaviour(event_calls_per_second=requests)
        self.world.activecampaign = ActiveCampaignSandbox(behaviour, self.world.clock)

    def refused_for_haste(self) -> int:
        return self.world.activecampaign.statuses[429]

    def arrived(self) -> dict[str, float]:
        return {each.email: float(each.value) for each in self.world.activecampaign.tracking.taken}


class ActiveCampaignDeals(Stage):
    """The small table of orders and ActiveCampaign's deals, a call each; the number is what a deal is worth."""

    name, path, array, most = "deals", "/api/3/deals", "deal", 1
    table, key, number, vendor = "Orders", "OrderNo", "Total", "activecampaign"

    def fill(self, rows: int) -> list[str]:
        made = [order(number) for number in range(1, rows + 1)]
        buyers(self.world, rows)
        orders(self.world, made)
        return [str(row["OrderNo"]) for row in made]

    def ended(self, **options: Any) -> Ended:
        """As `Stage.ended`; whatever makes or changes a deal is a request."""
        sound = self.world.activecampaign.app

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["method"] in {"POST", "PUT"} and scope["path"].startswith(self.path):
                body = await drain(receive)
                self.bodies.append([orjson.loads(body)["deal"]])
                await sound(scope, once(body), send)
            else:
                await sound(scope, receive, send)

        self.world.activecampaign.app = noting  # type: ignore[method-assign]
        try:
            self.world.clock.advance(AN_HOUR)
            self.bodies.clear()
            return self.world.ended(self.name, **options)
        finally:
            self.world.activecampaign.app = sound  # type: ignore[method-assign]

    def arrived(self) -> dict[str, float]:
        deals = self.world.activecampaign.deals.deals.values()
        return {each.parts["title"]: int(each.parts["value"]) / 100 for each in deals}

    def count(self) -> int:
        return len(self.world.activecampaign.deals.deals)

    def slow_down(self, requests: int) -> None:
        behaviour = ActiveCampaignBehaviour(calls_per_second=requests)
        self.world.activecampaign = ActiveCampaignSandbox(behaviour, self.world.clock)

    def refused_for_haste(self) -> int:
        return self.world.activecampaign.statuses[429]


class BrazePurchases(Stage):
    """The small table of order lines and Braze's purchases; the number is the price of the last one."""

    name, path, array, most = "orders", "/users/track", "purchases", 75
    table, key, number = "Lines", "CustomerNo", "Price"

    def fill(self, rows: int) -> list[str]:
        made = [line(number) for number in range(1, rows + 1)]
        order_lines(self.world, made, LINES_SYNC + "on_update: new_event\n" + LOOSE)
        return [row["CustomerNo"] for row in made]

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(burst_limit=requests), self.world.clock)

    def arrived(self) -> dict[str, float]:
        taken = [each.object for each in self.world.braze.log if each.array == self.array]
        return {each["external_id"]: each["price"] for each in taken}


class BrazeTriggers(Stage):
    """The small tickets table and messages of a campaign; the number is that of the last one to a person."""

    name, path, array, most = "mails", "/campaigns/trigger/send", "recipients", 50
    table, key, number = "Tickets", "CustomerNo", "Hours"

    def fill(self, rows: int) -> list[str]:
        text = MESSAGES.replace("trigger_properties: {", "trigger_properties: {hours: Hours, ")
        made = [ticket(number, Hours=number / 4) for number in range(1, rows + 1)]
        self.world.sync(text + "on_update: new_event\n" + LOOSE, "mails")
        self.world.caspio.create_table("Tickets", [*TICKETS, {"Name": "Hours", "Type": "NUMBER"}])
        self.world.caspio.insert_rows("Tickets", made)
        people(self.world, rows)
        return [row["CustomerNo"] for row in made]

    def slow_down(self, requests: int) -> None:
        self.world.braze = BrazeSandbox(BrazeBehaviour(groups_per_hour=requests), self.world.clock)

    def arrived(self) -> dict[str, float]:
        return {each.who: each.properties["hours"] for each in self.world.braze.messages}


class HttpPeople(Stage):
    """A table of people and an endpoint that takes rows, ten a request, and opt-outs apart."""

    name, path, array, most = "people", "/rows", "", 10
    table, key, number, vendor = "People", "No", "Spend", "http"

    FIELDS: ClassVar = [
        {"Name": "No", "Type": "STRING"},
        {"Name": "Email", "Type": "STRING"},
        {"Name": "Spend", "Type": "NUMBER"},
        {"Name": "Newsletter", "Type": "STRING"},
    ]
    SYNC: ClassVar = """\
kind: profiles
destination: http
source: {table: People}
identity: {external_id: No}
fields:
  spend: Spend
  email: {from: Email, map: {nobody: none}}
consent:
  email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
request: {url: "http://warehouse.test/rows", batch: 10}
auth: {bearer: sandbox}
answers: {errors: "$.errors[*]"}
idempotency_key: Idempotency-Key
limits: {requests_a_second: 100}
verify: {url: "http://warehouse.test/rows/{{ key }}"}
on_erase: {method: DELETE, url: "http://warehouse.test/rows/{{ key }}", ok: [2xx, 404]}
on_opt_out: {url: "http://warehouse.test/opt-outs", body: [external_id, email_subscribe]}
gate:
  max_quarantined_share: 1
  max_quarantined_rows: 1000
  expectations:
    - type: expect_column_values_to_match_regex
      kwargs: {column: email, regex: "@"}
"""

    def fill(self, rows: int) -> list[str]:
        self.world.caspio.create_table(self.table, self.FIELDS)
        made = [
            {"No": f"p{number}", "Email": f"p{number}@example.com", "Spend": number / 4, "Newsletter": "yes"}
            for number in range(1, rows + 1)
        ]
        self.world.caspio.insert_rows(self.table, made)
        self.world.sync(self.SYNC, self.name)
        return [str(row["No"]) for row in made]

    def ended(self, **options: Any) -> Ended:
        """As `Stage.ended`; rows stand in an array without a name."""
        self.world.clock.advance(AN_HOUR)
        self.bodies.clear()
        sound = self.world.http.app
        self.world.http.app = between(sound, self.path, self._note)  # type: ignore[method-assign]
        try:
            return self.world.ended(self.name, **options)
        finally:
            self.world.http.app = sound  # type: ignore[method-assign]

    def _note(self, body: bytes) -> None:
        self.bodies.append(orjson.loads(body))

    def arrived(self) -> dict[str, float]:
        return {key: row["spend"] for key, row in self.world.http.rows.items()}

    def state(self, key: str) -> str:
        """The consent that the endpoint was told last."""
        told = [each.row for each in self.world.http.log if each.key == key and "email_subscribe" in (each.row or {})]
        return str(told[-1]["email_subscribe"])

    def slow_down(self, requests: int) -> None:
        self.world.http = HttpSandbox(HttpBehaviour(requests_per_second=requests), self.world.clock)

    def refused_for_haste(self) -> int:
        return self.world.http.statuses[429]
