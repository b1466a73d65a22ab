"""Where an account is, and the key that it is asked with: checked before the first call."""

import httpx
from pydantic import SecretStr

from caspio_sync.errors import ConfigurationError


def base_url(url: str) -> str:
    """Where the calls of an account go, from its API URL, with or without `/api/3`.

    Raises:
        ConfigurationError: it is no address.
    """
    base = url.strip().rstrip("/").removesuffix("/api/3")
    try:
        read = httpx.URL(base)
    except httpx.InvalidURL:
        read = httpx.URL("")
    if read.scheme not in {"https", "http"} or not read.host:
        raise ConfigurationError(
            "ACTIVECAMPAIGN_URL: is no address; copy the API URL of Settings > Developer, such as "
            "https://account.api-us1.com"
        )
    return f"{base}/api/3"


def checked_key(key: SecretStr) -> str:
    """An API key, as a header bears it.

    Raises:
        ConfigurationError: it is empty, or holds what no header bears.
    """
    text = key.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("ACTIVECAMPAIGN_KEY is empty or holds characters no key has; copy it again")
    return text
