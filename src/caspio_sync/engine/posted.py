"""Posts as the rows of a table: what reading asks of Caspio, answered from what was posted.

A post's number is its PK_ID, and the fields that the sync file names are its columns. Everything behind the reading is
the same: batches, diff, gate, journal, verdicts, quarantine.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Protocol

import orjson
import polars as pl

from caspio_sync.caspio.client import Aggregate, RecordPage, Source
from caspio_sync.caspio.records import RecordSource
from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import ConfigurationError
from caspio_sync.json_documents import Number, read_json, text_of
from caspio_sync.json_paths import path
from caspio_sync.mapping.definition import Source as Described
from caspio_sync.mapping.posted import PostedField
from caspio_sync.posts import Posts
from caspio_sync.schemas import CaspioField
from caspio_sync.sealed import Sealer
from caspio_sync.settings import Settings

# By the types of a sync file: those of Caspio that are read alike. A time keeps its offset, so it stays text.
_TYPES: Mapping[str, str] = MappingProxyType(
    {"text": "TEXT", "integer": "INTEGER", "number": "NUMBER", "boolean": "YES/NO", "list": "LIST-STRING"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799  # of the year 9999
# Conditions come from the engine, and are about the number alone. Whatever else one holds is never run as SQL.
_ABOUT_NUMBERS = re.compile(r"(?:\b(?:PK_ID|AND|OR|NOT|IN|[0-9]{1,19})\b|[()<>=,\s]|-(?=[0-9]))*")


class Rows(RecordSource, Protocol):
    """What a run reads its rows from."""

    @property
    def connections(self) -> int:
        """Ranges that are read at the same time."""

    async def fields(self, source: Source) -> list[CaspioField]:
        """The fields there are."""

    def calls_a_page(
        self, source: Source, *, select: Sequence[str], where: str | None = None, order_by: str | None = None
    ) -> int:
        """Calls to Caspio that a page takes."""


@dataclass(frozen=True, slots=True)
class PostedSource(Source):
    """What was posted to a path."""

    def __str__(self) -> str:
        return f"posts {self.name}"


class PostedRows:
    """The posts of one path as rows; arguments and errors of its methods as of `CaspioClient`.

    Args:
        at: the path.
        fields: where in a post each field stands.
        posts: opens what is kept.
        sealer: opens each of them.
    """

    connections = 1

    def __init__(
        self, at: str, fields: Mapping[str, PostedField], *, posts: Callable[[], Posts], sealer: Sealer
    ) -> None:
        self._at = at
        self._fields = {name: (path(each.path), each.type) for name, each in fields.items()}
        self._posts = posts
        self._sealer = sealer

    async def fields(self, source: Source) -> list[CaspioField]:  # noqa: ARG002 - there is one
        """The fields that the sync file names."""
        return [CaspioField(name, _TYPES.get(kind, "TEXT")) for name, (_, kind) in self._fields.items()]

    def calls_a_page(
        self,
        source: Source,  # noqa: ARG002
        *,
        select: Sequence[str],  # noqa: ARG002
        where: str | None = None,  # noqa: ARG002
        order_by: str | None = None,  # noqa: ARG002
    ) -> int:
        """None: Caspio is not asked."""
        return 0

    async def records(
        self,
        source: Source,  # noqa: ARG002 - there is one
        *,
        select: Sequence[str],
        where: str | None = None,
        order_by: str | None = None,  # noqa: ARG002 - by their number
        limit: int = 1000,
        check_fields: bool = True,  # noqa: ARG002 - each row has every field
    ) -> RecordPage:
        """Posts in the order of their number.

        Raises:
            ConfigurationError: the condition is about something else than the number; a post cannot be opened.
        """
        return RecordPage(await asyncio.to_thread(self._page, select, _numbers_only(where), limit), None)

    def _page(self, select: Sequence[str], where: str | None, limit: int) -> bytes:
        with closing(self._posts()) as posts:
            return orjson.dumps(
                [self._row(number, sealed, select) for number, sealed in posts.each(self._at, where, limit)]
            )

    def _row(self, number: int, sealed: bytes, select: Sequence[str]) -> dict[str, Any]:
        document = read_json(self._sealer.open(sealed))
        return {name: number if name == "PK_ID" else self._cell(document, name) for name in select}

    def _cell(self, document: Any, name: str) -> str | list[str | None] | None:
        place, kind = self._fields[name]
        value = next(place.found(document), None)
        if kind == "list" and isinstance(value, list):
            return [text_of(each) for each in value]
        text = text_of(value)
        if kind in {"unix", "unix_ms"} and isinstance(value, Number):
            return _instant(text or "", thousandths=kind == "unix_ms") or text
        return text

    async def aggregate(self, source: Source, *, select: str, where: str | None = None) -> Aggregate:  # noqa: ARG002
        """Number of posts, the lowest and the highest number of them: `row_count`, `low_key`, `high_key`."""
        return await asyncio.to_thread(self._count, _numbers_only(where))

    def _count(self, where: str | None) -> Aggregate:
        with closing(self._posts()) as posts:
            total, low, high = posts.count(self._at, where)
            return Aggregate({"row_count": total, "low_key": low, "high_key": high}, posts.now())


def posted_rows(settings: Settings, described: Described) -> PostedRows | None:
    """The rows of a sync that reads posts; None for one that reads Caspio.

    Raises:
        ConfigurationError: there is no key to open them.
    """
    if described.posts is None:
        return None
    connect = CONNECT.get()
    return PostedRows(
        described.posts,
        described.fields,
        posts=lambda: connect.posts(settings, connect.clock),
        sealer=Sealer(settings.payload_keys),
    )


def kept_rows(described: Described) -> pl.Expr | None:
    """Which rows of a source frame are the sync's, by `only`; None for all of them."""
    meant = [pl.col(name).is_in(list(words)).fill_null(value=False) for name, words in described.only.items()]
    return pl.all_horizontal(meant) if meant else None


def _numbers_only(where: str | None) -> str | None:
    if where is not None and not _ABOUT_NUMBERS.fullmatch(where):
        raise ConfigurationError(
            "posts are found by their number, and not by what is in them: leave out --keys and conditions; "
            "`caspio-sync backfill SYNC --pk A..B` reads chosen ones"
        )
    return where


def _instant(text: str, *, thousandths: bool) -> str | None:
    """A count since 1970 as ISO 8601 in UTC; None where it is none that a calendar has."""
    try:
        seconds = Decimal(text) / (1000 if thousandths else 1)
        if not 0 <= seconds <= _LAST_SECOND:
            return None
    except InvalidOperation:
        return None
    instant = _EPOCH + timedelta(seconds=int(seconds), milliseconds=int(seconds % 1 * 1000))
    return instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds").replace("+00:00", "Z")
