"""Why a request was not delivered, as plain data: it crosses processes, and stands in an answer."""

from typing import Any

from caspio_sync.errors import CallError, ConfigurationError, StoppedError, TransientError

Failure = dict[str, Any]


def failure_of(error: CallError | ConfigurationError) -> Failure:
    """An error of a delivery as JSON takes it."""
    if isinstance(error, ConfigurationError):
        return {"error": "configuration", "message": str(error)}
    return {
        "error": "stopped" if isinstance(error, StoppedError) else "call",
        "message": str(error),
        "status": error.status,
        "retry_after": getattr(error, "retry_after", None),
    }


def error_of(failure: Failure) -> Exception:
    """The error that a failure was made of; of a call that failed it is open whether it was taken."""
    if failure["error"] == "configuration":
        return ConfigurationError(failure["message"])
    if failure["error"] == "stopped":
        return StoppedError(failure["message"], status=failure.get("status"))
    if failure["error"] == "bug":
        return RuntimeError(f"the sender process failed with {failure['message']}")
    return TransientError(
        failure["message"], status=failure.get("status"), retry_after=failure.get("retry_after"), ambiguous=True
    )
