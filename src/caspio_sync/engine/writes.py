"""What travels by one call: the rows, the call, and how they are encoded."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from caspio_sync.delivery.requests import Envelope

KNOWN_AS = "_known_as"  # other keys by which the row's person may be known there (`Sink.follows_keys`)
# Keys that the row's person may have had, and nobody can tell: an opt-out of the row leaves for these as well.
LEFT_BEHIND = "_left_behind"
# Whether nobody waits for the row: a whole read, or a resend, brings it, and not that it has just changed.
QUIET = "_quiet"
# Names of automations that the row's person is to enter, and of those that the person may be entering already; null
# where there are none. A sync that enrols nobody has no such columns.
ENROL, ENROL_WAITS = "_enrol", "_enrol_waits"
MARKED = "_marked."  # and the name of a column: by what the membership is known that the row may take up again
OTHERS = (
    "_others."  # and the name of a column: whether others of its words may be there, by an earlier version of the row
)
KNOWN_THERE = "_known_there"  # whether the destination has the object, of this row or of the one that bore its key


@dataclass(frozen=True, slots=True)
class Write:
    """Rows that travel by one call.

    Args:
        rows: changes, in the order in which they leave.
        envelope: the call.
        encode: gives one JSON object a row.
    """

    rows: pl.DataFrame
    envelope: Envelope
    encode: Callable[[pl.DataFrame], pl.Series]
