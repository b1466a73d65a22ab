"""What `caspio-sync check` and `doctor` share: private files, whether a table is there, how findings are shown."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from rich.markup import escape

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.cli.show import OUT
from caspio_sync.engine.finding import Finding
from caspio_sync.errors import ConfigurationError
from caspio_sync.private_files import is_open

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def show_findings(findings: Sequence[Finding], indent: str = "") -> None:
    """Each with its level before it, and its remedy below."""
    for finding in findings:
        level = f"{indent}[{_STYLES[finding.level]}]{finding.level:<7}[/]"
        OUT.print(f"{level} {escape(finding.what)}", soft_wrap=True)
        if finding.remedy:
            OUT.print(f"{indent}        → {escape(finding.remedy)}", soft_wrap=True)


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
