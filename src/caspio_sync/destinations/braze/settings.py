"""Where the Braze workspace is, and what may be asked of it."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from caspio_sync.destinations.braze.plain import BRAZE_ENDPOINTS
from caspio_sync.settings import DestinationSettings, in_secret, on_this_machine, readable, upper


class BrazeSettings(DestinationSettings):
    """The settings of Braze, each named as its environment variable in `.env.example`."""

    ACCOUNT: ClassVar = ("BRAZE_INSTANCE", "BRAZE_REST_ENDPOINT", "BRAZE_API_KEY")
    WHOLE: ClassVar = "BRAZE_INSTANCE"

    braze_instance: Annotated[str | None, BeforeValidator(upper)] = Field(
        default=None, description="instance, such as EU-01; or set BRAZE_REST_ENDPOINT"
    )
    braze_rest_endpoint: str | None = Field(default=None, description="REST endpoint, https://rest.…")
    braze_api_key: SecretStr = Field(min_length=1, description="REST API key with users.track and users.export.ids")
    braze_track_limit: int = Field(
        default=3000, ge=1, description="/users/track requests in 3 s, until Braze says otherwise"
    )
    braze_connections: int = Field(default=64, ge=1, le=128)

    _endpoint_readable = field_validator("braze_rest_endpoint")(readable)
    _endpoint_in_secret = field_validator("braze_rest_endpoint")(in_secret)

    @model_validator(mode="after")
    def _one_endpoint(self) -> "BrazeSettings":
        if self.braze_rest_endpoint is None and self.braze_instance not in BRAZE_ENDPOINTS:
            known = ", ".join(BRAZE_ENDPOINTS)
            raise ValueError(f"set BRAZE_INSTANCE to one of {known}, or BRAZE_REST_ENDPOINT to its URL")
        on_this_machine(self.braze_endpoint, sandbox=self.sandbox)
        return self

    @property
    def braze_endpoint(self) -> str:
        """REST base URL of the Braze instance, without a trailing slash."""
        return (self.braze_rest_endpoint or BRAZE_ENDPOINTS[str(self.braze_instance)]).rstrip("/")
