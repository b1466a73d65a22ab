"""One thing that was looked at, as `check` and `doctor` show it, and how an error becomes such."""

from dataclasses import dataclass
from typing import Literal

from caspio_sync.errors import CaspioSyncError, TransientError

Level = Literal["ok", "warning", "error"]

_TRY_AGAIN = "try again in a minute; where it stays, check the address, the network and the service's status page"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: "ok"; "warning" where a run works but not as well as it could; "error" where it would be refused.
        what: what was found, without secrets or values of rows.
        remedy: what to do about it; "" for nothing.
    """

    level: Level
    what: str
    remedy: str = ""


def findings_of(error: CaspioSyncError) -> list[Finding]:
    """An error as findings: one a line, since definition and mapping list all that is wrong at once."""
    lines = str(error).splitlines() or [type(error).__name__]
    indented = [line.strip() for line in lines if line.startswith(" ")]
    if indented:  # the settings' form: a heading, what is wrong, what to do
        return [Finding("error", f"settings: {line}", lines[-1].strip()) for line in indented]
    return [_finding(line, error) for line in lines]


def _finding(line: str, error: CaspioSyncError) -> Finding:
    what, _, remedy = line.partition("; ")
    return Finding("error", what, remedy or (_TRY_AGAIN if isinstance(error, TransientError) else ""))
