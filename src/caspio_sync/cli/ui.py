"""`caspio-sync ui`: the page to look at; `caspio-sync report`: its overview as a file."""

import contextlib
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from caspio_sync import signals
from caspio_sync.cli.overview import open_overview
from caspio_sync.cli.receive import listen
from caspio_sync.cli.show import OUT, written
from caspio_sync.errors import ConfigurationError

if TYPE_CHECKING:
    from caspio_sync.dashboard.access import Door
    from caspio_sync.dashboard.pages import Pages
    from caspio_sync.dashboard.settings import UiSettings
    from caspio_sync.ledger.overview import Overview
    from caspio_sync.settings import LocalSettings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; another one than this machine needs --url.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 for a free one.", min=0, max=65535)] = 8781,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where browsers on other machines reach the page, such as https://sync.company.example: the address "
            "of a proxy that ends TLS. Every page then asks for CASPIO_SYNC_UI_TOKEN.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a page on this machine, until Ctrl-C: how syncs stand, what runs did, why rows wait, one person's story.

    It changes nothing. Figures are those of `status`, `runs` and `show`, by the same queries. What shows customers'
    data asks for a token, which the printed address bears: whoever else works on this machine has none. A person's
    values are read from Caspio when they are asked for, and kept nowhere; that needs the keys of a run.

    Example: `caspio-sync ui --port 8781`
    """
    import uvicorn

    from caspio_sync.cli.person import teller
    from caspio_sync.dashboard.app import Dashboard
    from caspio_sync.dashboard.settings import UiSettings
    from caspio_sync.event_loop import run
    from caspio_sync.settings import settings_of

    settings = settings_of(UiSettings)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    door = _door(settings, host, url)
    with contextlib.closing(listen(host, port)) as listener:
        config = uvicorn.Config(
            Dashboard(pages_of(settings), door, teller).app,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        OUT.print(f"open {_address(settings, door, host, listener.getsockname()[1])}", soft_wrap=True, markup=False)
        OUT.print("Ctrl-C ends it.")
        signals.end_in_own_time()
        with contextlib.suppress(KeyboardInterrupt):
            run(uvicorn.Server(config).serve(sockets=[listener]))


def report(
    html: Annotated[Path, typer.Option("--html", help="File to write; - for standard output.", show_default=False)],
) -> None:
    """Write how every sync stands into one HTML file that needs no other: for a mail, or kept by CI.

    No key and no value of a row is in it. No call is made to Caspio or Braze, and no key is needed.

    Example: `caspio-sync report --html syncs.html`
    """
    from caspio_sync.settings import local_settings

    text = pages_of(local_settings()).report()
    with written(None if str(html) == "-" else html) as file:
        file.write(text)


def pages_of(settings: "UiSettings | LocalSettings") -> "Pages":
    """The pages of the ledger and the sync files that the settings name."""
    from caspio_sync.dashboard.pages import Pages

    @contextlib.contextmanager
    def look() -> "Iterator[Overview]":
        with open_overview(settings) as ledger:
            yield ledger

    return Pages(settings, look)


def _door(settings: "UiSettings", host: str, url: str | None) -> "Door":
    """Who may look.

    Raises:
        ConfigurationError: the page would be reached from elsewhere without a token, a known name, or in the clear.
    """
    from pydantic import SecretStr

    from caspio_sync.dashboard.access import Door
    from caspio_sync.wire.http import is_address, is_in_clear

    if url is None:
        if host not in _LOOPBACK:
            raise ConfigurationError(
                f"--host {host} is reached from other machines: name by --url the address under which browsers come, "
                "such as https://sync.company.example, and set CASPIO_SYNC_UI_TOKEN"
            )
        return Door(settings.ui_token or SecretStr(secrets.token_urlsafe(32)))
    if not is_address(url) or urlsplit(url).path.strip("/") or urlsplit(url).query or urlsplit(url).username:
        raise ConfigurationError("--url is no address of a server; give such as https://sync.company.example")
    if is_in_clear(url) and not settings.allow_http:
        raise ConfigurationError(
            "--url begins with http://: everybody on the way could read the token and customers' data. Give the "
            "https:// address of a proxy that ends TLS, or set CASPIO_SYNC_ALLOW_HTTP=true where the way is your own"
        )
    if settings.ui_token is None:
        raise ConfigurationError(
            "--url opens the page to other machines, and CASPIO_SYNC_UI_TOKEN is not set; make one by "
            "openssl rand -base64 32"
        )
    return Door(settings.ui_token, url.rstrip("/"))


def _address(settings: "UiSettings", door: "Door", host: str, port: int) -> str:
    """Where to look; with the token behind its #, which is sent to nobody, unless the settings hold it."""
    base = door.address or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return base + "/" if settings.ui_token else f"{base}/#token={door.token.get_secret_value()}"
