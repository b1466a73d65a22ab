"""Views of the account that a user writes as a query."""

import re

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.caspio.behaviour import Refusal
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox

_VIEW = re.compile(r"\s*(\w+)\s*=\s*SELECT\s+(.+?)\s+FROM\s+(\w+)(?:\s+WHERE\s+(.+))?", re.IGNORECASE | re.DOTALL)


def make_view(sandbox: CaspioSandbox, view: str) -> None:
    """Make a view from `NAME=SELECT fields FROM table WHERE condition`.

    Raises:
        ConfigurationError: it is written in another way, or the account refuses it.
    """
    match = _VIEW.fullmatch(view)
    if match is None:
        raise ConfigurationError(f"--view {view}: write NAME=SELECT field, field FROM table WHERE condition")
    name, fields, table, where = match.groups()
    try:
        sandbox.create_view(name, table, [field.strip() for field in fields.split(",")], where)
    except Refusal as refusal:
        raise ConfigurationError(f"--view {view}: {refusal.message}") from refusal
