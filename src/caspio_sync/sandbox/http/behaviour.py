"""What the emulated endpoint is set to."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SANDBOX_SECRET = "sandbox-http-secret"  # noqa: S105 - the emulator's own, known to everybody
SIGNING_SECRET = "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0zMi1ieXRlcyE="  # noqa: S105 - as above
USER = "sandbox"


class HttpBehaviour(BaseModel):
    """Its settings.

    Times are seconds.
    """

    model_config = ConfigDict(extra="forbid")

    # Who may ask: by the secret as a password, a token or a header; by a token of /token; by a signature.
    auth: Literal["none", "basic", "bearer", "header", "oauth2", "hmac"] = "bearer"
    token_seconds: int = 3600  # that a token of /token lasts
    signature_seconds: int = 300  # by which a timestamp may be off (Standard Webhooks)

    idempotency: Literal["off", "taken", "needed"] = "taken"  # of the header Idempotency-Key, for writes
    requests_per_second: int | None = None
    latency_ms: float = 0.0  # milliseconds until it answers
    most_rows: int = 1000  # of a request
    refuses: Literal["rows", "request"] = "rows"  # what is refused where a row is ill-formed
    taken_status: Literal[200, 201, 202, 204] = 200
    answers: Literal["json", "empty", "page"] = "json"  # to what was taken
