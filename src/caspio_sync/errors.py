"""Every error the project raises on purpose.

CaspioSyncError
├── ConfigurationError      a person has to change something: settings, sync file, table, permission (exit code 2)
├── GateBlockedError        a batch failed its gate; nothing of it was sent, opt-outs apart (exit code 3)
│   └── PausedError         somebody paused the sync: nothing is sent, opt-outs and erasures apart (exit code 3)
├── ShortfallError          rows are missing where each was to be counted; the cursor stays (exit code 4)
├── UnexpectedError         a bug: where it happened, and nothing of what was being worked on (exit code 1)
└── CallError               a call to Caspio or Braze failed as a whole (exit code 4)
    ├── TransientError      another attempt may help; carries the wait that was asked for
    ├── PermanentError      the same call will be refused again
    └── StoppedError        further calls would be made in vain, or billed twice: the run ends, the next one goes on
"""

import contextlib
import traceback
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Self


class CaspioSyncError(Exception):
    """What happened, where, and what to do next: the message is shown to the user as it is."""

    exit_code = 4


class ConfigurationError(CaspioSyncError):
    """Something a person has to change before a run makes sense; never retried."""

    exit_code = 2


class GateBlockedError(CaspioSyncError):
    """A batch failed its gate; the cursor stays where it was."""

    exit_code = 3


class PausedError(GateBlockedError):
    """Somebody paused the sync: no failure, and nobody is told."""


class ShortfallError(CaspioSyncError):
    """Rows that were read have no verdict: a run that ended well would lose them in silence."""


class UnexpectedError(CaspioSyncError):
    """A bug. The message of what was raised is left out: libraries quote the values they stumble over."""

    exit_code = 1

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """From any exception: its type, and the way to it through the code."""
        frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename != __file__]
        way = " > ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames[-8:])
        return cls(
            f"a bug of caspio-sync: {type(error).__name__} at {way or 'an unknown place'}. What was acknowledged is in "
            "the ledger, and the next run goes on from there; report this line, it holds no values."
        )


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Errors of ours pass; any other is raised as `UnexpectedError`, for its message may quote a customer."""
    try:
        yield
    except CaspioSyncError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        raise UnexpectedError.of(error) from None


class CallError(CaspioSyncError):
    """A call to Caspio or Braze that failed as a whole.

    Args:
        message: what was tried and how it ended, free of secrets and personal data.
        status: HTTP status, or None where no answer arrived.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TransientError(CallError):
    """Another attempt may help.

    Args:
        message: as for `CallError`.
        status: as for `CallError`.
        retry_after: seconds the other side asked to wait, None where it did not say.
        ambiguous: True where the other side may have taken the request (no answer, or a cut one).
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, ambiguous: bool = False
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after
        self.ambiguous = ambiguous

    @property
    def rate_limited(self) -> bool:
        """Whether the other side refused for being asked too often."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS


class LedgerFullError(CaspioSyncError):
    """The ledger's disk is full: what is to be written down waits until there is space."""


class PermanentError(CallError):
    """The same call will be refused again."""


class StoppedError(CallError):
    """Further calls would be made in vain, or billed twice: not repeated within the run, unlike a `TransientError`."""
