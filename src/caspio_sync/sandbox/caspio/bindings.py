"""A statement's parameters: numbered once for its shape, filled anew for every call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caspio_sync.sandbox.caspio.behaviour import sql_error
from caspio_sync.sandbox.caspio.time import read_literal

NUMERIC = frozenset({"integer", "number", "bit"})


@dataclass(frozen=True, slots=True)
class Call:
    """What differs between two calls of one shape."""

    literals: tuple[str, ...] = ()
    now: str = ""
    utc_now: str = ""
    shuffle: int = 1
    limit: int = 0
    offset: int = 0


Bound = Callable[[Call], Any]


@dataclass(slots=True)
class Bindings:
    """The numbered parameters of a statement, filled call by call."""

    made: list[Bound] = field(default_factory=list)

    def add(self, bound: Bound) -> str:
        """A new parameter."""
        self.made.append(bound)
        return f"?{len(self.made)}"

    def fill(self, call: Call) -> list[Any]:
        """The parameters' values in a call.

        Raises:
            Refusal: a literal cannot be converted to the type it is compared with.
        """
        return [bound(call) for bound in self.made]


def converted(text: str, kind: str, sign: int = 1) -> Any:
    """A literal as a value of that kind.

    Raises:
        Refusal: as SQL Server refuses the conversion.
    """
    try:
        if kind == "date":
            # T-SQL reads a blank as the first day it counts from: `Due = ''` finds nothing and is no error.
            return read_literal(text) if text.strip() else "1900-01-01T00:00:00"
        if kind in NUMERIC:
            word = {"true": "1", "false": "0"}.get(text.strip().lower(), text) if kind == "bit" else text
            number = float(word.strip() or 0)
            return sign * (int(word) if word.strip().lstrip("+-").isdecimal() else number)
    except ValueError:
        wanted = {"date": "date and/or time", "integer": "data type int", "bit": "data type bit"}.get(
            kind, "data type float"
        )
        raise sql_error(f"Conversion failed when converting a character string to {wanted}.") from None
    return text
