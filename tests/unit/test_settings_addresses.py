"""Where the accounts are: no secret leaves in clear, and no certificate goes unlooked at."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import destination_settings, load_settings, local_settings
from caspio_sync.wire import http as _http
from caspio_sync.wire.http import ConnectionPool, is_in_clear

SOUND = {
    "CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com",
    "CASPIO_CLIENT_ID": "id",
    "CASPIO_CLIENT_SECRET": "secret",
    "BRAZE_REST_ENDPOINT": "https://rest.fra-01.braze.eu",
    "BRAZE_API_KEY": "0123456789",
}


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("variable", ["CASPIO_INTEGRATION_URL", "BRAZE_REST_ENDPOINT"])
@pytest.mark.parametrize("url", ["http://a.example", "HTTP://a.example", "Http://a.example:8080/", " http://10.0.0.1"])
def test_http_to_another_machine_is_refused_and_says_how_on(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError, match=f"{variable}.*begins with http://.*CASPIO_SYNC_ALLOW_HTTP=true"):
        load_settings(syncs=["customers"])
    monkeypatch.setenv("CASPIO_SYNC_ALLOW_HTTP", "true")
    load_settings(syncs=["customers"])


@pytest.mark.parametrize(
    "url", ["https://a.example", "HTTPS://a.example", "http://localhost:8090", "http://127.0.0.1", "http://[::1]:1"]
)
def test_what_stays_secret_or_on_this_machine_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CASPIO_INTEGRATION_URL", url)
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", url)
    load_settings(syncs=["customers"])


@pytest.mark.parametrize("variable", ["CASPIO_INTEGRATION_URL", "BRAZE_REST_ENDPOINT"])
@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:a.example",
        "https://[::1",
        "https://a.example:99999",
        "https://a.example:0",
        "https://a.example:abc",
        "https://a .example",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError, match=rf"{variable}.*no host, or no port"):
        load_settings(syncs=["customers"])
    if variable == "CASPIO_INTEGRATION_URL":
        with pytest.raises(ConfigurationError, match=rf"{variable}.*no host, or no port"):
            local_settings()


@pytest.mark.parametrize("name", ["CASPIO_CALLS_PER_SECOND", "CASPIO_CALLS_PER_WINDOW", "CASPIO_CALLS_PER_DAY"])
@pytest.mark.parametrize("limit", ["-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, limit: str) -> None:
    monkeypatch.setenv(name, limit)
    with pytest.raises(ConfigurationError, match=name):
        load_settings(syncs=["customers"])
    monkeypatch.setenv(name, "0")
    load_settings(syncs=["customers"])


@pytest.mark.parametrize("url", ["http://localhost.evil.example", "http://127.0.0.1.nip.io", "http://1.27.0.0.1"])
def test_a_name_that_looks_like_this_machine_is_another(url: str) -> None:
    assert is_in_clear(url)


OWN = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "endpoint", [*(f"{scheme}://rest.fra-01.braze.eu" for scheme in ("https", "HTTPS", "Https", "http", "HTTP")), OWN]
)
def test_certificates_are_looked_at_however_the_scheme_is_written(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    given: list[object] = []

    class Client(httpx.AsyncClient):
        def __init__(self, **options: object) -> None:
            given.append(options["verify"])
            super().__init__(**options)  # type: ignore[arg-type]

        async def send(self, *_: object, **__: object) -> httpx.Response:
            await asyncio.sleep(0)
            raise httpx.ConnectError("nobody is asked here")

    async def ask_twice() -> None:
        async with BrazeClient(endpoint=endpoint, api_key=destination_settings("braze").braze_api_key) as braze:
            await asyncio.gather(braze.probe_track(), braze.probe_track(), return_exceptions=True)

    monkeypatch.setattr("caspio_sync.wire.http.httpx.AsyncClient", Client)
    asyncio.run(ask_twice())
    assert len(given) == 2  # made when the first request comes to one
    for context in given:
        assert isinstance(context, ssl.SSLContext)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert endpoint != OWN or not context.get_ca_certs()  # nobody is trusted: none is to be shown


def test_an_own_authority_is_trusted_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(__file__).parents[1] / "data" / "certificates" / "authority.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own))
    context: Any = _http.certificates()
    names = [dict(pair[0] for pair in each["subject"]) for each in context.get_ca_certs()]
    assert {"commonName": "An authority of our own"} in names


def test_a_bundle_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in (tmp_path / "absent.pem", tmp_path / "no.pem"):
        (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(place))
        with pytest.raises(ConfigurationError, match="REQUESTS_CA_BUNDLE names no file"):
            ConnectionPool(url="https://a.example", clients=1, connections=1, timeout_seconds=1)
