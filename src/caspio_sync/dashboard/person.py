"""What is told of one row, as the page shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A field as it is mapped now.

    Args:
        name: what it is called where it goes.
        value: for people, masked unless values were asked for.
        state: `equal` to what was last acknowledged, `differs`, or `never sent`.
        ill_formed: whether the value is not well-formed.
        consent: whether it is a subscription state.
    """

    name: str
    value: str
    state: str
    ill_formed: bool
    consent: bool


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """One thing that became of the row: when, the verdict, in which request, why, and which fields travelled."""

    at: datetime
    verdict: str
    part: str
    run: str | None
    request: str
    reason: str | None
    fields: Sequence[str]


@dataclass(frozen=True, slots=True)
class Story:
    """A row's story.

    Args:
        title: which row it is.
        lines: how it stands, in sentences.
        fields: as it is mapped; none where Caspio could not be asked.
        source: the cells in Caspio, masked unless values were asked for.
        failed: expectations of the gate that are not met: name, severity, why it exists.
        passed: names of those that are.
        outcomes: newest first.
    """

    title: str
    lines: Sequence[str]
    fields: Sequence[FieldLine]
    source: Sequence[tuple[str, str]]
    failed: Sequence[tuple[str, str, str]]
    passed: Sequence[str]
    outcomes: Sequence[OutcomeLine]


Tell = Callable[[str, str, int | None, bool], Story]
"""Tells of a sync's row with a key (of several, of the one with this PK_ID), values shown or masked.

It raises CaspioSyncError, whose text is for people.
"""
