"""What commands print: tables and messages for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


def show_error(message: str) -> None:
    """An error: what happened, where, what to do next."""
    ERR.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def show_json(value: Any) -> None:
    """One JSON document on standard output, nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """A table.

    Args:
        title: above it; "" for none.
        columns: heads.
        rows: cells, shown as text.
        right: heads of the columns that hold numbers.
    """
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(number(cell) if isinstance(cell, int) else escape(str(cell)) for cell in row))
    OUT.print(table)


def number(value: float) -> str:
    """A number as people read it: 1,234 or 0.25."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    return (
        "a second" if seconds <= 1 else f"{seconds:.0f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))
    )
