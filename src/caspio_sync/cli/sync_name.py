"""The name of a sync on the command line: given as it is, or as the path to its file, which is what Tab offers."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Protocol

import typer

from caspio_sync.errors import ConfigurationError
from caspio_sync.sync_files import FILE_VARIABLE, SyncFiles, bare_name, fault_in_name


def new_name(given: str) -> str:
    """The name of a sync that is to be made.

    Raises:
        ConfigurationError: it is none.
    """
    from caspio_sync.settings import local_settings

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
    from caspio_sync.settings import local_settings  # pydantic, which a bare name needs none of

    files = local_settings().sync_files
    if (name := files.named(given)) is not None:
        return name
    path = Path(given).absolute()
    SyncFiles(files.folder, path).path(path.stem)  # refuses a name that is taken
    os.environ[FILE_VARIABLE] = str(path)
    return path.stem


class _Named(Protocol):
    """Settings that know sync files."""

    @property
    def syncs(self) -> Path: ...
    @property
    def sync_files(self) -> SyncFiles: ...


class _Run(Protocol):
    """A ledger that knows runs."""

    def sync_names(self) -> Iterable[str]: ...


def chosen_syncs(settings: _Named, ledger: _Run, sync: str | None) -> list[str]:
    """The one asked for, or all: those with a file, and those that the ledger knows a run of.

    Raises:
        ConfigurationError: it has neither a file nor a run.
    """
    if sync is not None and settings.sync_files.path(sync).is_file():
        return [sync]
    ran = list(ledger.sync_names())
    if sync is not None and sync in ran:
        return [sync]
    known = sorted({*settings.sync_files.names, *ran})
    if sync is None:
        return known
    there = f"there are: {', '.join(known)}" if known else f"write one with `caspio-sync init {sync} --table T`"
    raise ConfigurationError(f"{sync}: no sync of this name, neither in {settings.syncs} nor in the ledger; {there}")


HELP = "Name of a sync, or its file."
SyncName = Annotated[str, typer.Argument(parser=sync_named, metavar="SYNC", help=HELP)]
AnySyncName = Annotated[
    str | None, typer.Argument(parser=sync_named, metavar="[SYNC]", help=f"{HELP} All of them without it.")
]
