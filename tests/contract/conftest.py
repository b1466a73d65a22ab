"""What the contract tests share: emulators on a virtual clock, and calls to them as a client would make them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx

from caspio_sync.sandbox.activecampaign.behaviour import SANDBOX_KEY, ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.emulator import ActiveCampaignSandbox
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from tests.virtual_clock import VirtualClock

HOST = "https://c0abc123.caspio.com"
API = "/integrations/rest/v3/"
FORM = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
KEY = {"Authorization": "Bearer sandbox-key"}
FIELDS: list[dict[str, Any]] = [
    {"Name": "No", "Type": "STRING", "Unique": True},
    {"Name": "City", "Type": "STRING"},
    {"Name": "Orders", "Type": "INTEGER"},
    {"Name": "Spend", "Type": "CURRENCY"},
    {"Name": "Active", "Type": "YES/NO"},
    {"Name": "Due", "Type": "DATE/TIME"},
    {"Name": "Tags", "Type": "LIST-STRING", "ListField": ["red", "blue"]},
    {"Name": "Pwd", "Type": "PASSWORD"},
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
CITIES = ["Leeds", "leeds ", "LEEDS", "York", "O'Fallon", "Zürich", "", None, "100%"]


def a_filled_account(rows: int = 40, **switches: Any) -> CaspioSandbox:
    """A table T of `rows` rows, PK_ID 1 to `rows`, and a view V of the rows with Orders from 3 on."""
    sandbox = CaspioSandbox(CaspioBehaviour(**switches), VirtualClock())
    sandbox.create_table("T", FIELDS)
    sandbox.insert_rows(
        "T",
        (
            {
                "No": f"A-{number}",
                "City": CITIES[number % len(CITIES)],
                "Orders": number % 5,
                "Spend": number / 4,
                "Active": number % 2 == 0,
                "Due": None if number % 4 == 0 else f"2026-01-{number % 28 + 1:02}T08:00:00",
                "Tags": [1, 2] if number % 3 else None,
                "Pwd": "secret",
            }
            for number in range(1, rows + 1)
        ),
    )
    sandbox.create_view("V", "T", ["No", "Orders"], "Orders>=3")
    return sandbox


def talk(
    sandbox: CaspioSandbox, conversation: Callable[[httpx.AsyncClient], Awaitable[Any]], *, token: bool = True
) -> Any:
    """Run a conversation with a client of the account, by default one that holds a token."""

    async def run() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app), base_url=HOST) as client:
            if token:
                answer = (await client.post("/oauth/token", data=FORM)).json()
                client.headers["Authorization"] = f"Bearer {answer['access_token']}"
            return await conversation(client)

    return asyncio.run(run())


def get(sandbox: CaspioSandbox, path: str = "tables/T/records", **parameters: Any) -> httpx.Response:
    """One GET; parameters without their `q.`."""
    query = {f"q.{name}": value for name, value in parameters.items()}
    answer: httpx.Response = talk(sandbox, lambda client: client.get(API + path, params=query))
    return answer


def a_workspace(**behaviour: Any) -> BrazeSandbox:
    return BrazeSandbox(BrazeBehaviour(**behaviour), VirtualClock())


def call(sandbox: BrazeSandbox, method: str = "POST", path: str = "/users/track", **request: Any) -> httpx.Response:
    """One request to Braze, with the key unless other headers are given."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(sandbox.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze") as client:
            return await client.request(method, path, **({"headers": KEY} | request))

    return asyncio.run(send())


def track(sandbox: BrazeSandbox, *attributes: Any, **arrays: Any) -> httpx.Response:
    """All objects in one request."""
    return call(sandbox, json=({"attributes": list(attributes)} if attributes else {}) | arrays)


def track_each(sandbox: BrazeSandbox, *attributes: dict[str, Any]) -> httpx.Response:
    """One request an object, in order, each accepted; the last answer."""
    answers = [track(sandbox, item) for item in attributes]
    assert {answer.status_code for answer in answers} == {201}
    return answers[-1]


