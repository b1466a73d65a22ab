"""The secrets of endpoints, by the names that sync files have for them."""

from typing import Any, ClassVar

import orjson
from pydantic import Field, SecretStr, field_validator

from caspio_sync.settings import DestinationSettings


class HttpSettings(DestinationSettings):
    """The one setting of endpoints, named as its environment variable in `.env.example`: sync files say the rest."""

    WHOLE: ClassVar = "HTTP_SECRETS"

    http_secrets: SecretStr = Field(
        default=SecretStr("{}"), description='secrets that sync files name, as JSON: {"warehouse": "…"}'
    )

    @field_validator("http_secrets", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        return given if isinstance(given, str | SecretStr) else orjson.dumps(given).decode()

    @field_validator("http_secrets")
    @classmethod
    def _readable(cls, given: SecretStr) -> SecretStr:
        try:
            read = orjson.loads(given.get_secret_value())
        except orjson.JSONDecodeError:
            read = None
        if not isinstance(read, dict) or not all(
            isinstance(each, str) and _is_sendable(each) for each in read.values()
        ):
            raise ValueError('is no JSON object of printable ASCII texts; write such as {"warehouse": "…"} on one line')
        return given

    @property
    def secrets(self) -> dict[str, SecretStr]:
        """Each secret by its name."""
        return {name: SecretStr(value) for name, value in orjson.loads(self.http_secrets.get_secret_value()).items()}


def _is_sendable(secret: str) -> bool:
    """Whether a header can hold it: nothing that ends a line, and nothing of which two sides make different bytes."""
    return secret != "" and secret == secret.strip() and secret.isascii() and secret.isprintable()
