"""What `caspio-sync check` finds, and how an error becomes findings."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from caspio_sync.clients.caspio import CaspioClient, Source
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.private_files import is_open

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


def private_findings(env_file: Path, home: Path) -> Iterator[Finding]:
    """What other users of this machine could read: the keys of both accounts, and what people's rows became.

    Args:
        env_file: the settings file; it need not be there.
        home: the state folder; whatever command runs next closes it, where it may.
    """
    if is_open(env_file):
        yield Finding(
            "warning",
            f"{env_file} can be read by other users of this machine, and it holds the keys of both accounts",
            f"`chmod 600 {env_file}`",
        )
    if is_open(home):
        yield Finding(
            "warning",
            f"the state folder {home} can be entered by other users of this machine (ledger, inbox, Prefect's records)",
            f"`chmod 700 {home}`, by its owner; or let CASPIO_SYNC_HOME name a folder of its own",
        )


async def refuse_missing(caspio: CaspioClient, source: Source) -> int:
    """Look the table or view up among those that the profile can read.

    Returns:
        How many tables (or views) there are.

    Raises:
        ConfigurationError: it is not among them; the nearest names are given.
        TransientError: Caspio did not answer.
    """
    names = await (caspio.views() if source.is_view else caspio.tables())
    if source.name.lower() in {name.lower() for name in names}:
        return len(names)
    kind = "view" if source.is_view else "table"
    lower = {name.lower(): name for name in names}
    close = [lower[name] for name in get_close_matches(source.name.lower(), lower, n=3)]
    readable = ", ".join(sorted(names)[:20]) or "none"
    shown = f"did you mean {' or '.join(close)}?" if close else f"it can read: {readable}."
    raise ConfigurationError(
        f"Caspio has no {kind} {source.name!r} that this web services profile can read; {shown} "
        f"Correct the name, or give the profile the right to the {kind}"
    )