def stored(sandbox: BrazeSandbox, *writes: dict[str, Any]) -> dict[str, Any]:
    """The profile `c` after these writes to it."""
    track_each(sandbox, *({"external_id": "c"} | fields for fields in writes))
    profile = sandbox.profile("c")
    assert profile is not None
    return profile


def a_user(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"external_id": f"c-{number}", **fields}


PRODUCT_FIELDS = {
    "id": "string",
    "name": "string",
    "price": "number",
    "active": "boolean",
    "since": "time",
    "details": "object",
    "tags": "array",
    "place": "geo",
}


class CatalogWorkspace:
    """Braze on a virtual clock with a catalog `products`, and calls to it."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock()
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)
        assert self.create("products", PRODUCT_FIELDS).status_code == 201

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return call(self.sandbox, method, path, **request)

    def create(self, name: Any, fields: dict[str, str], **more: Any) -> httpx.Response:
        listed = [{"name": field, "type": kind} for field, kind in fields.items()]
        return self.call("POST", "/catalogs", json={"catalogs": [{"name": name, "fields": listed} | more]})

    def write(self, method: str, *items: Any, catalog: str = "products") -> httpx.Response:
        return self.call(method, f"/catalogs/{catalog}/items", json={"items": list(items)})

    def put(self, *items: Any) -> None:
        """Items that are taken, and take effect."""
        answer = self.write("PUT", *items)
        assert answer.status_code == 202, answer.text
        self.sandbox.settle()

    def refused(self, method: str, *items: Any) -> list[tuple[str, list[Any]]]:
        """A write that is refused: ids of its errors, with their values."""
        return refusals(self.write(method, *items))

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        return self.sandbox.catalogs["products"].items

    @property
    def ids(self) -> set[str]:
        """Ids that a reader finds now, without waiting for anything."""
        return {item["id"] for item in self.call("GET", "/catalogs/products/items").json()["items"]}


def refusals(answer: httpx.Response, status: int = 400) -> list[tuple[str, list[Any]]]:
    body = answer.json()
    assert (answer.status_code, body["message"]) == (status, "Invalid Request"), answer.text
    for entry in body["errors"]:
        assert set(entry) == {"id", "message", "parameters", "parameter_values"}
        assert len(entry["parameters"]) == len(entry["parameter_values"])
        assert entry["message"]
    return [(entry["id"], entry["parameter_values"]) for entry in body["errors"]]


class MailAccount:
    """ActiveCampaign on a virtual clock, and calls to it as a client would make them, a second apart."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock()
        self.sandbox = ActiveCampaignSandbox(ActiveCampaignBehaviour(**behaviour), self.clock)

    def call(
        self, method: str, path: str, *, key: str = SANDBOX_KEY, wait: float = 1.0, **request: Any
    ) -> httpx.Response:
        self.clock.advance(wait)

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://activecampaign/api/3") as client:
                return await client.request(method, path, headers={"Api-Token": key}, **request)

        return asyncio.run(send())

    def event(
        self,
        form: dict[str, Any],
        *,
        content: bytes | None = None,
        base: str = "http://trackcmp.test",
        kind: str = "application/x-www-form-urlencoded",
    ) -> httpx.Response:
        """A call to the event host, without a token and without waiting."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            body = urlencode(form).encode() if content is None else content
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.post("/event", content=body, headers={"Content-Type": kind})

        return asyncio.run(send())

    def sync(self, email: str, **own: Any) -> httpx.Response:
        return self.call("POST", "/contact/sync", json={"contact": {"email": email, **own}})

    def contact_id(self, email: str) -> str:
        return str(self.sync(email).json()["contact"]["id"])

    def field(self, title: str = "Level", kind: str = "text", **more: Any) -> str:
        """The id of a field that is made."""
        made = self.call("POST", "/fields", json={"field": {"title": title, "type": kind, **more}}).json()
        return str((made.get("field") or made["fields"][0])["id"])

    def queue(self, *contacts: dict[str, Any], **more: Any) -> httpx.Response:
        return self.call("POST", "/import/bulk_import", json={"contacts": list(contacts), **more})

    def info(self, batch: str) -> dict[str, Any]:
        told: dict[str, Any] = self.call("GET", "/import/info", params={"batchId": batch}).json()
        return told
