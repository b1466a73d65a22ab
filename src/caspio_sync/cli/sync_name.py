"""The name of a sync on the command line: given as it is, or as the path to its file, which is what Tab offers."""

import os
from pathlib import Path
from typing import Annotated

import typer

from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import SYNC_FILE_VARIABLE, local_settings
from caspio_sync.sync_files import SyncFiles, bare_name, fault_in_name


def new_name(given: str) -> str:
    """The name of a sync that is to be made.

    Raises:
        ConfigurationError: it is none.
    """
    inside = Path(given).parent in {Path(), local_settings().syncs}
    name = bare_name(given) if inside else given
    if (fault := fault_in_name(name)) is not None:
        raise ConfigurationError(fault)
    return name


def sync_named(given: str) -> str:
    """The name of the sync that is meant. A file from outside of the folder takes part in this command.

    Raises:
        ConfigurationError: it is no name, there is no such file, or another file of the folder bears its name.
    """
    if bare_name(given) == given:
        if (fault := fault_in_name(given)) is not None:
            raise ConfigurationError(fault)
        return given
    files = local_settings().sync_files
    if (name := files.named(given)) is not None:
        return name
    path = Path(given).absolute()
    SyncFiles(files.folder, path).path(path.stem)  # refuses a name that is taken
    os.environ[SYNC_FILE_VARIABLE] = str(path)
    return path.stem


HELP = "Name of a sync, or its file."
SyncName = Annotated[str, typer.Argument(parser=sync_named, metavar="SYNC", help=HELP)]
AnySyncName = Annotated[
    str | None, typer.Argument(parser=sync_named, metavar="[SYNC]", help=f"{HELP} All of them without it.")
]
