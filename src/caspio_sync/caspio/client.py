"""Caspio's REST API v3: tables, fields, records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import orjson
from pydantic import SecretStr

from caspio_sync.caspio.answers import (
    Aggregate,
    RecordPage,
    affected,
    aggregate_row,
    created,
    fields_of,
    names_of,
    page_of,
    result,
)
from caspio_sync.caspio.query import URL_LIMIT, and_, encoded, field_name, identifier
from caspio_sync.caspio.session import Call, CaspioSession
from caspio_sync.caspio.wide import in_turn, joined, selections
from caspio_sync.clock import Clock, SystemClock
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.schemas import CaspioField
from caspio_sync.wire.closing import Closing
from caspio_sync.wire.http import ConnectionPool, RefusedError, server_time
from caspio_sync.wire.pacing import Pace, Quota, RollingWindow

__all__ = ["MAX_PAGE_ROWS", "Aggregate", "CaspioClient", "RecordPage", "RefusedError", "Source"]

MAX_PAGE_ROWS = 1000  # records a call (Caspio, 3.1)
_MOST_SELECTIONS = 8  # of one page; a long condition leaves little room for names, and each selection is a call
_LOOKS = 3  # at a page whose rows changed between its calls

_Entry = TypeVar("_Entry")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Source:
    """A table or a view, by its Name."""

    name: str
    is_view: bool = False

    def __str__(self) -> str:
        return f"{'view' if self.is_view else 'table'} {self.name}"


class CaspioClient(Closing):
    """Caspio's REST API v3, paced, with a token that renews itself.

    Reads are repeated within 60 s in all; writes never are after a failure that leaves open whether they took effect.

    Args:
        integration_url: `https://{account}.caspio.com`, or the sandbox's.
        client_id: of the web services profile.
        client_secret: of the web services profile.
        clock: all waiting and pacing goes through it.
        transport: answers instead of the network.
        connections: requests in flight, at most 16.
        timeout_seconds: for one request.
        calls_per_second: pace; None for no limit.
        calls_per_window: pace over `window_seconds` (2,000 in 300 s were seen: Caspio, 4.1); None for no limit.
        window_seconds: length of that window.
    """

    def __init__(
        self,
        *,
        integration_url: str,
        client_id: str,
        client_secret: SecretStr,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        connections: int = 8,
        timeout_seconds: float = 60,
        calls_per_second: float | None = 20,
        calls_per_window: int | None = 2000,
        window_seconds: float = 300,
    ) -> None:
        clock = clock or SystemClock()
        self.connections = connections
        self._base = _integration_url(integration_url)
        self._pool = ConnectionPool(
            url=self._base, clients=1, connections=connections, timeout_seconds=timeout_seconds, transport=transport
        )
        windows = [RollingWindow.per_second(calls_per_second)] if calls_per_second else []
        windows += [RollingWindow(calls_per_window, window_seconds)] if calls_per_window else []
        self._pace = Pace(windows, clock)
        self._session = CaspioSession(
            token_url=f"{self._base}/oauth/token",
            client_id=client_id,
            client_secret=client_secret,
            pool=self._pool,
            pace=self._pace,
            timeout_seconds=timeout_seconds,
            clock=clock,
        )

    @property
    def calls(self) -> int:
        """Requests made, token requests and refused ones included: what Caspio bills (Caspio, 4.1)."""
        return self._session.calls

    def hold_to(self, quota: Quota) -> None:
        """From now on, ask this budget before every call, token requests and repeated calls included."""
        self._session.quota = quota

    def take_share(self, share: float) -> None:
        """From now on use this part of what the account allows; the rest is for other processes of ours."""
        self._pace.take_share(share)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def tables(self) -> list[str]:
        """Names of the tables this profile can read."""
        return await self._look("/tables", "listing tables", names_of)

    async def views(self) -> list[str]:
        """Names of the views this profile can read."""
        return await self._look("/views", "listing views", names_of)

    async def fields(self, source: Source) -> list[CaspioField]:
        """The fields as declared, types spelled as in `SOURCE_DTYPES`; PK_ID is never among them (Caspio, 2.1)."""
        return await self._look(f"{_path(source)}/fields", f"reading fields of {source}", fields_of)

    async def records(
        self,
        source: Source,
        *,
        select: Sequence[str],
        where: str | None = None,
        order_by: str | None = None,
        limit: int = MAX_PAGE_ROWS,
        check_fields: bool = True,
    ) -> RecordPage:
        """GET records: at most `limit` rows, in no order unless `order_by` names one (Caspio, 3.2).

        One call; several, joined by the key, where the fields are more than one address holds (2,047 characters:
        Caspio, 3.1): two selections take three calls. Rows that changed between these are looked at again.

        Args:
            source: table or view.
            select: Names of the fields, a unique one first.
            where: condition in T-SQL; values by `caspio_query.literal`.
            order_by: ORDER BY text, without the words.
            limit: rows, 1 to 1000.
            check_fields: whether to look that each row has every field; False for who looks (`has_fields`) at the rows
                that it decodes. Where one call is not enough, it is looked in any case.

        Raises:
            TransientError: no answer within 60 s, tries included; none that is Caspio's; or rows that changed
                whenever they were looked at.
            RefusedError: the query was refused.
            ConfigurationError: credentials, rights, names, or an address of more than 2047 characters.
        """
        if not 1 <= limit <= MAX_PAGE_ROWS:
            raise ConfigurationError(f"{limit} rows a call; Caspio gives 1 to {MAX_PAGE_ROWS}")
        doing = f"reading {source}"
        rest = _rest(where, order_by, limit)
        parts = self._selections(source, select, rest)
        calls = [self._call("GET", source, doing, {"q.select": _select(part), **rest}) for part in parts]
        for _ in range(_LOOKS):
            looked_at = parts if check_fields or len(parts) > 1 else [[]]
            pages = [await self._page(call, doing, names) for call, names in zip(calls, looked_at, strict=True)]
            if len(pages) == 1:
                return pages[0]
            rows = joined([page.rows for page in pages], select[0])
            if rows is not None:
                return RecordPage(rows, pages[0].server_time)
        raise TransientError(
            f"{doing}: rows changed between the {len(calls)} calls that so many fields take, {_LOOKS} times; map fewer "
            "fields, or let the next run try again"
        )

    def _selections(self, source: Source, select: Sequence[str], rest: Mapping[str, str | None]) -> list[list[str]]:
        """What each of the calls selects, in turn."""
        room = URL_LIMIT - len(self._url(f"{_path(source)}/records", {"q.select": "", **rest}))
        parts = selections(select, room)
        return in_turn(parts if len(parts) <= _MOST_SELECTIONS else [list(select)])  # which is refused as too long

    def calls_a_page(
        self, source: Source, *, select: Sequence[str], where: str | None = None, order_by: str | None = None
    ) -> int:
        """Calls that such a `records` makes while nothing changes: 1, or 2 n - 1 where the fields take n selections."""
        return len(self._selections(source, select, _rest(where, order_by, MAX_PAGE_ROWS)))

    async def _page(self, call: Call, doing: str, names: Sequence[str]) -> RecordPage:
        return await self._session.call(call, lambda response: page_of(response, doing, names), reads_long=True)

    async def aggregate(self, source: Source, *, select: str, where: str | None = None) -> Aggregate:
        """GET the one row of aggregates such as `COUNT(PK_ID) AS n`, without limit or page (Caspio, 3.1).

        Raises:
            As `records`.
        """
        doing = f"counting {source}"
        call = self._call("GET", source, doing, {"q.select": select, "q.where": and_(where)})
        return await self._session.call(
            call, lambda response: Aggregate(aggregate_row(response, doing, select), server_time(response.headers))
        )

    async def insert(self, source: Source, row: Mapping[str, Any]) -> dict[str, Any]:
        """POST one record and give back the row as Caspio keeps it, PK_ID included.

        Raises:
            TransientError: with `ambiguous` the row may exist: look its key up before another try.
            RefusedError, ConfigurationError: as for `records`.
        """
        doing = f"inserting into {source}"
        call = self._call("POST", source, doing, {"response": "rows"}, row)
        rows = await self._session.call(call, lambda response: result(response, doing))
        if not rows or not isinstance(rows[0], dict):
            raise PermanentError(f"{doing}: accepted, but the answer holds no row", status=201)
        return dict(rows[0])

    async def update(self, source: Source, values: Mapping[str, Any], *, where: str) -> int:
        """PUT the same values into all rows that `where` finds; the number Caspio says were affected, 0 for no match.

        Raises:
            As `insert`.
        """
        doing = f"updating {source}"
        call = self._call("PUT", source, doing, {"q.where": _required(where, doing)}, values)
        return await self._session.call(call, lambda response: affected(response, doing))

    async def delete(self, source: Source, *, where: str) -> int:
        """DELETE all rows that `where` finds; the number Caspio says were affected.

        Raises:
            As `insert`.
        """
        doing = f"deleting from {source}"
        call = self._call("DELETE", source, doing, {"q.where": _required(where, doing)})
        return await self._session.call(call, lambda response: affected(response, doing))

    async def create_table(self, name: str, fields: Sequence[Mapping[str, Any]]) -> None:
        """POST a new, empty table.

        Args:
            name: of the table.
            fields: in their write shape: `Name` and `Type` at least (Caspio, 2.2).

        Raises:
            TransientError: with `ambiguous` it may exist: look before another try.
            RefusedError, ConfigurationError: as for `records`; the profile may lack the right to create objects.
        """
        doing = f"creating table {name}"
        body = orjson.dumps({"Name": field_name(name), "Fields": [dict(field) for field in fields]})
        await self._session.call(Call("POST", self._url("/tables", {}), doing, body), lambda each: created(each, doing))

    async def ask(
        self,
        method: str,
        path: str,
        doing: str,
        read: Callable[[httpx.Response, str], _Answer],
        body: Mapping[str, Any] | None = None,
    ) -> _Answer:
        """A call about something else than records, below the API's root; raises as `insert`."""
        call = Call(method, self._url(path, {}), doing, None if body is None else orjson.dumps(dict(body)))
        return await self._session.call(call, lambda response: read(response, doing))

    def update_budget(self, source: Source) -> int:
        """Characters that `q.where`, escaped, may take in the address of an `update`; may be negative."""
        return URL_LIMIT - len(self._url(f"{_path(source)}/records", {"q.where": ""}))

    def where_budget(self, source: Source, *, select: Sequence[str], order_by: str | None = None) -> int:
        """Characters that `q.where`, escaped, may take in the address of such a `records` call; may be negative."""
        query = {"q.select": _select(select), "q.where": "", "q.orderBy": order_by, "q.limit": str(MAX_PAGE_ROWS)}
        return URL_LIMIT - len(self._url(f"{_path(source)}/records", query))

    async def _look(self, path: str, doing: str, read: Callable[[httpx.Response, str], list[_Entry]]) -> list[_Entry]:
        call = Call("GET", self._url(path, {}), doing)
        return await self._session.call(call, lambda response: read(response, doing))

    def _url(self, path: str, query: Mapping[str, str | None]) -> str:
        pairs = "&".join(f"{name}={encoded(text)}" for name, text in query.items() if text is not None)
        return f"{self._base}/integrations/rest/v3{path}{f'?{pairs}' if pairs else ''}"

    def _call(
        self,
        method: str,
        source: Source,
        doing: str,
        query: Mapping[str, str | None],
        body: Mapping[str, Any] | None = None,
    ) -> Call:
        url = self._url(f"{_path(source)}/records", query)
        if len(url) > URL_LIMIT:
            raise ConfigurationError(f"{doing}: {_too_long(url, query)}")
        return Call(method, url, doing, None if body is None else orjson.dumps(dict(body)))


