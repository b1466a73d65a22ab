"""Where rows go: the call that the sync file writes, and the one that tells opt-outs ahead of it."""

import secrets
from hashlib import sha256

import orjson

from caspio_sync.delivery.requests import Request
from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.answers import heard, taken
from caspio_sync.destinations.http.client import Call
from caspio_sync.destinations.http.definition import HttpSync, keyed
from caspio_sync.errors import PermanentError
from caspio_sync.schemas import KEY
from caspio_sync.wire.http import RefusedError, rate_limit
from caspio_sync.wire.taken import Taken

ROWS = "rows"  # name of the array in requests on their way to here
OPT_OUT = "opt-out"  # target of the envelope of those
_NOBODY = "caspio-sync-asks-who-answers"
_OF_NOBODY = ("2xx", 400, 404, 410, 422)  # the last ones: a key of no form that it knows


class RowsEndpoint:
    """The `Endpoint` of a sync.

    Args:
        account: where it is; it belongs to whoever opened it.
        sync: says how rows travel.
        name: of the sync.
        kind: what the key is called in objects.
    """

    def __init__(self, account: HttpAccount, sync: HttpSync, name: str, kind: str) -> None:
        self._account, self._client, self._sync, self._kind = account, account.client, sync, kind
        self.title = sync.origin.partition("://")[2]
        request = sync.request
        self._rows = Call(request, encoding=request.encoding, alone=request.batch == 1, exact=not keyed(sync))
        self._opt_out = Call(sync.on_opt_out) if sync.on_opt_out else None
        self._asked = Call(sync.verify) if sync.verify else None
        # A request that is sent twice has the number that it had. One of a later run has another, even with the same
        # values: a row that went from A to B and back to A is news, and the endpoint would take it for the first A.
        self._name = f"{name}\0{secrets.token_hex(16)}"

    async def deliver(self, request: Request, *, seconds: float) -> Taken:
        """As `Endpoint.deliver`."""
        number = sha256(f"{self._name}\0{request.number}\0".encode() + request.body).hexdigest()[:32]
        objects = request.body[len(f'{{"{ROWS}":') : -1]
        now = self._account.clock.now
        if request.envelope.target == OPT_OUT:
            assert self._opt_out is not None
            assert self._sync.on_opt_out is not None
            doing = "telling an opt-out"
            response = await self._client.call(self._opt_out, objects, doing, number=number, seconds=seconds)
            of_rows = (404,) if self._opt_out.address.names else ()  # who is not there: that person's matter
            heard(response, self._sync.on_opt_out.ok, doing, now=now(), of_rows=of_rows)
            return Taken(response.status_code, (), rate_limit(response.headers, now=now()))
        doing = "sending rows"
        response = await self._client.call(self._rows, objects, doing, number=number, seconds=seconds)
        return taken(response, self._sync, request.count, doing, now=now())

    async def ask(self) -> None:
        """As `Endpoint.ask`: for somebody who is not there. Where nothing says how, nobody is asked."""
        if self._asked is None:
            return
        doing = "asking who answers"
        nobody = orjson.dumps([{KEY: _NOBODY, self._kind: _NOBODY}])
        response = await self._client.call(self._asked, nobody, doing)
        heard(response, _OF_NOBODY, doing, now=self._account.clock.now())

    def named(self, request: Request, error: PermanentError) -> dict[int, str]:  # noqa: ARG002 - halving finds it
        """As `Endpoint.named`: nobody."""
        return {}

    def words(self, error: PermanentError) -> str:
        """As `Endpoint.words`."""
        return error.message_text if isinstance(error, RefusedError) else str(error)

    async def aclose(self) -> None:
        """As `Endpoint.aclose`: the client is the account's."""
