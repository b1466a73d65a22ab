"""A row is gone only where Caspio's count says so as well."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from caspio_sync.caspio.client import Aggregate, RecordPage, Source
from caspio_sync.caspio.rows_by_key import rows_by_key
from caspio_sync.errors import TransientError
from caspio_sync.schemas import SOURCE_PK, CaspioField

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = CaspioField("PK_ID", "AUTONUMBER")


class Table:
    """Rows by key; `gives` says which of the found ones an answer holds, `counts` what it says of their number."""

    def __init__(self, keys: Sequence[int]) -> None:
        self.keys = set(keys)
        self.gives: Callable[[list[int]], list[int]] = list
        self.counts: Callable[[int], object] = int
        self.calls: list[str] = []

    def _found(self, where: str) -> list[int]:
        asked = where.partition(" IN (")[2].partition(")")[0]
        return [key for key in map(int, asked.split(",")) if key in self.keys]

    async def records(self, source: Source, *, where: str | None, **_query: Any) -> RecordPage:
        self.calls.append("rows")
        return RecordPage(orjson.dumps([{"PK_ID": key} for key in self.gives(self._found(where or ""))]), NOW)

    async def aggregate(self, source: Source, *, select: str, where: str | None) -> Aggregate:
        assert select == "COUNT(PK_ID) AS row_count"
        self.calls.append("count")
        return Aggregate({"row_count": self.counts(len(self._found(where or "")))}, NOW)


def found(table: Table, keys: Sequence[int]) -> list[int]:
    frame = asyncio.run(rows_by_key(table, Source("T"), KEY, keys, where="A=1"))
    return sorted(frame[SOURCE_PK].to_list())


@pytest.mark.parametrize(
    ("there", "asked", "calls"),
    [
        ([1, 2, 3], [1, 2, 3], ["rows"]),
        ([1, 3], [1, 2, 3], ["rows", "count"]),
        ([], [1, 2], ["rows", "count"]),
        ([1], [1, 1, 1], ["rows"]),
        ([1], [], []),
    ],
)
def test_only_what_is_missing_is_counted(there: list[int], asked: list[int], calls: list[str]) -> None:
    table = Table(there)
    assert found(table, asked) == sorted(set(there) & set(asked))
    assert table.calls == calls


@pytest.mark.parametrize(
    ("gives", "counts"),
    [
        (lambda _: [], int),
        (lambda keys: keys[:2], int),
        (lambda _: [], str),
        (list, lambda _: None),
        (list, lambda _: -1),
    ],
    ids=["nothing", "two of them", "counted as text", "no count", "a count below zero"],
)
def test_a_short_answer_makes_no_row_gone(gives: Any, counts: Any) -> None:
    table = Table([1, 2, 3])
    table.gives, table.counts = gives, counts
    with pytest.raises(TransientError, match="none is taken for gone"):
        found(table, [1, 2, 3, 4])


def test_many_keys_take_several_calls_and_every_short_one_is_counted() -> None:
    keys = list(range(10**7, 10**7 + 500))
    table = Table(keys[1:])
    assert found(table, keys) == keys[1:]
    assert table.calls.count("rows") == table.calls.count("count") > 1
