"""Rows that messages of webhooks told whole, encrypted while they wait: whoever reads the database alone reads none.

Fernet: AES-128 and HMAC-SHA256. The first key encrypts, each of them decrypts: to replace one, put the new one first,
and take the old one out once what it encrypted is gone, which is a matter of days.
"""

from pydantic import SecretStr

from caspio_sync.deferred import fernet

KEYS_VARIABLE = "CASPIO_SYNC_PAYLOAD_KEYS"


class PayloadCipher:
    """Encrypts rows and decrypts them.

    Args:
        keys: as the setting has them: one, or several with commas between.
    """

    def __init__(self, keys: SecretStr) -> None:
        self._fernet = fernet.MultiFernet([fernet.Fernet(each.strip()) for each in keys.get_secret_value().split(",")])

    def seal(self, row: bytes) -> bytes:
        """The row, encrypted."""
        return self._fernet.encrypt(row)

    def open(self, sealed: bytes) -> bytes | None:
        """The row; None where it was encrypted by none of the keys, or is not whole."""
        try:
            return self._fernet.decrypt(sealed)
        except fernet.InvalidToken:
            return None


def new_key() -> str:
    """A key, from the system's source of chance."""
    return fernet.Fernet.generate_key().decode()
