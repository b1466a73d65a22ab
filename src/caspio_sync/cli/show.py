"""What commands print, and the one way out of the process: tables and messages for people, JSON and CSV for programs.

Printing never undoes work: a character that a pipe's code page lacks is printed as a question mark, control characters
of a customer's field never reach the terminal, and a reader that has gone (`| head`) is no error.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO

from rich.console import Console
from rich.errors import MarkupError
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from caspio_sync.characters import without_controls
from caspio_sync.errors import CaspioSyncError, ConfigurationError

if TYPE_CHECKING:
    from rich.progress import Progress

# JSON leaves them as they are, and terminals take U+009B for the begin of a command.
_C1 = re.compile(r"[\x7f-\x9f]")
# How a spreadsheet tells a formula: one in a customer's key would be run by whoever opens the file.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Screen(Console):
    """A terminal, file or pipe."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does; strings are markup, so values go through `escape`."""
        with _writing():
            super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text without control characters; where somebody forgot `escape`, as it is."""
        shown = without_controls(text)
        try:
            return super().render_str(shown, **options)
        except MarkupError:
            return super().render_str(escape(shown), **options)


def _on_broken_pipe(console: Console) -> None:
    """Print into nothing from now on, instead of ending the process with work half done."""
    _silence(console.file)


# Of every console: typer prints help and errors of use on its own.
Console.on_broken_pipe = _on_broken_pipe  # type: ignore[assignment]
OUT = Screen(highlight=False, emoji=False)
ERR = Screen(stderr=True, highlight=False, emoji=False)


def write(text: str) -> None:
    """Text as it is, on standard output."""
    with _writing():
        sys.stdout.write(text)


def flushed(code: int) -> int:
    """Print what is still held back.

    Args:
        code: exit code of the work.

    Returns:
        it; 4 where the work went well and standard output took less than all of it.
    """
    try:
        with _writing():
            sys.stdout.flush()
    except CaspioSyncError as error:
        _silence(sys.stdout)
        show_error(str(error))
        return code or error.exit_code
    return code


@contextlib.contextmanager
def written(output: Path | None, *, for_spreadsheets: bool = False) -> Iterator[TextIO]:
    """A file to write an export to, or standard output; always UTF-8, which loses no character.

    Args:
        output: None for standard output.
        for_spreadsheets: begin a file with the UTF-8 mark, without which Excel reads it in the system's code page.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    if output is None:
        if not sys.stdout.isatty() and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")
        with _writing():
            yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8-sig" if for_spreadsheets else "utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}; name another file") from error


def spreadsheet_cell(value: object) -> object:
    """A cell of a CSV file: text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        raise CaspioSyncError(
            f"the output cannot be written: {error.strerror or type(error).__name__}; what was done before is done"
        ) from error


def _silence(stream: IO[str]) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stream of a test has no descriptor
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def show_error(message: str) -> None:
    """An error: what happened, where, what to do next."""
    ERR.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def show_json(value: Any) -> None:
    """One JSON document on standard output, nothing else."""
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    text = json.dumps(value, indent=2, ensure_ascii=not unicode, default=str)
    write(_C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """A table.

    Args:
        title: above it; "" for none.
        columns: heads.
        rows: cells, shown as text.
        right: heads of the columns that hold numbers.
        whole: heads of the columns whose cells, all short, a person searches for; never broken over two lines.
    """
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*(number(cell) if isinstance(cell, int) else escape(str(cell)) for cell in row))
    OUT.print(table)


def progress_bar(*, quiet: bool) -> "Progress":
    """A bar on standard error, where that is a terminal; gone in the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=ERR, transient=True, disable=quiet or not ERR.is_terminal)


def number(value: float) -> str:
    """A number as people read it: 1,234 or 0.25."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def moment(at: datetime | None) -> str:
    """An instant as people read it, in UTC."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso_text(at: datetime | None) -> str | None:
    """An instant in JSON."""
    return None if at is None else at.isoformat()


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    return (
        "a second" if seconds <= 1 else f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
    )
