"""The cheapest calls for a set of changes: v3 gives one set of values to all rows of a condition (Caspio, 3.5).

Rows that get the same values travel together, as many as `PK_ID IN (…)` fits into an address of 2,047 characters. Which
columns travel together decides how many calls there are: three columns of few values each are cheaper apart (the sum of
their values) or together (the product of them, but one call a row for all three). The planner begins with every column
alone, and puts those together that save calls, as long as any two do; where all together is cheaper, it takes that. So
there are never more calls than one a row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import polars as pl

from caspio_sync.errors import ConfigurationError
from caspio_sync.schemas import SOURCE_PK

CALL = "call"


@dataclass(frozen=True, slots=True)
class WriteCall:
    """One PUT.

    Args:
        columns: the columns it writes, the most important first.
        body: their values, as JSON.
        pks: PK_ID of the rows, ascending.
    """

    columns: tuple[str, ...]
    body: bytes
    pks: tuple[int, ...]

    def condition(self, key: str) -> str:
        """Its `q.where`."""
        return f"{key} IN ({','.join(map(str, self.pks))})"


def values_as_json(changes: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """source_pk, and for each column `"Name":value`, ready for a body; null where the column stays as it is.

    Args:
        changes: source_pk and the columns, null for what stays; times as wall clocks.
        columns: their names.
    """
    parts = []
    for name in columns:
        column = pl.col(name)
        value = column.dt.strftime("%Y-%m-%dT%H:%M:%S") if changes.schema[name].is_temporal() else column
        text = pl.struct(value.alias(name)).struct.json_encode()
        inner = text.str.strip_prefix("{").str.strip_suffix("}")
        parts.append(pl.when(column.is_not_null()).then(inner).alias(name))
    return changes.select(SOURCE_PK, *parts)


def plan_calls(changes: pl.DataFrame, columns: Sequence[str], *, room: int) -> list[WriteCall]:
    """The calls that write every change exactly once, those with the most important columns first.

    Args:
        changes: source_pk (unique) and the columns, null for what stays as it is.
        columns: their names, the most important first.
        room: characters that the keys of one call may take in the address, commas included.

    Raises:
        ConfigurationError: not even one key fits.
    """
    texts = values_as_json(changes, columns).sort(SOURCE_PK)
    longest = texts[SOURCE_PK].cast(pl.String).str.len_bytes().max()
    if not isinstance(longest, int):
        return []
    if longest > room:
        raise ConfigurationError(
            f"{room} characters of address are left for keys of {longest}; shorten the table's name"
        )
    present = [name for name in columns if texts[name].null_count() < texts.height]
    groups = _cheapest(texts, present, room)
    calls = [call for group in groups for call in _calls(texts, group, room)]
    place = {name: number for number, name in enumerate(columns)}
    # Of equally important ones first what reaches the most rows: a run that is cut short has done the most.
    return sorted(calls, key=lambda each: (place[each.columns[0]], -len(each.pks), each.pks[0]))


def count_calls(changes: pl.DataFrame, columns: Sequence[str], *, room: int) -> int:
    """How many calls `plan_calls` would plan."""
    return len(plan_calls(changes, columns, room=room))


def _cheapest(texts: pl.DataFrame, columns: Sequence[str], room: int) -> list[tuple[str, ...]]:
    """The columns put into groups that travel together, each in the order of `columns`."""
    costs: dict[tuple[str, ...], int] = {}

    def cost(group: tuple[str, ...]) -> int:
        if group not in costs:
            costs[group] = _chunked(texts, group, room).n_unique([*group, CALL])
        return costs[group]

    def joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in columns if name in {*one, *other})

    groups: list[tuple[str, ...]] = [(name,) for name in columns]
    while len(groups) > 1:
        savings = [
            (cost(one) + cost(other) - cost(joined(one, other)), one, other) for one, other in combinations(groups, 2)
        ]
        saved, one, other = max(savings, key=lambda each: each[0])
        if saved <= 0:
            break
        groups = [group for group in groups if group not in {one, other}] + [joined(one, other)]
    whole = tuple(columns)
    return groups if not columns or sum(map(cost, groups)) <= cost(whole) else [whole]


def _chunked(texts: pl.DataFrame, group: Sequence[str], room: int) -> pl.DataFrame:
    """The rows with a change in the group, and which chunk of those with the same values each is in."""
    rows = texts.select(SOURCE_PK, *group).filter(pl.any_horizontal(pl.col(name).is_not_null() for name in group))
    size = pl.col(SOURCE_PK).cast(pl.String).str.len_bytes().cast(pl.Int64) + 1
    # Each chunk takes the keys that end within its stretch; its first one may begin before it.
    stretch = room + 1 - rows.select(size.max()).item() if rows.height else 1
    ends = size.cum_sum().over(list(group))
    return rows.with_columns(((ends - 1) // max(1, stretch)).alias(CALL))


def _calls(texts: pl.DataFrame, group: Sequence[str], room: int) -> Iterator[WriteCall]:
    chunks = _chunked(texts, group, room).group_by([*group, CALL], maintain_order=True).agg(SOURCE_PK)
    for row in chunks.iter_rows(named=True):
        parts = {name: row[name] for name in group if row[name] is not None}
        body = "{" + ",".join(parts.values()) + "}"
        yield WriteCall(tuple(parts), body.encode(), tuple(row[SOURCE_PK]))


def within_budget(calls: Iterable[WriteCall], most: int | None) -> tuple[list[WriteCall], list[WriteCall]]:
    """The first calls up to a number, and the rest; all of them without one."""
    listed = list(calls)
    return (listed, []) if most is None else (listed[:most], listed[most:])
