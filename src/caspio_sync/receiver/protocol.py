"""What one connection may take of the receiver, which strangers reach before any token is looked at."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_LOG = logging.getLogger(__name__)


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits that it does not have; each refusal is a line in the log, without a value.

    A head that is too large is answered 431 (RFC 6585), a request that takes too long 408, a connection too many 503:
    Braze sends again after each of them (Braze, 11.1).
    """

    most_head_bytes = 64 * 1024
    most_connections = 256
    request_seconds = 30.0
    """From a connection, or the first byte of a later request, to the last byte of the body."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = self._in_request = False
        self._begun = 0  # requests that began in the data at hand
        self._head_bytes = 0  # of a head that is not complete: what was read of it
        self._told_bytes = 0  # of the same: what the parser has told of it
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Count the connection, and give its first request its time."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"more than {self.most_connections} connections")
        else:
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as nothing was refused."""
        if self._refused:
            return
        whole, self._begun = not self._in_request, 0
        super().data_received(data)
        # A single header is not told of before it is whole, so what was read counts while the head goes on; of a head
        # that begins within the data, from the next data on.
        if self._in_head and (not self._begun or (whole and self._begun == 1)):
            self._head_bytes += len(data)
            if self._head_bytes > self.most_head_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head_bytes = self._told_bytes = 0
        self._begun += 1
        if self._deadline is None:
            self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._told_bytes += len(name) + len(value) + 4  # as it is sent: a colon, a blank, a line end
        if self._told_bytes <= self.most_head_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; a large one reaches nobody."""
        self._in_head = False
        if self._told_bytes + len(self.url) > self.most_head_bytes:
            self._refuse_head()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: what is left is ours to do."""
        self._end()
        self._in_request = False
        if not self._refused:
            super().on_message_complete()

    def _begin(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._late)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"no whole request within {self.request_seconds:g} s")

    def _refuse_head(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(status, f"more than {self.most_head_bytes} bytes of headers")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer, where no answer has begun, and close."""
        if self._refused:
            return
        self._refused = True
        self._end()
        _LOG.warning("a connection is closed with %d: %s", status, why)
        if self.cycle is None or self.cycle.response_complete:
            lines = [STATUS_LINE[status], b"connection: close\r\ncontent-length: 0\r\n\r\n"]
            self.transport.write(b"".join(lines))
        self.transport.close()
