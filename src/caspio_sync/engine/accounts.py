"""The accounts in the settings beside those that the ledger tells of, and what an address is known by."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from caspio_sync.ledger.workspace import Workspace, key_digest

THIS_MACHINE = "this machine"  # emulators, whose ports change


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts in the settings, held against those that the ledger knows of a sync.

    Args:
        present: those in the settings.
        known: those in the ledger, None where it knows none yet.
    """

    present: Workspace
    known: Workspace | None

    @property
    def changed(self) -> bool:
        """Whether the ledger is still to learn of the present ones."""
        return self.present != self.known


def workspace_of(*, caspio: str, destination: str, address: str, key: str, salt: int) -> Workspace:
    """The accounts at these addresses, as the ledger with this salt knows accounts.

    Args:
        caspio: integration URL.
        destination: its name.
        address: URL of the destination.
        key: the secret by which its account is known.
        salt: of the ledger.
    """
    return Workspace(host_of(caspio), destination, host_of(address), key_digest(key, salt))


def caspio_account(integration_url: str) -> str:
    """What the account's calls are counted under: its host."""
    text = integration_url.strip()
    return urlsplit(text if "://" in text else f"https://{text}").netloc.lower()


def host_of(address: str) -> str:
    """What an address is known by: its host, and a port of its own; one word for every loopback address."""
    text = address.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host = (parts.hostname or "").rstrip(".")
    if _is_loopback(host):
        return THIS_MACHINE
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return host if parts.port in {None, usual} else f"{host}:{parts.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
