"""Options that take a moment."""

from datetime import datetime

import typer

from caspio_sync.moment import read_moment


def parse_moment(text: str | datetime) -> datetime | None:
    """A moment as an option gives it.

    Raises:
        typer.BadParameter: it is none; the command ends with exit code 2.
    """
    try:
        return read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
