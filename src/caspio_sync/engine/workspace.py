"""Are these the accounts that the ledger tells of? With others, every report would be green and nothing would be sent.

Caspio's account is known by its host; the destination's by its host, which many share, and by the key, which may be
rotated. A new key is one of the same account where it finds the profiles (or items) that were sent last.
"""

from typing import Protocol

from caspio_sync.clock import SystemClock
from caspio_sync.engine.accounts import Accounts, workspace_of
from caspio_sync.engine.connect import Connect, account_of
from caspio_sync.engine.destination import destination_named, destination_of, title_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.workspace import Workspace
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import Settings

ASKED = 20  # keys that were sent, of which
FOUND_SHARE = 0.8  # a rotated key must find so many: some profiles are deleted there


class _Remembering(Protocol):
    """A ledger that knows accounts."""

    @property
    def salt(self) -> int: ...
    def workspace(self, sync: str, /) -> Workspace | None: ...


def accounts(name: str, settings: Settings, ledger: _Remembering) -> Accounts:
    """The accounts of a sync, in the settings and in the ledger.

    Raises:
        ConfigurationError: the settings of its destination are not complete.
    """
    destination = destination_named(settings.destination(name))
    if destination.of_sync is not None:
        destination = destination.of_sync(load_sync(settings.sync_file(name)))
    account = account_of(destination, SystemClock())  # nobody is asked
    present = workspace_of(
        caspio=settings.caspio_integration_url,
        destination=destination.name,
        address=account.address,
        key=account.secret,
        salt=ledger.salt,
    )
    return Accounts(present, ledger.workspace(name))


async def known_accounts(
    name: str, settings: Settings, ledger: Ledger, connect: Connect, *, same: bool = False
) -> None:
    """Whether the sync may go on with the accounts in the settings; the destination is asked where its key changed.

    Args:
        name: name of the sync.
        settings: the accounts.
        ledger: what was sent; called in this thread.
        connect: how the destination is reached.
        same: a person's word that these are the accounts the ledger tells of (`--same-workspace`).

    Raises:
        ConfigurationError: they are others, or that cannot be told; the message names the ways on. Or as `load_sync`.
        TransientError: the destination did not answer.
    """
    sync = load_sync(settings.sync_file(name))  # first, for what is wrong in it is told with file and line
    found = accounts(name, settings, ledger)
    present, known = found.present, found.known
    if known is None or not found.changed:
        return
    destination = destination_of(sync)
    title, key = destination.title, f"the key of {destination.title} at {known.address} is another one"
    if known.destination != present.destination:  # whatever a person says of the accounts
        raise ConfigurationError(
            f"{sync.where('destination')}: the ledger tells of what went to {title_of(known.destination)}, and the "
            f"file names {title}, where nothing of it is. Nothing was read or sent. Give the file another name: then "
            "it is a sync of its own, whose first run sends every row"
        )
    if same:
        return
    for side, before, now in (
        ("Caspio", known.caspio, present.caspio),
        (title, known.address, present.address),
    ):
        if before != now:
            raise _others(name, f"the ledger tells of {side} at {before}, and the settings name {now}")
    keys = ledger.newest_sent(name, limit=ASKED)
    if not keys:
        # Where nothing was sent, nothing can be taken for sent; but people may be waiting for their erasure there.
        if not kind_of(sync).returns and not ledger.pending_erasures(name):
            return
        raise _others(name, f"{key}, and no profile is known to look for")
    try:
        async with connect.account(destination, connect.clock) as account:
            there = await destination.sink(sync).known(account, keys)
    except (ConfigurationError, PermanentError) as error:
        raise _others(
            name,
            f"{key}, and whether its workspace is the same cannot be told, for reading back what was sent failed: "
            f"{error}",
        ) from error
    if there < FOUND_SHARE * len(keys):
        raise _others(name, f"{key}, and it finds {there} of the {len(keys)} that were sent last")


def remember_accounts(name: str, settings: Settings, ledger: Ledger) -> None:
    """The accounts in the settings are the sync's from now on; to be called once `known_accounts` let it go on."""
    found = accounts(name, settings, ledger)
    if found.changed:
        ledger.remember_workspace(name, found.present, instead_of=found.known)


def _others(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name}: {why}. Nothing was read or sent. "
        f"If this is the same account and workspace under another name or key: `caspio-sync run {name} "
        "--same-workspace`. If it is another: give it a ledger of its own (CASPIO_SYNC_LEDGER_URL, or CASPIO_SYNC_HOME "
        "for another folder). There the first run is a full send of every row, and where the workspace holds them "
        f"already, `caspio-sync run {name} --baseline` records them as sent without sending"
    )
