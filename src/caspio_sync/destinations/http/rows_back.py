"""What an endpoint holds of some rows, as `verify` says how to ask: a GET a row."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import orjson
import polars as pl

from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.answers import heard
from caspio_sync.destinations.http.client import Call
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.engine.read_back import Held
from caspio_sync.errors import ConfigurationError
from caspio_sync.json_paths import path
from caspio_sync.mapping.numbers import number_text
from caspio_sync.schemas import MappedColumn
from caspio_sync.wire.answers import foreign, parsed

_GONE = (HTTPStatus.NOT_FOUND.value, HTTPStatus.GONE.value)


class RowsReadBack:
    """The `ReadBack` of an endpoint.

    Args:
        account: where it is.
        sync: says how a row is asked for.
        kind: what the key is called.
        columns: what is to be read.

    Raises:
        ConfigurationError: the sync file does not say how.
    """

    usual_sample = 200
    stretch_rows = 200
    thing: Literal["profile", "item", "deal"] = "profile"
    unreadable: Sequence[str] = ()

    def __init__(self, account: HttpAccount, sync: HttpSync, kind: str, columns: Sequence[MappedColumn]) -> None:
        if sync.verify is None:
            raise ConfigurationError(
                f"{sync.origin.partition('://')[2]}: nothing says how a row is read back; add `verify: {{url: …}}` to "
                "the sync file, a GET that answers with one row"
            )
        self._account, self._sync, self._kind = account, sync, kind
        self._call, self._at = Call(sync.verify), path(sync.verify.at)
        listed = sync.request.body if isinstance(sync.request.body, tuple) else None
        self.readable: Sequence[MappedColumn] = [each for each in columns if listed is None or each.name in listed]

    @property
    def requests(self) -> int:
        """As `ReadBack.requests`."""
        return self._account.client.requests

    def planned(self, rows: int) -> tuple[int, float, float]:
        """As `ReadBack.planned`; there is one limit."""
        seconds = rows / self._sync.limits.requests_a_second
        return rows, seconds, seconds

    async def held(self, keys: Sequence[str]) -> list[Held]:
        """As `ReadBack.held`."""
        return [await self._one(key) for key in keys]

    async def _one(self, key: str) -> Held:
        doing = "reading a row back"
        objects = orjson.dumps([{"key": key, self._kind: key}])
        response = await self._account.client.call(self._call, objects, doing)
        heard(response, ("2xx", *_GONE), doing, now=self._account.clock.now())
        if response.status_code in _GONE:
            return "missing"
        if (document := parsed(response.content)) is None:
            raise foreign(response, doing, "no JSON")
        found = [*self._at.found(document)]
        if len(found) != 1:
            return "ambiguous" if found else "missing"
        if not isinstance(found[0], dict):
            raise foreign(response, doing, "no JSON object where `verify.at` says")
        row: Mapping[str, Any] = found[0]
        return row

    async def values(
        self,
        column: MappedColumn,
        held: Sequence[Mapping[str, Any]],
        keys: Sequence[str],  # noqa: ARG002 - all of it was read with the row
    ) -> pl.DataFrame:
        """As `ReadBack.values`, each as JSON text."""
        found = [each.get(column.name) for each in held]
        texts = [
            None if each is None else orjson.dumps(_plain(each), option=orjson.OPT_SORT_KEYS).decode() for each in found
        ]
        types = ["null" if each is None else type(each).__name__ for each in found]
        return pl.DataFrame({"value": pl.Series(texts, dtype=pl.String), "type": pl.Series(types, dtype=pl.String)})

    @staticmethod
    def agrees(column: MappedColumn, wanted: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
        """As `ReadBack.agrees`: the same JSON, whole numbers with or without a point; a number as text is retyped."""
        frame = held.with_columns(wanted=wanted)
        asked = pl.col("wanted")
        as_json = (
            number_text(asked)
            if column.dtype == pl.Float64
            else pl.struct(v=asked).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        )
        value = pl.col("value")
        json = pl.when(asked.is_not_null()).then(as_json)
        same = value.eq_missing(json)
        spelled = value.str.strip_chars('"').eq_missing(json.str.strip_chars('"'))
        return frame.select(equal=same | spelled, retyped=spelled & ~same)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
