"""Deleting people at an endpoint by `on_erase`, and looking by `verify` whether they are gone."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import orjson

from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.answers import heard
from caspio_sync.destinations.http.client import Call
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.errors import PermanentError
from caspio_sync.ledger.erasure import Identifier
from caspio_sync.wire.http import RefusedError

T = TypeVar("T")
_GONE = (HTTPStatus.NOT_FOUND.value, HTTPStatus.GONE.value)
_UNKNOWN = " (404 is nobody, or a wrong path: where it means that nobody is there, write 404 under `on_erase.ok`)"


class PersonEraser:
    """The `Eraser` of an endpoint: one a call.

    Args:
        account: where it is.
        sync: says how somebody is deleted, and how looked for.
        kind: what the key is called in objects.
    """

    most = 1

    def __init__(self, account: HttpAccount, sync: HttpSync, kind: str) -> None:
        self._account, self._sync, self._kind = account, sync, kind
        self._delete = Call(sync.on_erase) if sync.on_erase else None
        self._look = Call(sync.verify) if sync.verify else None
        self._unsure: set[str] = set()  # keys of whom the endpoint said no more than 404
        self.proves = self._delete is not None and self._look is not None

    async def delete(
        self, people: Sequence[tuple[T, Identifier]]
    ) -> tuple[list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]], list[str]]:
        """As `Eraser.delete`.

        A 404 says that nobody is there only where the file names it under `ok`: a wrong path is answered alike, also to
        whoever looks afterwards, and an erasure would be proven that nobody was asked for.
        """
        taken: list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]] = []
        refused: list[str] = []
        for person in people:
            if str(person[1]["key"]) in self._unsure:  # it was told of already
                continue
            if self._delete is None or self._sync.on_erase is None:
                refused.append("the sync file has no `on_erase`, which says how")
                continue
            doing, now = "deleting somebody", self._account.clock.now
            try:
                response = await self._account.client.call(self._delete, self._objects(person[1], self._delete), doing)
                heard(response, self._sync.on_erase.ok, doing, now=now(), of_rows=_GONE)
            except RefusedError as error:
                refused.append(f"{error.message_text}{_UNKNOWN if error.status in _GONE else ''}")
                if error.status in _GONE:
                    self._unsure.add(str(person[1]["key"]))
            except PermanentError as error:
                refused.append(str(error))
            else:
                taken.append(([person], {"status": response.status_code, "asked": 1}))
        return taken, refused

    async def left(self, identifiers: Sequence[Identifier]) -> list[Identifier]:
        """As `Eraser.left`; where nothing says how to look, everybody."""
        return [each for each in identifiers if str(each["key"]) in self._unsure or await self._is_there(each)]

    async def probe(self) -> str:
        """As `Eraser.probe`: no call tells without deleting."""
        return "as far as the endpoint lets it" if self._delete else "not at all: the sync file has no `on_erase`"

    async def _is_there(self, identifier: Identifier) -> bool:
        if self._look is None:
            return True
        doing = "looking for somebody"
        response = await self._account.client.call(self._look, self._objects(identifier, self._look), doing)
        heard(response, ("2xx", *_GONE), doing, now=self._account.clock.now())
        return response.status_code not in _GONE

    def _objects(self, identifier: Identifier, call: Call) -> bytes:
        key = str(identifier["key"])
        return orjson.dumps([dict.fromkeys(call.listed or ("key", self._kind), key)])
