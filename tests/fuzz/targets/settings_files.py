"""Settings files, through the reading of all settings and the clients that are made of them."""

import asyncio
import os
import re
import tempfile
from pathlib import Path
from unittest.mock import patch

import httpx

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.env_file import ENV_FILE_VARIABLE
from caspio_sync.errors import CaspioSyncError
from caspio_sync.settings import Settings, destination_settings, every_setting, receiver_settings
from tests.fuzz.judging import Target, holds

SECRET = "hT9kW3pX-of-the-settings-q2"
_ADDRESS = re.compile(
    rb"\s*(?:export\s+)?(?:CASPIO_INTEGRATION_URL|BRAZE_REST_ENDPOINT|BRAZE_INSTANCE)\b", re.IGNORECASE
)
_OTHERS = ("CASPIO_", "BRAZE_", "PREFECT_")


def run(data: bytes) -> list[str]:
    """Read the file as a command and as the receiver would."""
    with tempfile.TemporaryDirectory(prefix="caspio-sync-fuzz-") as folder:
        path = Path(folder) / ".env"
        path.write_bytes(_without_secret_addresses(data))
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_OTHERS)}
        with patch.dict(os.environ, {**kept, ENV_FILE_VARIABLE: str(path)}, clear=True):
            return [*_receiver(), *_commands()]


def _receiver() -> list[str]:
    try:
        assert receiver_settings().inbox_url
    except CaspioSyncError as error:
        return [str(error)]
    return []


def _without_secret_addresses(data: bytes) -> bytes:
    """The file without lines that give an address the secret for a value: an error about an address shows it."""
    lines = data.split(b"\n")
    return b"\n".join(line for line in lines if not (_ADDRESS.match(line) and holds(SECRET, line.decode("latin-1"))))


def _commands() -> list[str]:
    settings = every_setting()
    asyncio.run(_clients(settings))
    return []


async def _clients(settings: Settings) -> None:
    own = destination_settings("braze")
    nowhere = httpx.MockTransport(lambda _request: httpx.Response(200))
    async with (
        CaspioClient(
            integration_url=settings.caspio_integration_url,
            client_id=settings.caspio_client_id,
            client_secret=settings.caspio_client_secret,
            connections=settings.caspio_connections,
            transport=nowhere,
        ),
        BrazeClient(endpoint=own.braze_endpoint, api_key=own.braze_api_key, clients=2, transport=nowhere),
    ):
        assert settings.ledger_url
        assert settings.sync_file("customers")


def _file(*lines: str, **changes: str) -> bytes:
    values = {
        "CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com",
        "CASPIO_CLIENT_ID": "id",
        "CASPIO_CLIENT_SECRET": SECRET,
        "BRAZE_INSTANCE": "EU-01",
        "BRAZE_API_KEY": SECRET,
        "CASPIO_SYNC_RECEIVER_TOKEN": SECRET,
    } | changes
    return "\n".join([*(f"{name}={value}" for name, value in values.items()), *lines]).encode()


TARGET = Target(
    "settings_files",
    run,
    secrets=(SECRET,),
    words=(
        *(b"\nBRAZE_REST_ENDPOINT=", b"\nCASPIO_CALLS_PER_DAY=", b"\nCASPIO_SYNC_LEDGER_URL=postgres://u:p@h/d", b"export "),
        *(b"\nBRAZE_CONNECTIONS=0", b"\nCASPIO_SYNC_NOTIFY_URL=", b"${HOME}", b'"', b"'", b" # ", b"\nCASPIO_SYNC_HOME="),
        *(b"http://", b"https://", b"[::1]", b"user:pass@", b"\nCASPIO_SYNC_RECEIVER_OLD_TOKEN=short"),
    ),
    seeds=(
        _file(),
        _file().decode().encode("utf-16"),
        _file("# Schl\u00fcssel").decode().encode("cp1252"),
        b"\xef\xbb\xbf" + _file(),
        _file(BRAZE_INSTANCE="eu-01"),
        _file("BRAZE_REST_ENDPOINT="),
        _file("BRAZE_REST_ENDPOINT=HTTPS://rest.fra-01.braze.eu"),
        _file("BRAZE_REST_ENDPOINT=http://rest.fra-01.braze.eu"),
        _file(BRAZE_INSTANCE=""),
        _file(CASPIO_CLIENT_SECRET=f'"{SECRET}\\n"'),
        _file(CASPIO_CLIENT_SECRET=f'"{SECRET}\n"'),
        _file(CASPIO_CLIENT_ID='"id\r\n"'),
        _file(CASPIO_INTEGRATION_URL="https://[::1"),
        _file(CASPIO_INTEGRATION_URL="https://c0abc123.caspio.com:99999"),
        _file(BRAZE_API_KEY="schl\u00fcssel"),
        _file("CASPIO_SYNC_LEDGER_URL=postgres://user:secret@host/db", "CASPIO_SYNC_HOME=\x00"),
        _file("CASPIO_CALLS_PER_SECOND=nan", "CASPIO_CALLS_PER_WINDOW=1e9", "CASPIO_CALLS_PER_DAY=0"),
        _file("CASPIO_SYNC_NOTIFY_SHARE=inf", "CASPIO_SYNC_KEEP_DAYS=", "CASPIO_SYNC_SENDER=Process"),
        b"",
    ),
)  # fmt: skip
