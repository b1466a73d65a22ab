"""`caspio-sync why` and `schema`: looking things up, without changing anything."""

from typing import Annotated

import typer

from caspio_sync.characters import trimmed
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.show import show_json
from caspio_sync.cli.sync_name import SyncName
from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.sync_file import sync_json_schema
from caspio_sync.settings import LocalSettings, current_settings


def why(
    sync: SyncName,
    key: Annotated[str, typer.Argument(help="Value of the row's identity field, such as a customer number.")],
    pk: Annotated[
        int | None, typer.Option("--pk", help="PK_ID of the row that is meant, where several bear the key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell a row's story: its values now, mapped and judged, and when each version was sent and what Braze answered.

    The row is read from Caspio again, for the ledger keeps no values: they are shown here and nowhere else. Where
    Caspio cannot be reached, the ledger's part is shown. Exit code 2 where nobody knows the key.

    Example: `caspio-sync why customers 17850`
    """
    from caspio_sync.cli.why import as_document, show, tell  # the engine's whole line, of which `schema` needs nothing

    if not trimmed(key):
        raise ConfigurationError("the key is empty; give the value of the row's identity field")
    settings = current_settings()
    with open_ledger(settings) as ledger:
        told = tell(settings, ledger, sync, key, pk=pk)
    if as_json:
        show_json(as_document(told))
    else:
        show(told)


def schema() -> None:
    """Print the JSON Schema of the sync file, by which editors complete and check it.

    Example: `caspio-sync schema > syncs/sync.schema.json`, and as the first line of a sync file
    `# yaml-language-server: $schema=sync.schema.json`
    """
    show_json(sync_json_schema())


def open_ledger(settings: LocalSettings) -> Ledger:
    """The ledger of this process's connections."""
    connect = CONNECT.get()
    return connect.ledger(settings, connect.clock)
