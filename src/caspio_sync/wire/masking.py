"""Texts that come from outside, made fit to be shown: without the request's own credentials, without values of ours.

Credentials go first: masking and cutting would leave pieces of them that no longer look like any.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs, quote

import httpx

# Extensions of a request: its secrets, where they stand in no header known here; and how its address is shown, where
# the path holds what only the other side may know, such as the key of a person.
SECRETS, SHOWN = "caspio_sync.secrets", "caspio_sync.shown"
MESSAGE_CHARS = 300
STRUCK = "[credential]"
_READ_CHARS = 10_000  # of a text; what is shown of it is far shorter
# So many characters in a row of a credential are a piece of it. Vendors echo keys cut short, and proxies break lines.
_PIECE = 8
_SHORTEST = 4  # a credential of fewer is found in every other word, and guards nothing
_FORM = "application/x-www-form-urlencoded"
_EMAIL = re.compile(r"[^\s@'\"<>]+@[^\s@'\"<>]+")
_DIGITS = re.compile(r"\d{5,}")
_QUOTED = re.compile(r"""(['"])(.{1,255}?)\1""")
_NAME = re.compile(r"[A-Za-z_$][\w.$-]{0,63}")
# ASCII alone: other letters change their number when their case changes, and places would no longer fit.
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def masked(text: str, request: httpx.Request) -> str:
    """`text` on one line of at most 300 characters, without credentials, addresses, long numbers, the request's values.

    Args:
        text: words of an answer, of any length.
        request: what was answered; it tells which words are secret, and which are values.
    """
    line = " ".join(struck(text, credentials(request)).split())
    line = _QUOTED.sub(lambda found: found[0] if _is_name(found[2], request) else f"{found[1]}…{found[1]}", line)
    line = _DIGITS.sub("…", _EMAIL.sub("…", line))
    return line if len(line) <= MESSAGE_CHARS else f"{line[: MESSAGE_CHARS - 1]}…"


def credentials(request: httpx.Request) -> list[str]:
    """What proves who asks: the token of the Authorization or Api-Token header, the secret, id or key of a form.

    And whatever the request says of itself that is secret (`SECRETS`).
    """
    found = [
        *request.extensions.get(SECRETS, ()),
        request.headers.get("authorization", "").rpartition(" ")[2],
        request.headers.get("api-token", ""),
    ]
    form = _form(request)
    found += [value for name in ("client_secret", "client_id", "key") for value in form.get(name, [])]
    return [each for each in found if each]


def shown(request: httpx.Request) -> str:
    """Host and path of a request, for people."""
    told: str = request.extensions.get(SHOWN) or f"{request.url.host}{request.url.path}"
    return told


def _form(request: httpx.Request) -> dict[str, list[str]]:
    """What a form sends, by name; nothing where the request is none."""
    if not request.headers.get("content-type", "").startswith(_FORM):
        return {}
    return parse_qs(request.content.decode("ascii", "replace"))


def struck(text: str, secrets: Iterable[str]) -> str:
    """`text`, at most its first 10,000 characters, without these secrets: as they are, encoded, or pieces of them."""
    text = text[:_READ_CHARS]
    lower = text.translate(_LOWER)
    pieces = {piece for secret in secrets for form in _forms(secret) for piece in _pieces(form.translate(_LOWER))}
    taken = bytearray(len(text))
    for size in {len(piece) for piece in pieces}:
        for start in range(len(text) - size + 1):
            if lower[start : start + size] in pieces:
                taken[start : start + size] = b"\x01" * size
    return "".join(_kept(text, taken))


def _kept(text: str, taken: bytearray) -> Iterator[str]:
    before = 0
    for place, letter in enumerate(text):
        if not taken[place]:
            yield letter
        elif not before:
            yield STRUCK
        before = taken[place]


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written: plain, in an address, in a JSON text, as numbers of its characters, in base64."""
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield "".join(f"%{byte:02x}" for byte in raw)
    yield "".join(letter if letter.isalnum() else f"\\u{ord(letter):04x}" for letter in secret)
    yield "".join(f"\\u{ord(letter):04x}" for letter in secret)
    yield secret.replace("/", "\\/")
    yield raw.hex()
    for ahead in range(3):  # base64 of a longer text holds it in one of three shifts; the ends are mixed with the rest
        for alphabet in (None, b"-_"):
            yield base64.b64encode(bytes(ahead) + raw, alphabet).decode()[4 if ahead else 0 : -4]


def _pieces(form: str) -> Iterator[str]:
    """Every piece of a form; of one shorter than a piece, the whole of it."""
    size = min(_PIECE, len(form))
    return (form[start : start + size] for start in range(len(form) - size + 1) if size >= _SHORTEST)


def _is_name(quoted: str, request: httpx.Request) -> bool:
    """Whether a quoted word is a field or table rather than a value: names are never literals of the request."""
    if not _NAME.fullmatch(quoted):
        return False
    as_value = re.compile(rb'"' + re.escape(quoted.encode()) + rb'"(?!\s*:)')
    literals = [text for _, text in request.url.params.multi_items()]
    return (
        not as_value.search(request.content)
        and not any(f"'{quoted}'" in text for text in literals)
        and not any(quoted in value for values in _form(request).values() for value in values)
    )
