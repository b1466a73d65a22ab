"""Objects and arrays of objects as final JSON text.

A null inside can undo a whole update (Braze, nested custom attributes), so that keys without a value are left out.
Every object begins with a sentinel, so that each null has a comma before it, and one expression takes them all away. It
cannot match inside a string, where each quote has a backslash; keys hold neither (`ValueRules.fault_in_key`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

_SENTINEL = "~"


@dataclass(frozen=True, slots=True)
class Member:
    """A value inside an object.

    Args:
        key: its key.
        value: expression over the working frame; null where there is none. Not used where `members` are given.
        constant: whether it is the same for every row: it does not make an object on its own.
        decimal: whether it is a number with decimals.
        under: the key of an object of its own in which it stands, such as `{"$time": "…"}`; None where it stands bare.
        members: of an object inside the object.
    """

    key: str
    value: pl.Expr
    constant: bool = False
    decimal: bool = False
    under: str | None = None
    members: tuple["Member", ...] = ()


def json_object(members: Sequence[Member]) -> pl.Expr:
    """The members as JSON text without those that have no value; null where a row has no value of its own."""
    if not members:  # none of them fits the table, which is told elsewhere
        return pl.lit(None, dtype=pl.String)
    text = _structure(members).struct.json_encode()
    if _can_lack_some(members):
        null = f",(?:{'|'.join(_absent(members))})"
        text = text.str.replace_all(f'"{_SENTINEL}":0(?:{null})*,?|{null}', "")
    present = _present(members)
    return text if present is None else pl.when(present).then(text)


def decimals(members: Sequence[Member]) -> tuple[str, ...]:
    """The keys of numbers with decimals, inner objects included, sorted."""
    own = {member.key for member in members if member.decimal}
    return tuple(sorted(own.union(*(decimals(member.members) for member in members))))


def json_array(objects: Sequence[pl.Expr]) -> pl.Expr:
    """Objects as the JSON text of an array; null where there is none."""
    joined = pl.concat_str(*objects, separator=",", ignore_nulls=True)
    return pl.when(joined.str.len_bytes() > 0).then(pl.concat_str(pl.lit("["), joined, pl.lit("]")))


def _structure(members: Sequence[Member]) -> pl.Expr:
    values = (_value(member).alias(member.key) for member in members)
    return pl.struct(pl.lit(0).alias(_SENTINEL), *values) if _can_lack_some(members) else pl.struct(*values)


def _can_lack_some(members: Sequence[Member]) -> bool:
    """Whether an object that is there at all can lack a key: not when a single one decides that it is there."""
    return sum(not member.constant for member in members) > 1 or any(member.members for member in members)


def _value(member: Member) -> pl.Expr:
    if member.under is not None:
        return pl.struct(member.value.alias(member.under))
    if not member.members:
        return member.value
    present = _present(member.members)
    inner = _structure(member.members)
    return inner if present is None else pl.when(present).then(inner)


def _present(members: Sequence[Member]) -> pl.Expr | None:
    own = [condition for member in members if (condition := _has_value(member)) is not None]
    return pl.any_horizontal(own) if own else None


def _has_value(member: Member) -> pl.Expr | None:
    if member.members:
        return _present(member.members)
    return None if member.constant else member.value.is_not_null()


def _absent(members: Sequence[Member]) -> Iterator[str]:
    for member in members:
        null = "null" if member.under is None else re.escape(f'{{"{member.under}":null}}')
        yield f'"{re.escape(member.key)}":{null}'
        yield from _absent(member.members)
