"""The operations of REST v3 that the emulator serves: tables, fields, views and records (2.1, 3)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from caspio_sync.sandbox.caspio.account import Account, Reading, forbidden
from caspio_sync.sandbox.caspio.app import Answer, Request, Route
from caspio_sync.sandbox.caspio.behaviour import MAX_RECORDS, Refusal, bad_body, bad_query, no_field, no_object
from caspio_sync.sandbox.caspio.changes import Changes
from caspio_sync.sandbox.caspio.fields import Field, check_properties, read_field
from caspio_sync.sandbox.caspio.requests import json_body, json_object, required_where, wants_rows
from caspio_sync.sandbox.caspio.tables import Table
from caspio_sync.sandbox.caspio.webhooks import Webhooks

LAST_BASIC_PLANE = "\uffff"


def result(value: Any, status: int = 200) -> Answer:
    """An answer in Caspio's envelope."""
    return Answer(status, orjson.dumps({"Result": value}))


def read_request(parameters: Mapping[str, str], *, small_limits: bool) -> Reading:
    """The parameters of GET records, checked.

    Raises:
        Refusal: 400 IncorrectQueryParameter.
    """
    paged = "pagenumber" in parameters or "pagesize" in parameters
    size = _whole(parameters, "pagesize", 25, 5, MAX_RECORDS)
    page = _whole(parameters, "pagenumber", 1, 1, 2**31)
    # q.limit is skipped when a page is asked for (3.1).
    limit = size if paged else _whole(parameters, "limit", 100, 1 if small_limits else 5, MAX_RECORDS)
    return Reading(
        select=parameters.get("select", "").strip(),
        where=parameters.get("where", "").strip(),
        group_by=parameters.get("groupby", "").strip(),
        order_by=parameters.get("orderby", "").strip(),
        limit=limit,
        offset=(page - 1) * size if paged else 0,
        paged=paged,
        limited=paged or "limit" in parameters,
        counted=_flag(parameters, "getpaginationinfo"),
    )


