"""Braze's REST API: catalogs, their fields and items."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from caspio_sync.destinations.braze.catalog_answers import (
    MAX_NEW_FIELDS,
    Catalog,
    CatalogError,
    CatalogRefusedError,
    CatalogsAnswer,
    ItemAnswer,
    ItemsPage,
    WriteMethod,
)
from caspio_sync.destinations.braze.session import BrazeSession
from caspio_sync.errors import CallError, ConfigurationError, PermanentError
from caspio_sync.schemas import CatalogField
from caspio_sync.wire.answers import ForeignAnswerError, acknowledged, document, foreign, parsed
from caspio_sync.wire.http import RefusedError
from caspio_sync.wire.masking import MESSAGE_CHARS, masked
from caspio_sync.wire.taken import ObjectError, Taken

_ID_CHARS = 100
# No catalog has this name: whatever the key may do, a request to it changes nothing.
_NO_CATALOG = "caspio-sync-looks-at-its-permissions"
_NO_ITEMS = b'{"items":[]}'
_NO_FIELDS = b'{"fields":[]}'


class CatalogClient(BrazeSession):
    """The endpoints of catalogs; arguments as for `BrazeSession`.

    Every method raises `CatalogRefusedError` (400, a 404 that says what is missing), `TransientError` (another attempt
    may help; with an answer an `UnavailableError`, which carries `rate`) and `ConfigurationError` (endpoint, key,
    permission).
    """

    PERMISSIONS = (
        "catalogs.get, catalogs.create, catalogs.create_fields, catalogs.replace_items, catalogs.update_items, "
        "catalogs.delete_items, catalogs.get_items, catalogs.get_item, to remove fields catalogs.delete_fields"
    )

    async def write_items(
        self, method: WriteMethod, catalog: str, body: bytes, *, seconds: float | None = None
    ) -> Taken:
        """PUT, PATCH or DELETE /catalogs/{name}/items once: at most 50 items and 4 MB (Braze, 2.3 and 9.1).

        PUT replaces or creates, PATCH edits what exists, DELETE takes items away. All three may be repeated. A refusal
        is of the whole request, and a 2xx is a promise: items that fail later are told nowhere.

        Args:
            method: the verb.
            catalog: its name.
            body: the finished JSON document, `{"items": [{"id": …}, …]}`.
            seconds: for the answer; by default, and at the most, the client's own time limit.

        Raises:
            CatalogRefusedError: nothing of the request was taken; `items` are those it blames, where it says.
            TransientError: `ambiguous` where the request may have been taken.
            ConfigurationError: endpoint, key or permission.
        """
        doing = "writing catalog items"
        response = await self._send(method, self._url(_items_path(catalog)), body, doing, seconds)
        try:
            answer = acknowledged(response, doing)
        except ForeignAnswerError as doubt:
            return Taken(response.status_code, (), self._rate(response), doubt=str(doubt))
        told = _errors(answer, response.request)
        errors = tuple(ObjectError(None, None, f"{each.id}: {each.message}") for each in told)
        return Taken(response.status_code, errors, self._rate(response))

    async def catalogs(self) -> CatalogsAnswer:
        """GET /catalogs: every catalog of the workspace with its fields; 50 a minute."""
        doing = "reading catalogs"
        response = await self._send("GET", self._url("/catalogs"), b"", doing)
        listed = document(response, doing, catalogs=list)["catalogs"]
        if not all(map(_is_catalog, listed)):
            raise foreign(response, doing, "a catalog without name or fields")
        return CatalogsAnswer(tuple(map(_catalog, listed)), self._rate(response))

    async def create_catalog(self, name: str, description: str, fields: Sequence[CatalogField]) -> Taken:
        """POST /catalogs: it is there with the answer; 50 a minute.

        Args:
            name: at most 250 of letters, digits, `-` and `_`.
            description: at most 250 characters.
            fields: `id` first, a string; at most 500.
        """
        described = {"name": name, "description": description, "fields": _written(fields)}
        body = orjson.dumps({"catalogs": [described]})
        doing = f"creating catalog {name}"
        response = await self._post(self._url("/catalogs"), body, doing)
        acknowledged(response, doing)
        return Taken(response.status_code, (), self._rate(response))

    async def add_fields(self, catalog: str, fields: Sequence[CatalogField]) -> Taken:
        """POST /catalogs/{name}/fields: at most 50; asynchronous, they are there a moment after the answer.

        Raises:
            PermanentError: more than 50.
        """
        doing = f"adding fields to catalog {catalog}"
        if len(fields) > MAX_NEW_FIELDS:
            raise PermanentError(f"{doing}: {len(fields)} fields in one call; add {MAX_NEW_FIELDS} at most")
        response = await self._post(self._url(_fields_path(catalog)), orjson.dumps({"fields": _written(fields)}), doing)
        acknowledged(response, doing)
        return Taken(response.status_code, (), self._rate(response))

    async def delete_field(self, catalog: str, field: str) -> Taken:
        """DELETE /catalogs/{name}/fields/{field}, and its values with it; asynchronous."""
        doing = f"deleting a field of catalog {catalog}"
        url = httpx.URL(f"{self._base}{_fields_path(catalog)}/{quote(field, safe='')}")
        response = await self._send("DELETE", url, b"", doing)
        acknowledged(response, doing)
        return Taken(response.status_code, (), self._rate(response))

    async def item(self, catalog: str, item_id: str) -> ItemAnswer:
        """GET /catalogs/{name}/items/{id}: the item, none where the catalog has none of this id; 50 a minute."""
        doing = "reading a catalog item"
        url = httpx.URL(f"{self._base}{_items_path(catalog)}/{quote(item_id, safe='')}")
        try:
            response = await self._send("GET", url, b"", doing)
        except CatalogRefusedError as refused:
            if "item-not-found" in refused.ids:
                return ItemAnswer(None, refused.rate)
            raise
        items = _items(response, doing)
        return ItemAnswer(items[0] if items else None, self._rate(response))

    async def items(self, catalog: str, cursor: str | None = None) -> ItemsPage:
        """GET /catalogs/{name}/items: a page of 50, from the start or from another page's `next_cursor`; 50 a minute.

        Raises:
            PermanentError: the next page's cursor is this page's, so the pages would never end.
        """
        doing = "reading catalog items"
        url = self._url(_items_path(catalog))
        response = await self._send("GET", url if cursor is None else url.copy_set_param("cursor", cursor), b"", doing)
        following = _next_cursor(response)
        if following is not None and following == cursor:
            raise PermanentError(f"{doing}: Braze's next page is the same page again; read it again from the start")
        return ItemsPage(_items(response, doing), following, self._rate(response))

    async def probe_catalogs(self) -> None:
        """Ask whether endpoint, key and permissions are right, by requests that write nothing.

        The key's permission is looked at before the body and before the catalog (Braze, 1.2), so a complaint about
        either means that it is there.

        Raises:
            ConfigurationError: they are not; every permission that is missing is named.
            TransientError: Braze did not answer, or asked to come again.
        """
        items, fields = _items_path(_NO_CATALOG), _fields_path(_NO_CATALOG)
        asked = (
            ("catalogs.get", "GET", "/catalogs", b""),
            ("catalogs.create", "POST", "/catalogs", b'{"catalogs":[]}'),
            ("catalogs.create_fields", "POST", fields, _NO_FIELDS),
            ("catalogs.replace_items", "PUT", items, _NO_ITEMS),
            ("catalogs.update_items", "PATCH", items, _NO_ITEMS),
            ("catalogs.delete_items", "DELETE", items, _NO_ITEMS),
            ("catalogs.get_items", "GET", items, b""),
            ("catalogs.get_item", "GET", f"{items}/none", b""),
        )
        await self._probe(asked)

    def _refusal(self, response: httpx.Response, doing: str) -> CallError | ConfigurationError:
        plain = super()._refusal(response, doing)
        errors = _errors(parsed(response.content), response.request)
        not_found = response.status_code == HTTPStatus.NOT_FOUND and bool(errors)
        if not (not_found or isinstance(plain, RefusedError)):
            return plain
        said = "; ".join(f"{error.id}: {error.message}".rstrip(": ") for error in errors)
        text = said[:MESSAGE_CHARS] or (plain.message_text if isinstance(plain, RefusedError) else "")
        request = response.request
        what = f"{doing}: {response.status_code} from {request.method} {request.url.path}{f': {text}' if text else ''}"
        return CatalogRefusedError(
            what, status=response.status_code, message_text=text, rate=self._rate(response), errors=errors
        )


def _items_path(catalog: str) -> str:
    return f"/catalogs/{quote(catalog, safe='')}/items"


def _fields_path(catalog: str) -> str:
    return f"/catalogs/{quote(catalog, safe='')}/fields"


def _written(fields: Sequence[CatalogField]) -> list[dict[str, str]]:
    return [{"name": field.name, "type": field.type} for field in fields]


def _is_catalog(entry: Any) -> bool:
    fields = entry.get("fields") if isinstance(entry, dict) else None
    return (
        isinstance(fields, list)
        and isinstance(entry.get("name"), str)
        and all(isinstance(field, dict) and {"name", "type"} <= field.keys() for field in fields)
    )


def _catalog(entry: Mapping[str, Any]) -> Catalog:
    count = entry.get("num_items")
    return Catalog(
        name=entry["name"],
        description=str(entry.get("description") or ""),
        fields=tuple(CatalogField(str(field["name"]), str(field["type"])) for field in entry["fields"]),
        num_items=count if isinstance(count, int) else 0,
    )


def _items(response: httpx.Response, doing: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = document(response, doing, items=list)["items"]
    if not all(isinstance(item, dict) for item in items):
        raise foreign(response, doing, "an item that is no object")
    return items


def _next_cursor(response: httpx.Response) -> str | None:
    """The cursor in the Link header; without a next page there is no header, or none with `rel="next"`."""
    url = response.links.get("next", {}).get("url")
    cursor: str | None = httpx.URL(url).params.get("cursor") if url else None
    return cursor


def _errors(body: Any, request: httpx.Request) -> tuple[CatalogError, ...]:
    """Entries of `errors` as far as they can be read."""
    entries = body.get("errors") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(_error(entry, request) for entry in entries)


def _error(entry: Any, request: httpx.Request) -> CatalogError:
    if not isinstance(entry, dict):
        return CatalogError(masked(str(entry), request)[:_ID_CHARS], "")
    parameters, values = entry.get("parameters"), entry.get("parameter_values")
    return CatalogError(
        id=masked(str(entry.get("id") or "no reason given"), request)[:_ID_CHARS],
        message=masked(str(entry.get("message") or ""), request),
        parameters=tuple(masked(str(each), request) for each in parameters) if isinstance(parameters, list) else (),
        parameter_values=tuple(values) if isinstance(values, list) else (),
    )
