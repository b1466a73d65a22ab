"""The accounts that a ledger tells of, as they are compared. Known without SQLAlchemy."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a sync reads from, and where it sends to.

    Args:
        caspio: host of the Caspio account.
        destination: its name.
        address: host of the destination, which many accounts may share.
        destination_key: salted hash of the key there, which belongs to one account.
    """

    caspio: str
    destination: str
    address: str
    destination_key: str


def key_digest(api_key: str, salt: int) -> str:
    """Hex of 16 bytes: the key's hash with the ledger's salt, by which nobody finds the key or meets it elsewhere."""
    return blake2b(api_key.encode(), key=salt.to_bytes(8, "big"), digest_size=16).hexdigest()
