"""Making the planned calls, and what became of each row: Caspio's answer is held against what was asked.

A PUT writes the same values however often it is made, so one whose answer was lost is made once more. A POST is not:
its key is looked up first (Caspio, 3.4). `RecordsAffected` of fewer rows than were named means that some are
gone: they are looked up, and the others are as written (Caspio, 3.5).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from caspio_sync.caspio.client import MAX_PAGE_ROWS, CaspioClient, RefusedError, Source
from caspio_sync.caspio.query import encoded, in_list, literal
from caspio_sync.caspio.write_planner import WriteCall
from caspio_sync.concurrency import all_of
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.schemas import SOURCE_PK, Verdict

_MARGIN = 8  # characters of address: whoever counts them may count the scheme or the port otherwise
AT_ONCE = 8  # ten at once made 21 calls a second, one after the other three (Caspio, 3.4)
_REFUSED_OFTEN = 3  # refusals of a column that was never taken, after which the run leaves it out
GONE = "the row is gone from Caspio"
_SOME_VALUE = re.compile(r"InvalidInputValue|AlterReadOnlyData|SqlServerError")

WRITTEN_SCHEMA = pl.Schema(
    {SOURCE_PK: pl.Int64(), "column": pl.String(), "verdict": pl.String(), "reason": pl.String(), "status": pl.Int64()}
)


@dataclass(slots=True)
class Writer:
    """Writes to one table.

    Args:
        caspio: the client; its pace and the account's budget hold for every call.
        table: where to.
        key: the unique whole number by which rows are named: PK_ID.
        calls: PUTs that were made, repeated and refused ones included.
        refused: columns that the run leaves out, and keys of rows that could not be inserted, with Caspio's words.
    """

    caspio: CaspioClient
    table: Source
    key: str = "PK_ID"
    calls: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    _strikes: Counter[str] = field(default_factory=Counter)

    @property
    def room(self) -> int:
        """Characters of address for the keys of one call, commas included."""
        return self.caspio.update_budget(self.table) - len(encoded(f"{self.key} IN ()")) - _MARGIN

    async def write(self, calls: Sequence[WriteCall]) -> pl.DataFrame:
        """Make the calls, several at once, in their order.

        Returns:
            WRITTEN_SCHEMA: one row for each row and column: sent, rejected (refused, or the row is gone), or unknown
            (no answer to two attempts: it is read again by the next run).

        Raises:
            TransientError: Caspio takes no calls at all; those made so far are made again, which changes nothing.
            ConfigurationError: credentials, rights, the table.
        """
        done: list[pl.DataFrame] = []
        turn = asyncio.Semaphore(AT_ONCE)

        async def make(call: WriteCall) -> None:
            async with turn:
                done.append(await self._make(call))

        await all_of(make(call) for call in calls)
        return pl.concat([pl.DataFrame(schema=WRITTEN_SCHEMA), *done])

    async def _make(self, call: WriteCall) -> pl.DataFrame:
        """One call, without the columns that Caspio refuses."""
        values: dict[str, Any] = orjson.loads(call.body)
        outcomes: list[pl.DataFrame] = []
        while values:
            left_out = [name for name in values if name in self.refused]
            for name in left_out:
                outcomes.append(_outcomes(call.pks, [name], Verdict.REJECTED, self.refused[name]))
                del values[name]
            if not values:
                break
            try:
                affected = await self._put(values, call.condition(self.key))
            except (RefusedError, ConfigurationError, TransientError) as error:
                if isinstance(error, TransientError) and not _refuses(error):
                    if not error.ambiguous:
                        raise
                    outcomes.append(_outcomes(call.pks, list(values), Verdict.UNKNOWN, "no answer to two attempts"))
                    break
                said = _said(error)
                for name in self._blamed(error, said, values):
                    outcomes.append(_outcomes(call.pks, [name], Verdict.REJECTED, f"Caspio refuses {name}: {said}"))
                    self._strike(name, said)
                    del values[name]
                continue
            self._taken |= values.keys()
            outcomes.append(await self._checked(call.pks, list(values), affected))
            break
        return pl.concat([pl.DataFrame(schema=WRITTEN_SCHEMA), *outcomes])

    async def _put(self, values: Mapping[str, Any], where: str) -> int:
        self.calls += 1
        try:
            return await self.caspio.update(self.table, values, where=where)
        except TransientError as error:
            if not error.ambiguous or _refuses(error):
                raise
        self.calls += 1  # it may have been taken: the same values again are the same
        return await self.caspio.update(self.table, values, where=where)

    def _blamed(self, error: Exception, said: str, values: Mapping[str, Any]) -> list[str]:
        """The columns that Caspio names; where it refuses a value and names none, the only one or the least important.

        Raises:
            The error itself, where it is about the call and not about a column.
        """
        if isinstance(error, ConfigurationError) and "FieldNotFound" not in said:
            raise error
        # The fields stand at the end; words before it, such as "data", may be names of columns too.
        listed = said.rpartition(":")[2]
        named = [name for name in values if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", listed)]
        if not named and not _SOME_VALUE.search(said):
            raise error
        return named or [list(values)[-1]]

    def _strike(self, name: str, said: str) -> None:
        """Leave a column out from now on where it is not there, or was refused again and again and never taken."""
        self._strikes[name] += 1
        hopeless = self._strikes[name] >= _REFUSED_OFTEN and name not in self._taken
        if hopeless or not _SOME_VALUE.search(said):
            self.refused[name] = f"Caspio refuses {name}: {said}"

    async def _checked(self, pks: Sequence[int], columns: Sequence[str], affected: int) -> pl.DataFrame:
        """RecordsAffected held against the rows that were named; more of them is what triggered actions touched."""
        if affected >= len(pks):
            return _outcomes(pks, columns, Verdict.SENT, None)
        present = await self.present(pks)
        there = [pk for pk in pks if pk in present]
        gone = [pk for pk in pks if pk not in present]
        if len(there) == affected:
            written = _outcomes(there, columns, Verdict.SENT, None)
        else:
            why = f"Caspio counts {affected} of {len(there)} rows as written"
            written = _outcomes(there, columns, Verdict.UNKNOWN, why)
        return pl.concat([written, _outcomes(gone, columns, Verdict.REJECTED, GONE)])

    async def present(self, pks: Sequence[int]) -> set[int]:
        """Which of these rows are still in the table."""
        found: set[int] = set()
        for where in in_list(self.key, pks, self.caspio.where_budget(self.table, select=[self.key])):
            page = await self.caspio.records(self.table, select=[self.key], where=where, limit=MAX_PAGE_ROWS)
            found |= {int(row[self.key]) for row in orjson.loads(page.rows)}
        return found

    async def insert(self, row: Mapping[str, Any], *, unique: str) -> str:
        """Insert a row once: one whose answer was lost is looked up by its unique column before it is inserted again.

        Returns:
            A verdict: sent, rejected where Caspio refuses the row (`refused` has its words, under the row's key), or
            unknown where it could not be found out.

        Raises:
            TransientError: Caspio took nothing.
            ConfigurationError: credentials, rights, the table.
        """
        where = f"{unique}={literal(row[unique])}"
        for _ in range(2):
            self.calls += 1
            try:
                await self.caspio.insert(self.table, row)
            except TransientError as error:
                if _refuses(error):
                    return self._rejected(row[unique], error)
                if not error.ambiguous:
                    raise
            except PermanentError as error:
                # Taken, with an answer that holds no row; or refused as a second one of its key.
                return Verdict.SENT if await self._holds(where, unique) else self._rejected(row[unique], error)
            else:
                return Verdict.SENT
            if await self._holds(where, unique):
                return Verdict.SENT
        return Verdict.UNKNOWN

    def _rejected(self, key: Any, error: Exception) -> str:
        self.refused[str(key)] = f"Caspio refuses a row: {_said(error)}"
        return Verdict.REJECTED

    async def _holds(self, where: str, unique: str) -> bool:
        try:
            page = await self.caspio.records(self.table, select=[unique], where=where, limit=5)
        except RefusedError:  # a key that it cannot compare is in no row
            return False
        return bool(orjson.loads(page.rows))


def _outcomes(pks: Sequence[int], columns: Sequence[str], verdict: Verdict, reason: str | None) -> pl.DataFrame:
    rows = pl.DataFrame({SOURCE_PK: pl.Series(list(pks), dtype=pl.Int64)})
    names = pl.DataFrame({"column": pl.Series(list(columns), dtype=pl.String)})
    status = 200 if verdict is Verdict.SENT else None
    return (
        rows.join(names, how="cross")
        .with_columns(
            verdict=pl.lit(verdict.value), reason=pl.lit(reason, dtype=pl.String), status=pl.lit(status, dtype=pl.Int64)
        )
        .select(WRITTEN_SCHEMA.names())
    )


def _refuses(error: TransientError) -> bool:
    """Whether a failure is the refusal of a value: AlterReadOnlyData was seen with 400 and with 500 (Caspio, 4.2)."""
    return _SOME_VALUE.search(str(error)) is not None


def _said(error: Exception) -> str:
    """Caspio's own words, values masked."""
    if isinstance(error, RefusedError):
        return error.message_text or str(error)
    _, code, rest = str(error).partition("FieldNotFound")
    return f"{code}{rest.partition(';')[0]}" if code else str(error)
