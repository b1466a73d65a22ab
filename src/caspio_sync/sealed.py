"""Bytes that hold what people told somebody else, sealed where they are kept: Fernet, which is AES and an HMAC.

    CASPIO_SYNC_PAYLOAD_KEYS=NEW,OLD      the first key seals, each of them opens

Whoever has the database alone reads nothing of it. A key is let go of once nothing is kept that it has sealed.
"""

import zlib

from pydantic import SecretStr

from caspio_sync.deferred import fernet
from caspio_sync.errors import ConfigurationError

KEYS_VARIABLE = "CASPIO_SYNC_PAYLOAD_KEYS"
_MAKE_ONE = "openssl rand -base64 32 | tr '+/' '-_'"


class Sealer:
    """Seals and opens.

    Args:
        keys: as the setting has them: one, or several with commas between; the first seals.

    Raises:
        ConfigurationError: there is none, or one is no such key.
    """

    def __init__(self, keys: SecretStr | None) -> None:
        if keys is None:
            raise ConfigurationError(
                f"{KEYS_VARIABLE} is not set; what is posted is kept sealed. Make one: {_MAKE_ONE}"
            )
        try:
            self._keys = fernet.MultiFernet(
                [fernet.Fernet(each.strip()) for each in keys.get_secret_value().split(",")]
            )
        except ValueError:
            raise ConfigurationError(f"{KEYS_VARIABLE}: a key is 32 bytes in base64; make one: {_MAKE_ONE}") from None

    def seal(self, data: bytes) -> bytes:
        """The bytes, packed and sealed."""
        return self._keys.encrypt(zlib.compress(data, 1))

    def opened(self, sealed: bytes) -> bytes | None:
        """What was sealed; None where it was by none of these keys, or is not whole."""
        try:
            return zlib.decompress(self._keys.decrypt(sealed))
        except fernet.InvalidToken:
            return None

    def open(self, sealed: bytes) -> bytes:
        """As `opened`.

        Raises:
            ConfigurationError: it was sealed by none of these keys, or altered since.
        """
        opened = self.opened(sealed)
        if opened is None:
            raise ConfigurationError(
                f"what was posted cannot be opened by {KEYS_VARIABLE}: it was sealed with another key, or altered "
                "since. Write the former key behind the present one, with a comma"
            )
        return opened


def new_key() -> str:
    """A key, from the system's source of chance."""
    return fernet.Fernet.generate_key().decode()