def _integration_url(text: str) -> str:
    base = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"https", "http"} or not url.host or url.path not in {"", "/"}:
        raise ConfigurationError(f"Caspio integration URL {text!r}: give https://<account>.caspio.com, without a path")
    return base.rstrip("/")


def _rest(where: str | None, order_by: str | None, limit: int) -> dict[str, str | None]:
    """The query of GET records besides the selected fields."""
    return {"q.where": and_(where), "q.orderBy": order_by, "q.limit": str(limit)}


def _select(names: Sequence[str]) -> str:
    return ",".join(map(identifier, names))


def _path(source: Source) -> str:
    return f"/{'views' if source.is_view else 'tables'}/{quote(source.name, safe='')}"


def _required(where: str, doing: str) -> str:
    """A write without a condition would reach every row."""
    text = and_(where)
    if text is None:
        raise ConfigurationError(f"{doing}: no condition; name the rows to write by their key")
    return text


def _too_long(url: str, query: Mapping[str, str | None]) -> str:
    parts = sorted(((len(encoded(text)), name) for name, text in query.items() if text), reverse=True)
    sizes = ", ".join(f"{name} {size}" for size, name in parts)
    advice = {"q.select": "map fewer fields, or read a view", "q.where": "shorten the condition, or ask for fewer keys"}
    remedy = advice.get(parts[0][1] if parts else "", "shorten it")
    return f"an address of {len(url)} characters, Caspio takes {URL_LIMIT} ({sizes}); {remedy}"
