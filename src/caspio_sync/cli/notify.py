"""`caspio-sync notify`: where messages about runs go, and whether one arrives."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync.cli.show import OUT
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.observe.notification import delivered, place_of
from caspio_sync.settings import local_settings

_TEXT = "This is a test. Whatever goes wrong with a sync is told here: once when it begins, and once when it is over."


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a message now, and say whether it was taken.")] = False,
) -> None:
    """Say where messages about failing, blocked or late syncs go; with --test send one there.

    The address is a secret, so that only the kind of place is shown.

    Example: `caspio-sync notify --test`
    """
    url = local_settings().notify_url
    if url is None:
        raise ConfigurationError(
            "CASPIO_SYNC_NOTIFY_URL is not set: nobody is told. Write one such as mailtos://…, slack://… or json://…"
        )
    place = place_of(url.get_secret_value())
    if place is None:
        raise ConfigurationError(
            "CASPIO_SYNC_NOTIFY_URL is no address that Apprise knows; write one such as mailtos://…, slack://… or json://…"
        )
    if not test:
        OUT.print(f"Messages go out by {escape(place)}. `caspio-sync notify --test` sends one.")
        return
    if not asyncio.run(delivered(url.get_secret_value(), "caspio-sync: a test", _TEXT, "success")):
        raise CaspioSyncError(
            f"{place} did not take the message within 20 seconds. Check the address in CASPIO_SYNC_NOTIFY_URL, and "
            "whether this machine reaches that place."
        )
    OUT.print(f"{escape(place)} took the message; look whether it is there.")
