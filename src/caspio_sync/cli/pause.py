"""`caspio-sync pause` and `resume`: stop what is sent, on every machine that shares the ledger."""

from typing import Annotated

import typer
from rich.markup import escape

from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.show import OUT
from caspio_sync.cli.sync_name import AnySyncName, chosen_syncs
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.store import Ledger
from caspio_sync.settings import local_settings

All = Annotated[bool, typer.Option("--all", help="All syncs of this ledger, those to come as well.")]


def pause(
    sync: AnySyncName = None,
    every: All = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Opt-outs and erasures do not leave either; nothing is read.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for who looks at `status`; no customer's name.")] = "",
) -> None:
    """Have every run on this ledger send nothing more, whoever starts it: opt-outs and erasures apart.

    A run under way sends nothing from the next second or two on, and ends within about a minute as interrupted; what
    has left already is recorded. Runs that begin under the pause let opt-outs leave and erase people, and end with
    exit code 3; the cursor stays. Nobody is sent a message about them. `resume` ends it.

    Example: `caspio-sync pause customers --reason "wrong mapping"`
    """
    settings = local_settings()
    with open_ledger(settings) as ledger:
        name = _chosen(sync, every, ledger)
        ledger.pause(name, everything=everything, reason=reason.strip())
    kept = "nothing is read or sent" if everything else "opt-outs and erasures alone are sent"
    whose = "all syncs are" if name is None else f"{name} is"
    OUT.print(f"{escape(whose)} paused: {kept}, until `caspio-sync resume {escape(name or '--all')}`", soft_wrap=True)


def resume(sync: AnySyncName = None, every: All = False) -> None:
    """End a pause: the next runs send what has waited.

    A pause of all syncs is ended by --all, and leaves those of single ones as they are.

    Example: `caspio-sync resume customers`
    """
    settings = local_settings()
    with open_ledger(settings) as ledger:
        name = _chosen(sync, every, ledger)
        ended = ledger.resume(name)
        still = None if name is None else ledger.paused(name)
    whose = "the pause of all syncs" if name is None else f"the pause of {name}"
    if not ended and still is None:
        raise ConfigurationError(f"{whose} cannot be ended: there is none; `caspio-sync status` shows who is paused")
    if still is not None:
        over = f"{whose} is over, but" if ended else f"{name} has no pause of its own;"
        raise ConfigurationError(f"{over} all syncs are paused: `caspio-sync resume --all`")
    OUT.print(f"{escape(whose)} is over", soft_wrap=True)


def _chosen(sync: str | None, every: bool, ledger: Ledger) -> str | None:
    """The sync that is meant; None for all of them.

    Raises:
        ConfigurationError: neither is, or both are, or nobody knows the sync.
    """
    if (sync is None) != every:
        raise ConfigurationError("name one sync, or say --all")
    if sync is not None:
        chosen_syncs(local_settings(), ledger, sync)
    return sync