def _whole(parameters: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise bad_query(f"{name} is a whole number from {low} to {high}")
    return int(text)


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    text = parameters.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise bad_query(f"{name} is true or false")
    return text == "true"


class CaspioRoutes:
    """Finds and runs the operation of a request.

    Args:
        account: what is read.
        changes: what is written goes through them.
        webhooks: answer for themselves.
    """

    def __init__(self, account: Account, changes: Changes, webhooks: Webhooks) -> None:
        self._account = account
        self._changes = changes
        self._webhooks = webhooks
        self._behaviour = account.behaviour

    def __call__(self, request: Request) -> Answer:
        """Answer a request; raises Refusal."""
        match request.path:
            case ("tables",):
                return self._by_method(request, GET=self._tables, POST=self._create_table)
            case ("tables", name, *rest):
                return self._by_method(request, **self._table_routes(self._table(name), rest))
            case ("views", *rest):
                return self._views(request, rest)
            case ("outgoingWebhooks", *_):
                return self._webhooks(request)
        raise no_object("/".join(request.path))

    def _table_routes(self, table: Table, rest: list[str]) -> dict[str, Route]:
        """The operations of an address below a table, by method."""
        match rest:
            case []:
                routes: dict[str, Route] = {"GET": lambda _r: result({"Name": table.name, "Note": table.note})}
            case ["records"]:
                routes = {
                    "GET": lambda r: self._read(r, table.name, is_view=False),
                    "POST": lambda r: self._insert(r, table),
                    "PUT": lambda r: self._update(r, table),
                    "DELETE": lambda r: self._delete(r, table),
                }
            case ["fields"]:
                routes = {
                    "GET": lambda _r: result([field.as_read() for field in table.fields]),
                    "POST": lambda r: self._add_field(r, table),
                }
            case ["fields", name]:
                routes = self._field_routes(table, name)
            case ["passwordFields"]:
                passwords = [field.name for field in table.fields if not field.readable]
                routes = {"GET": lambda _r: result(passwords)}
            case ["passwordFields", name]:
                routes = self._password_routes(table, name)
            case _:
                raise no_object("/".join((table.name, *rest)))
        return routes

    def _by_method(self, request: Request, **routes: Route) -> Answer:
        route = routes.get(request.method)
        if route is None:
            message = f"The requested resource does not support http method '{request.method}'."
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
        return route(request)

    def _table(self, name: str) -> Table:
        table = self._account.table(name)
        if table.name in self._behaviour.hidden_objects:
            raise forbidden(table.name)
        return table

    # ---- tables and fields

    def _tables(self, _request: Request) -> Answer:
        hidden = self._behaviour.hidden_objects
        return result([table.name for table in self._account.tables.values() if table.name not in hidden])

    def _create_table(self, request: Request) -> Answer:
        body = json_object(request)
        if "Columns" in body or not isinstance(body.get("Name"), str) or not isinstance(body.get("Fields"), list):
            raise bad_body("a table is created from Name and Fields")
        for model in body["Fields"]:
            check_properties(model)
        self._account.create_table(body["Name"], body["Fields"])
        return Answer(HTTPStatus.CREATED)

    def _add_field(self, request: Request, table: Table) -> Answer:
        added = read_field(check_properties(json_object(request)), len(table.fields) + 1)
        if added.name.lower() in table.by_name:
            raise bad_body(f"table '{table.name}' has a field '{added.name}' already")
        kept = {field.name: field.name for field in table.fields}
        self._account.change_fields(table, [*table.fields, added], kept)
        return Answer(HTTPStatus.CREATED)

    def _field_routes(self, table: Table, name: str) -> dict[str, Route]:
        field = table.by_name.get(name.lower())
        if field is None:
            raise no_field([name])
        return {
            "GET": lambda _r: result(field.as_read()),
            "PUT": lambda r: self._change_field(r, table, field),
            "DELETE": lambda _r: self._drop_field(table, field),
        }

    def _change_field(self, request: Request, table: Table, field: Field) -> Answer:
        changed = read_field({**field.as_written(), **check_properties(json_object(request))}, field.display_order)
        if changed.kind != field.kind:
            raise bad_body("the emulator does not convert a field to a type of another kind")
        if changed.name.lower() != field.name.lower() and changed.name.lower() in table.by_name:
            raise bad_body(f"table '{table.name}' has a field '{changed.name}' already")
        kept = {other.name: other.name for other in table.fields if other is not field}
        fields = [changed if other is field else other for other in table.fields]
        self._account.change_fields(table, fields, {**kept, changed.name: field.name})
        return Answer(HTTPStatus.NO_CONTENT)

    def _drop_field(self, table: Table, field: Field) -> Answer:
        fields = [other for other in table.fields if other is not field]
        if not fields:
            raise bad_body("a table keeps at least one field")
        self._account.change_fields(table, fields, {other.name: other.name for other in fields})
        return Answer(HTTPStatus.NO_CONTENT)

    def _password_routes(self, table: Table, name: str) -> dict[str, Route]:
        field = table.by_name.get(name.lower())
        if field is None or field.readable:
            raise no_field([name])

        def put(asked: Request) -> Answer:
            body = json_object(asked)
            if set(body) != {"Value"}:
                raise bad_body("a password is changed by Value")
            return self._affected(len(self._changes.update(table, {field.name: body["Value"]}, required_where(asked))))

        def reset(asked: Request) -> Answer:
            return self._affected(len(self._changes.update(table, {field.name: None}, required_where(asked))))

        return {"PUT": put, "DELETE": reset}

    # ---- records

    def _read(self, request: Request, name: str, *, is_view: bool) -> Answer:
        reading = read_request(request.parameters, small_limits=self._behaviour.small_limits)
        rows, total = self._account.read(name, reading, is_view=is_view)
        if total is None:
            return Answer(HTTPStatus.OK, b'{"Result":' + rows + b"}")
        page = reading.offset // reading.limit + 1
        pagination = orjson.dumps({"TotalCount": total, "PageNumber": page, "PageSize": reading.limit})
        return Answer(HTTPStatus.OK, b'{"Result":' + rows + b',"Pagination":' + pagination + b"}")

    def _insert(self, request: Request, table: Table) -> Answer:
        self._writable(table)
        body = json_body(request)
        if isinstance(body, list) and not self._behaviour.array_insert:
            raise bad_body("one JSON object is expected, not an array")
        rows = [self._row(table, row) for row in (body if isinstance(body, list) else [body])]
        keys = list(self._changes.insert(table, rows))
        if wants_rows(request):
            return Answer(HTTPStatus.CREATED, b'{"Result":' + self._account.records(table, keys) + b"}")
        location = {"Location": f"{request.resource}/{keys[-1]}"} if keys else {}
        return Answer(HTTPStatus.CREATED, headers=location)

    def _update(self, request: Request, table: Table) -> Answer:
        self._writable(table)
        where = required_where(request)
        values = self._row(table, json_body(request))
        if not values:
            raise bad_body("no field to change")
        passwords = [name for name in values if not table.by_name[name.lower()].readable]
        if passwords:
            raise table.read_only(passwords)
        lists_only = all(table.by_name[name.lower()].kind == "list" for name in values)
        keys = self._changes.update(table, values, where)
        if lists_only and self._behaviour.list_only_update == "lost":
            if wants_rows(request):
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "An internal error occurred.")
            return self._updated(0)
        if wants_rows(request):
            rows = self._account.records(table, keys)
            return Answer(HTTPStatus.OK, b'{"RecordsAffected":%d,"Result":%s}' % (self._counted(keys), rows))
        return self._updated(self._counted(keys))

    def _updated(self, count: int) -> Answer:
        more = b',"Result":[]' if self._behaviour.update_result_key else b""
        return Answer(HTTPStatus.OK, b'{"RecordsAffected":%d%s}' % (count, more))

    def _counted(self, keys: list[int]) -> int:
        return len(keys) + (self._behaviour.triggered_rows if keys else 0)

    def _delete(self, request: Request, table: Table) -> Answer:
        self._writable(table)
        return self._affected(self._changes.delete(table, required_where(request)))

    def _affected(self, count: int) -> Answer:
        return Answer(HTTPStatus.OK, b'{"RecordsAffected":%d}' % count)

    def _writable(self, table: Table) -> None:
        if table.name in self._behaviour.read_only_objects:
            raise forbidden(table.name)

    def _row(self, table: Table, body: Any) -> dict[str, Any]:
        """A record of a request body, its fields named as declared."""
        if not isinstance(body, dict):
            raise bad_body("a record is a JSON object")
        table.check_names(body)
        row = {table.by_name[name.lower()].name: value for name, value in body.items()}
        if self._behaviour.astral_text == "refused":
            odd = [
                name
                for name, value in row.items()
                if isinstance(value, str) and max(value, default="") > LAST_BASIC_PLANE
            ]
            if odd:
                # A misleading code, but the one that was seen (2.5).
                raise table.read_only(odd)
        return row

    # ---- views

    def _views(self, request: Request, rest: list[str]) -> Answer:
        hidden = self._behaviour.hidden_objects
        if not rest:
            names = [view.name for view in self._account.views.values() if view.name not in hidden]
            return self._by_method(request, GET=lambda _r: result(names))
        view = self._account.view(rest[0])
        if view.name in hidden:
            raise forbidden(view.name)
        table = self._account.table(view.table)
        fields = {name.lower(): table.by_name[name.lower()].as_read(table.name) for name in view.fields}
        match rest[1:]:
            case []:
                return self._by_method(request, GET=lambda _r: result({"Name": view.name, "Note": ""}))
            case ["records"]:
                return self._by_method(request, GET=lambda r: self._read(r, view.name, is_view=True))
            case ["fields"]:
                return self._by_method(request, GET=lambda _r: result(list(fields.values())))
            case ["fields", name] if name.lower() in fields:
                return self._by_method(request, GET=lambda _r: result(fields[name.lower()]))
            case ["fields", name]:
                raise no_field([name])
        raise no_object("/".join(request.path))
