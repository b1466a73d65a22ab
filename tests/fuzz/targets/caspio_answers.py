"""Answers of Caspio, through every call of its client and through the reader of a whole table."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import SecretStr

from caspio_sync.caspio.cells import source_frame
from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.caspio.records import RecordReader
from caspio_sync.schemas import CaspioField
from tests.fuzz.judging import BoundedClock, Target
from tests.fuzz.targets.answers import HEADERS, Answer, Scripted, exchange, read_exchange

SECRET = "q7XkP2mZ-profile-secret-r4"
TOKEN = "t0k3n-of-the-profile-9f8e7d6c5b4a"
_TABLE = Source("Customers")
_FIELDS = (CaspioField("No", "STRING", unique=True), CaspioField("Orders", "INTEGER"), CaspioField("Due", "DATE/TIME"))
_TOKEN_PATH = "/oauth/token"
_TOKEN_ANSWER = Answer(200, [], f'{{"access_token":"{TOKEN}","token_type":"bearer","expires_in":86399}}'.encode())
_VIRTUAL_SECONDS = 900.0  # a call ends after a minute, tries included; a read makes several

Ask = Callable[[CaspioClient], Awaitable[Any]]


async def _records(client: CaspioClient) -> None:
    page = await client.records(_TABLE, select=["PK_ID", "No", "Orders", "Due"], order_by="PK_ID ASC")
    source_frame([page.rows], _FIELDS, "PK_ID")


async def _read(client: CaspioClient) -> None:
    reader = RecordReader(client, _TABLE, fields=_FIELDS, page_rows=5, batch_size=20)
    await reader.open()
    async for _batch in reader.batches():
        pass


_CALLS: dict[str, Ask] = {
    "token": lambda client: client.tables(),
    "tables": lambda client: client.tables(),
    "views": lambda client: client.views(),
    "fields": lambda client: client.fields(_TABLE),
    "records": _records,
    "read": _read,
    "aggregate": lambda client: client.aggregate(_TABLE, select="COUNT(PK_ID) AS n"),
    "insert": lambda client: client.insert(_TABLE, {"No": "A-1"}),
    "update": lambda client: client.update(_TABLE, {"Orders": 1}, where="PK_ID=1"),
    "delete": lambda client: client.delete(_TABLE, where="PK_ID=1"),
    "create_table": lambda client: client.create_table("T", [{"Name": "No", "Type": "STRING"}]),
}


def run(data: bytes) -> list[str]:
    """Make the call."""
    name, answers = read_exchange(data, {b"<SECRET>": SECRET.encode(), b"<KEY>": TOKEN.encode()})
    asyncio.run(_ask(_CALLS.get(name, _records), answers, token=name == "token"))
    return []


async def _ask(ask: Ask, answers: list[Answer], *, token: bool) -> None:
    client = CaspioClient(
        integration_url="https://c0abc123.caspio.com",
        client_id="id",
        client_secret=SecretStr(SECRET),
        clock=BoundedClock(_VIRTUAL_SECONDS),
        transport=Scripted(answers, {} if token else {_TOKEN_PATH: _TOKEN_ANSWER}),
    )
    async with client:
        await ask(client)


def _page(*keys: int) -> str:
    rows = ",".join(f'{{"PK_ID":{key},"No":"A-{key}","Orders":{key},"Due":"2026-01-31T08:00:00"}}' for key in keys)
    return f'{{"Result":[{rows}]}}'


_COUNT = '{"Result":[{"row_count":12,"low_key":1,"high_key":12}]}'
_DATE = "date: Thu, 01 Jan 2026 00:00:00 GMT"

TARGET = Target(
    "caspio_answers",
    run,
    secrets=(SECRET, TOKEN),
    words=(*HEADERS, b"<SECRET>", b'{"Result":[]}', b'"PK_ID":', b'"row_count":', b'{"Result":[{', b"}]}"),
    seeds=(
        exchange("read", (200, _DATE, _COUNT), _page(1, 2, 3, 4, 5), _page(6, 7, 8, 9, 10), _page(11, 12)),
        exchange("read", (200, "date: yesterday", _COUNT), '{"Result":[]}'),
        exchange("read", '{"Result":[{"row_count":3000,"low_key":null,"high_key":null}]}', '{"Result":[]}'),
        exchange("read", _COUNT, _page(1, 2), _page(3), _page(3)),
        exchange("read", _COUNT, _page(5, 4, 3)),
        exchange("read", '{"Result":[{"row_count":-1,"low_key":"1","high_key":1e300}]}', _page(1)),
        exchange("records", (200, _DATE, _page(1, 2))),
        exchange("records", '{"Result":[{"PK_ID":"1","No":null,"Orders":"x","Due":{"1":"red"}}],"Pagination":null}'),
        exchange("records", '{"Result":[]}'),
        exchange("records", b"\xef\xbb\xbf" + _page(1).encode()),
        exchange("records", (302, "location: https://proxy/login", "")),
        exchange("records", (403, "content-type: text/html", "<html>"), _page(1)),
        exchange("records", (401, ""), (401, "")),
        exchange("records", (429, "retry-after: 36000", '{"Code":"TooManyRequests","Message":"api-calls-rate"}')),
        exchange("records", (429, "retry-after: Fri, 31 Dec 9999 23:59:59 -2359", ""), _page(1)),
        exchange("records", (400, '{"Code":"SqlServerError","Message":"Bearer <KEY> is expired \'<SECRET>\'"}')),
        exchange("token", '{"access_token":"t","token_type":"bearer","expires_in":"1e400"}'),
        exchange("token", '{"access_token":null,"expires_in":-1}', '{"Result":[]}'),
        exchange("token", (400, '{"error":"invalid_client","error_description":"<SECRET>"}')),
        exchange("token", (200, '{"access_token":"t\\n","expires_in":86399}'), '{"Result":[]}'),
        exchange("tables", '{"Result":["Customers",1,null]}'),
        exchange("views", '{"Result":[]}'),
        exchange(
            "fields",
            '{"Result":[{"Name":"No","Type":"STRING","Unique":true,"Editable":true,"IsFormula":false,"OnInsert":null,'
            '"OnUpdate":null,"TimeZone":null,"ListField":null},{"Name":"At","Type":"TIMESTAMP","TimeZone":"UTC"}]}',
        ),
        exchange("aggregate", (200, _DATE, _COUNT)),
        exchange("insert", (201, '{"Result":[{"PK_ID":42,"No":"A-1"}]}')),
        exchange("insert", (201, "location: https://c0abc123.caspio.com/integrations/rest/v3/tables/T/records/42", "")),
        exchange("update", '{"RecordsAffected":1,"Result":[]}'),
        exchange("update", (500, '{"Code":"AlterReadOnlyData","Message":"m"}')),
        exchange("delete", '{"RecordsAffected":0}'),
        exchange("create_table", (201, "")),
    ),
)
