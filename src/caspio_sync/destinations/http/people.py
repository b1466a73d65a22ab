"""Profiles at any endpoint: rows as objects, whole, by the call that the sync file writes."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import polars as pl

from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.definition import HttpSync, keyed
from caspio_sync.destinations.http.endpoint import OPT_OUT, ROWS, RowsEndpoint
from caspio_sync.destinations.http.eraser import PersonEraser
from caspio_sync.destinations.http.objects import encode_rows
from caspio_sync.destinations.http.rows_back import RowsReadBack
from caspio_sync.destinations.http.values import HTTP_VALUES
from caspio_sync.engine.destination import Sink
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.writes import Write
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.ledger.compare import opt_out, repeated
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import KEY


class PeopleSink(Sink[HttpAccount]):
    """Profiles of one sync."""

    values = HTTP_VALUES
    when_lost = "repeat"  # rows travel whole
    keys: ClassVar = HttpSync
    proposed: ClassVar = (
        "",
        "# Where rows go, and how (docs/http.md): write the address, and the name of a secret that HTTP_SECRETS has.",
        "request:",
        "  url: https://host.invalid/rows    # nobody is there",
        "  batch: 75",
        "auth: none    # or such as {bearer: warehouse}",
        "# verify: {url: 'https://host.invalid/rows/{{ key }}'}",
        "# on_erase: {method: DELETE, url: 'https://host.invalid/rows/{{ key }}'}",
    )

    def __init__(self, sync: ProfileSync) -> None:
        self._sync, self._said = sync, cast("HttpSync", cast("Any", sync))
        request = self._said.request
        self._rows = Envelope(ROWS, request.batch, self._said.limits.bytes)
        self._opt_out = Envelope(ROWS, 1, self._said.limits.bytes, target=OPT_OUT)
        self.envelopes = (self._rows, self._opt_out)

    @classmethod
    async def probe(cls, account: HttpAccount) -> str:
        """As `Sink.probe`: whether the secrets are there, and `verify` is answered, for nobody."""
        if account.sync is None:
            return ""
        if account.sync.verify is None:
            return f"has {len(account.client.credentials.known)} secrets; without `verify` nobody is asked anything"
        await RowsEndpoint(account, account.sync, "", "key").ask()
        return "answers, and takes the proof of who asks"

    def cautions(self) -> Sequence[str]:
        """As `Sink.cautions`."""
        host = self._said.origin.partition("://")[2]
        told = []
        if not self._sync.consent.columns:
            told.append(f"{host} hears of nobody's opt-out: add `consent` and `on_opt_out` where it writes to people")
        if self._said.on_erase is None:
            told.append(f"{host} is asked to delete nobody: without `on_erase` an erasure is never called done")
        elif self._said.verify is None:
            told.append(f"no erasure is proven at {host}: add `verify`, which tells whether somebody is gone")
        return told

    def limits(self, account: HttpAccount) -> SenderLimits:  # noqa: ARG002 - the file says them
        """As `Sink.limits`."""
        said = self._said.limits
        requests = max(1, int(said.requests_a_second))
        return SenderLimits(said.connections, requests, requests / said.requests_a_second)

    def endpoint(self, account: HttpAccount) -> RowsEndpoint:
        """As `Sink.endpoint`."""
        return RowsEndpoint(account, self._said, self._sync.name, self._sync.identity.kind)

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:  # noqa: ARG002
        """As `Sink.writes`: whole rows, whatever changed of them."""
        columns, body = mapping.columns, self._said.request.body
        states = [each.name for each in columns if each.role != "attribute"]
        filled_in = isinstance(body, str)
        if filled_in and mapping.stopped:
            raise ConfigurationError(
                f"{self._sync.where('request', 'body')}: {', '.join(mapping.stopped)} cannot be read for now, and the "
                "template would send nothing in its place; nothing was sent"
            )
        # An address and a template may ask for whatever a row has, and for its key by either name.
        whole_row = filled_in or keyed(self._said)
        kind = self._sync.identity.kind

        def encode(some: pl.DataFrame) -> pl.Series:
            return encode_rows(
                some.with_columns(pl.coalesce(name, repeated(name)) for name in states),
                columns,
                key_names=(KEY, kind) if whole_row else (kind,),
                listed=None if whole_row or not isinstance(body, tuple) else body,
                stopped=mapping.stopped,
                all_there=filled_in,
            )

        return [Write(rows, self._rows, encode)]

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """As `Sink.opt_outs`: the key, and the states that became more restrictive; one a request."""
        states = [each for each in mapping.columns if each.role != "attribute"]
        kind = self._sync.identity.kind
        filled_in = self._said.on_opt_out is not None and isinstance(self._said.on_opt_out.body, str)

        def encode(some: pl.DataFrame) -> pl.Series:
            told = some.with_columns(
                pl.when(opt_out(each.name)).then(pl.coalesce(each.name, repeated(each.name))).alias(each.name)
                for each in states
            )
            return encode_rows(told, states, key_names=(KEY, kind), listed=None, all_there=filled_in)

        return [Write(rows, self._opt_out, encode)]

    async def known(self, account: HttpAccount, keys: Sequence[str]) -> int:
        """As `Sink.known`."""
        back = RowsReadBack(account, self._said, self._sync.identity.kind, ())
        return sum([each != "missing" for each in await back.held(keys)])

    async def read_back(self, account: HttpAccount, mapping: RowMapping) -> ReadBack:
        """As `Sink.read_back`."""
        return RowsReadBack(account, self._said, self._sync.identity.kind, mapping.columns)

    def eraser(self, account: HttpAccount) -> PersonEraser:
        """As `Sink.eraser`."""
        return PersonEraser(account, self._said, self._sync.identity.kind)
