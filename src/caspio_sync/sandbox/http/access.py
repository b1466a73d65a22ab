"""Who may ask the emulated endpoint, by its own reading of each specification."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote_plus

from caspio_sync.sandbox.http.behaviour import SANDBOX_SECRET, SIGNING_SECRET, USER, HttpBehaviour


class Access:
    """Tokens that were given, and signatures that were seen.

    Args:
        behaviour: the endpoint's settings.
    """

    def __init__(self, behaviour: HttpBehaviour) -> None:
        self._behaviour = behaviour
        self._tokens: dict[str, float] = {}  # until when, by token
        self.given = 0

    def fault(self, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
        """Why a request is not let in; None where it is."""
        scheme, _, proof = headers.get("authorization", "").partition(" ")
        match self._behaviour.auth:
            case "none":
                return None
            case "basic":
                return (
                    None if (scheme.lower(), _plain(proof)) == ("basic", f"{USER}:{SANDBOX_SECRET}") else "who are you"
                )
            case "bearer":
                return None if (scheme.lower(), proof) == ("bearer", SANDBOX_SECRET) else "no such token"
            case "header":
                return None if headers.get("x-api-key") == SANDBOX_SECRET else "no such key"
            case "oauth2":
                return (
                    None if scheme.lower() == "bearer" and self._tokens.get(proof, 0) > now else "the token has ended"
                )
            case "hmac":
                return self._unsigned(headers, body, now)

    def token(self, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, object] | None:
        """A token for whoever proves to be the client (RFC 6749, 4.4); None for anybody else."""
        scheme, _, proof = headers.get("authorization", "").partition(" ")
        form = parse_qs(body.decode("ascii", "replace"))
        user, _, password = _plain(proof).partition(":")
        client = (scheme.lower(), unquote_plus(user), unquote_plus(password))
        if client != ("basic", USER, SANDBOX_SECRET) or form.get("grant_type") != ["client_credentials"]:
            return None
        self.given += 1
        token = hashlib.sha256(f"token {self.given}".encode()).hexdigest()
        self._tokens[token] = now + self._behaviour.token_seconds
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._behaviour.token_seconds}

    def end_tokens(self) -> None:
        """Take every token back."""
        self._tokens.clear()

    def _unsigned(self, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
        number, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not number or not at.isdecimal() or abs(int(at) - now) > self._behaviour.signature_seconds:
            return "no webhook-id, or a webhook-timestamp that is not now"
        key = base64.b64decode(SIGNING_SECRET.split("_", 1)[1])
        expected = hmac.new(key, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
        given = [each.partition(",") for each in headers.get("webhook-signature", "").split(" ")]
        signed = any(version == "v1" and _equal(text, expected) for version, _, text in given)
        return None if signed else "the signature does not fit"


def _plain(proof: str) -> str:
    try:
        return base64.b64decode(proof, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _equal(text: str, expected: bytes) -> bool:
    try:
        return hmac.compare_digest(base64.b64decode(text, validate=True), expected)
    except (binascii.Error, ValueError):
        return False
