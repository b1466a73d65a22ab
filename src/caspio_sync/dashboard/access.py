"""Who may look, and from where: checked before any page is made.

A page in another tab, or a name that is pointed at this machine, reaches a server on loopback as well as its user does.
So only our own names are answered, and what is posted comes from our own pages.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import Request

COOKIE = "caspio_sync_ui"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Door:
    """What lets a request in.

    Args:
        token: opens what shows customers' data, and everything where `address` is given.
        address: where browsers reach the page, such as https://sync.company.example; None: on this machine alone.
    """

    token: SecretStr
    address: str | None = None
    _pass: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Not the token itself: who reads a browser's cookies learns nothing that is typed elsewhere.
        made = hmac.new(self.token.get_secret_value().encode(), b"caspio-sync ui", hashlib.sha256).hexdigest()
        object.__setattr__(self, "_pass", made)

    @property
    def is_local(self) -> bool:
        """Whether the page is of this machine alone, which then needs no token to look at figures."""
        return self.address is None

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers come over HTTPS."""
        return self.address is not None and self.address.startswith("https://")

    @property
    def cookie(self) -> str:
        """Its name: with its prefix, browsers take it from this host over HTTPS alone."""
        return f"__Host-{COOKIE}" if self.is_encrypted else COOKIE

    @property
    def ticket(self) -> str:
        """What the cookie of somebody who has entered holds."""
        return self._pass

    def refusal(self, request: Request) -> str | None:
        """Why a request is not answered; None where it is."""
        host = _one(request.headers, "host")
        if host is None or not self._is_ours(host):
            return "this server is not called so; open it under the address that `caspio-sync ui` printed"
        if request.method not in _READING and _one(request.headers, "origin") != self._origin(host):
            return "this was not sent by one of our own pages"
        return None

    def _is_ours(self, host: str) -> bool:
        if self.address is not None:
            return host.lower() == urlsplit(self.address).netloc.lower()
        name, _, port = (
            host.lower().rpartition(":") if not host.endswith("]") and ":" in host else (host.lower(), "", "")
        )
        return name in LOOPBACK and (not port or port.isdecimal())

    def _origin(self, host: str) -> str:
        return self.address if self.address is not None else f"http://{host}"

    def takes(self, token: str) -> bool:
        """Whether this is the token; in constant time, by digest, so that no length is told either."""
        given, ours = (hashlib.sha256(each.encode()).digest() for each in (token, self.token.get_secret_value()))
        return hmac.compare_digest(given, ours)

    def has_entered(self, request: Request) -> bool:
        """Whether the request's cookie is of somebody who gave the token."""
        return hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self._pass.encode())


def _one(headers: Headers, name: str) -> str | None:
    """A header that is there once."""
    found = headers.getlist(name)
    return found[0] if len(found) == 1 else None
