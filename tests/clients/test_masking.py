"""Nothing that an answer says shows the request's own credentials, in whatever form it says them."""

import asyncio
import base64
import logging
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.destinations.activecampaign.client import ActiveCampaignClient
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import CaspioSyncError
from caspio_sync.wire.masking import masked, struck
from tests.virtual_clock import VirtualClock

KEY = "3f1c0b1e-94d2/4c51+a7e0-5b1f2c9d8e70"
FORMS = {
    "plain": KEY,
    "quoted": f"'{KEY}'",
    "double quoted": f'"{KEY}"',
    "bearer": f"Bearer {KEY}",
    "upper case": KEY.upper(),
    "in an address": f"https://x.test/?key={quote(KEY, safe='')}&x=1",
    "every character escaped": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "JSON in JSON": "".join(letter if letter.isalnum() else f"\\u{ord(letter):04x}" for letter in KEY),
    "escaped solidus": KEY.replace("/", "\\/"),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64, shifted by 1": base64.b64encode(f"a{KEY}".encode()).decode(),
    "base64, shifted by 2": base64.b64encode(f"id:as {KEY}!".encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "hexadecimal": KEY.encode().hex(),
    "its first half": KEY[:18],
    "its second half": KEY[18:],
    "broken by a line end": f"{KEY[:17]}\n{KEY[17:]}",
    "at the cut": "x" * 280 + KEY,
    "behind the cut of what is read": "x" * 9_990 + KEY,
    "twice": f"{KEY} {KEY}",
}


def shown(text: str) -> set[str]:
    """Pieces of the key, of eight characters and more, that a text shows in some form."""
    lower = text.lower()
    encodings = [KEY, quote(KEY, safe=""), KEY.encode().hex(), base64.b64encode(KEY.encode()).decode()]
    encodings.append("".join(f"%{byte:02x}" for byte in KEY.encode()))
    return {
        form[start : start + 8]
        for form in map(str.lower, encodings)
        for start in range(len(form) - 7)
        if form[start : start + 8] in lower
    }


@pytest.mark.parametrize(
    "header", [{"Authorization": f"Bearer {KEY}"}, {"Api-Token": KEY}], ids=["bearer", "api token"]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_credential_is_struck_in_every_form(form: str, header: dict[str, str]) -> None:
    request = httpx.Request("POST", "https://x.test/a", headers=header, content=b"{}")
    told = masked(f"Invalid API key: {FORMS[form]}. Sorry", request)
    assert shown(told) == set()
    assert told.startswith("Invalid API key: ")


def test_what_stands_around_it_stays() -> None:
    assert struck(f"before {KEY}, after {KEY}", [KEY]) == "before [credential], after [credential]"
    assert struck("İstanbul: 3F1C0B1E-94D2/4C51 no", [KEY]) == "İstanbul: [credential] no"
    assert struck("nothing here, Invalid key", ["key"]) == "nothing here, Invalid key"
    assert struck("", [KEY]) == ""


def answers(status: int, form: str) -> httpx.Response:
    """The key wherever an answer has room for it."""
    entry = {"id": form, "index": 0, "type": form, "message": form, "input_array": form, "parameters": [form]}
    body = {"message": form, "error": form, "error_description": form, "Code": form, "errors": [entry, form]}
    headers = {"content-type": f"text/{form}", "location": f"https://{quote(form, safe='')}.test/"}
    reason = form.replace("\n", " ").encode()
    return httpx.Response(status, json=body, headers=_sound(headers), extensions={"reason_phrase": reason})


def _sound(headers: dict[str, str]) -> dict[str, str]:
    return {name: value.replace("\n", " ") for name, value in headers.items()}


@pytest.mark.parametrize("form", ["plain", "quoted", "in an address", "base64", "its first half"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 429, 500])
def test_no_client_shows_its_own(status: int, form: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said: list[str] = []

    async def run() -> None:
        transport = httpx.MockTransport(lambda _: answers(status, FORMS[form]))
        clock, key = VirtualClock(), SecretStr(KEY)
        users = BrazeClient(endpoint="US-01", api_key=key, transport=transport, clock=clock)
        items = CatalogClient(endpoint="US-01", api_key=key, transport=transport, clock=clock)
        caspio = CaspioClient(
            integration_url="https://c0.caspio.com", client_id="c", client_secret=key, transport=transport, clock=clock
        )
        contacts = ActiveCampaignClient(url="https://a.api-us1.com", key=key, transport=transport, clock=clock)
        async with users, items, caspio, contacts:
            for call in (
                contacts.user(),
                contacts.sync_contact({"email": "a@example.com"}),
                contacts.ids("a@example.com"),
                contacts.fields(),
                contacts.import_contacts(b"{}", 2),
                users.track(b"{}", sent={"attributes": 0}),
                users.probe_track(),
                users.export_users(["a"], ["email"]),
                users.delete_users([{"external_id": "a"}]),
                items.write_items("PUT", "c", b'{"items":[]}'),
                items.catalogs(),
                items.probe_catalogs(),
                caspio.tables(),
            ):
                try:
                    said.append(repr(await call))
                except CaspioSyncError as error:
                    said.extend([str(error), repr(vars(error)), repr(error.__cause__)])

    asyncio.run(run())
    assert shown("\n".join([*said, caplog.text])) == set()
