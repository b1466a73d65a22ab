"""What a sync file of `destination: http` says besides what its kind says: where requests go, and what answers mean."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from caspio_sync.destinations.http.templates import Address, Template
from caspio_sync.json_paths import Path, path
from caspio_sync.mapping.document import Fault, Location
from caspio_sync.mapping.field import AsTuple, Strict

Method = Literal["POST", "PUT", "PATCH", "DELETE"]
_SECRET = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Set by us, or by the connection.
_OWN = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "expect", "host", "te", "trailer",
     "transfer-encoding", "upgrade", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp"}
)  # fmt: skip
_SECRET_WORDS = ("auth", "cookie", "api-key", "api_key", "apikey", "token", "secret", "password", "signature")
_STATUS = re.compile(r"[1-5]xx")


def _secret_name(text: str) -> str:
    if not _SECRET.fullmatch(text):
        raise ValueError(
            "names a secret of HTTP_SECRETS in small letters, such as warehouse; the secret itself does not stand in a "
            "sync file, which others read: move it there"
        )
    return text


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _OWN:
        raise ValueError("is no header that a sync file may set; write another one, such as X-Source")
    return name


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def _headers(given: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in given.items():
        _header_name(name)
        if _is_secret(name):
            raise ValueError(f"'{name}' is a header for a secret, which does not stand in a sync file: use `auth`")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"'{name}' has a value that no header has; write printable ASCII")
    return given


def _address(text: str) -> str:
    address = Address(text)
    names = re.findall(r"[?&]([^=&#]+)=(?!\s*\{\{)", text)
    if found := next((name for name in names if _is_secret(name)), None):
        raise ValueError(f"'{found}' in an address is a secret that everybody on the way writes down: use `auth`")
    if "#" in address.literal or not address.literal.isascii() or not address.literal.isprintable():
        raise ValueError("holds a #, or signs that no address has; write it percent-encoded")
    return text


def _body(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def _template(given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if isinstance(given, str):
        Template(given)
    elif given is not None and (not given or len(set(given)) < len(given)):
        raise ValueError("names no field, or one twice; write the fields that each object holds")
    return given


def _status(given: str | int) -> str | int:
    if isinstance(given, int) and 200 <= given <= 599:
        return given
    if isinstance(given, str) and _STATUS.fullmatch(given):
        return given
    raise ValueError(f"'{given}' is no status; write such as 200 or 2xx")


def _path(text: str) -> str:
    path(text)
    return text


SecretName = Annotated[str, AfterValidator(_secret_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Headers = Annotated[Mapping[str, str], AfterValidator(_headers)]
Url = Annotated[str, AfterValidator(_address)]
Body = Annotated[str | tuple[str, ...] | None, BeforeValidator(_body), AfterValidator(_template)]
Status = Annotated[str | int, AfterValidator(_status)]
JsonPath = Annotated[str, AfterValidator(_path)]


class Basic(Strict):
    """A name and a password (RFC 7617)."""

    user: Annotated[str, Field(min_length=1, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: SecretName


class Header(Strict):
    """A secret in a header of its own."""

    name: HeaderName
    secret: SecretName


class ClientCredentials(Strict):
    """A token that is asked for (RFC 6749, 4.4), again before it ends.

    Args:
        token_url: where.
        client_id: who asks.
        client_secret: its secret.
        scope: what for; "" for all that the client may.
    """

    token_url: Url
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretName
    scope: str = ""


class Auth(Strict):
    """How requests prove who sends them; at most one. Secrets are named, and stand in HTTP_SECRETS.

    Args:
        basic: a name and a password.
        bearer: a token (RFC 6750).
        header: a secret in a header of its own.
        oauth2_client_credentials: a token that is asked for.
        hmac: a signature of each request (Standard Webhooks).
    """

    basic: Basic | None = None
    bearer: SecretName | None = None
    header: Header | None = None
    oauth2_client_credentials: ClientCredentials | None = None
    hmac: SecretName | None = None

    @model_validator(mode="before")
    @classmethod
    def _none(cls, given: Any) -> Any:
        if isinstance(given, str) and given != "none":
            raise ValueError("is `none`, or one of basic, bearer, header, oauth2_client_credentials and hmac")
        return {} if given == "none" else given

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for _, each in self) > 1:
            raise ValueError("says two ways; keep one")
        return self

    @property
    def names(self) -> list[str]:
        """The secrets that it names."""
        basic, header, client = self.basic, self.header, self.oauth2_client_credentials
        named = (
            self.bearer,
            self.hmac,
            None if basic is None else basic.password,
            None if header is None else header.secret,
            None if client is None else client.client_secret,
        )
        return [each for each in named if each is not None]


class SideRequest(Strict):
    """A request about one person, who is in its address or its body.

    Args:
        method: HTTP method.
        url: as in `Request`.
        headers: as in `Request`.
        body: as in `Request`; none where the address says it all.
        ok: statuses that say it is done; name 404 where it means that whoever it is about is not there.
    """

    method: Method = "POST"
    url: Url
    headers: Headers = Field(default_factory=dict)
    body: Body = None
    ok: Annotated[tuple[Status, ...], AsTuple] = ("2xx",)


class Request(Strict):
    """How rows travel.

    Args:
        method: HTTP method.
        url: where; scheme and host as they are, behind them perhaps values, such as {{ key }}, percent-encoded.
        headers: more headers, the same for every request.
        body: names of the fields that each object holds, by default the key and all of them; or a template of the whole
            body, in which {{ rows }} are the objects, and of one row alone its fields as well: {{ … }} becomes JSON.
        batch: rows a request, 1 to 1,000.
        encoding: "json": an array, of one row alone an object; "ndjson": an object a line; "form": names and values.
    """

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    url: Url
    headers: Headers = Field(default_factory=dict)
    body: Body = None
    batch: int = Field(default=1, ge=1, le=1000)
    encoding: Literal["json", "ndjson", "form"] = "json"


class Answers(Strict):
    """What an answer says.

    Args:
        ok: statuses by which the rows are taken.
        refused: statuses by which rows are refused, besides those that always are (`answers.py`).
        errors: where the refused rows of a taken request stand in its JSON; none: a request is taken as a whole.
        index: in each of these, the place of the row in the request.
        first: which number the first place has.
        reason: in each of these, and in a refusal, the words.
    """

    ok: Annotated[tuple[Status, ...], AsTuple] = ("2xx",)
    refused: Annotated[tuple[Status, ...], AsTuple] = ()
    errors: JsonPath | None = None
    index: str = "index"
    first: Literal[0, 1] = 0
    reason: str = "message"


class Limits(Strict):
    """How much the endpoint takes.

    Args:
        requests_a_second: until its answers say otherwise (X-RateLimit headers, 429).
        connections: requests in flight at the most.
        bytes: of a body; a row that is larger goes alone.
    """

    requests_a_second: float = Field(default=10.0, gt=0, le=10_000, allow_inf_nan=False)
    connections: int = Field(default=8, ge=1, le=16)
    bytes: int = Field(default=1_000_000, ge=1_000, le=50_000_000)


class Verify(Strict):
    """A GET that tells what the endpoint holds of one row; 404 where it holds none.

    Args:
        url: as in `Request`.
        at: where the row stands in the JSON that answers.
    """

    url: Url
    at: JsonPath = "$"


class HttpSync(Strict):
    """The keys that `destination: http` adds to those of a kind.

    Args:
        request: how rows travel.
        auth: how requests prove who sends them.
        answers: what an answer says.
        when_lost: "repeat": a request whose answer was lost is sent again.
        idempotency_key: header by which the endpoint knows a request again that is sent twice.
        limits: how much it takes.
        verify: how a row is read back.
        on_erase: how a person is deleted.
        on_opt_out: how it is told, ahead of everything else, that a person's consent was taken back.
        allow_private: whether the hosts may be on this machine, in a private network or a cloud's own services.
    """

    request: Request
    auth: Auth = Auth()
    answers: Answers = Answers()
    when_lost: Literal["repeat", "doubt", "never"] = "repeat"
    idempotency_key: HeaderName | None = None
    limits: Limits = Limits()
    verify: Verify | None = None
    on_erase: SideRequest | None = None
    on_opt_out: SideRequest | None = None
    allow_private: bool = False

    @property
    def origin(self) -> str:
        """Scheme and host of where rows go."""
        return Address(self.request.url).origin

    @property
    def origins(self) -> list[str]:
        """Every scheme and host that it names, each once."""
        token = self.auth.oauth2_client_credentials
        urls = [each.url for each in (self.request, self.verify, self.on_erase, self.on_opt_out) if each is not None]
        return list(dict.fromkeys(Address(url).origin for url in [*urls, *([token.token_url] if token else [])]))

    def contradictions(self) -> Iterator[Fault]:
        """As `Sync.contradictions`, of the kind's keys and of these."""
        yield from super().contradictions()  # type: ignore[misc]  # it stands before a kind's definition
        yield from faults(self)

    def error_path(self) -> Path | None:
        """Where the refused rows of a taken request stand."""
        return None if self.answers.errors is None else path(self.answers.errors)


def keyed(sync: HttpSync) -> bool:
    """Whether each row has an address of its own."""
    return bool(Address(sync.request.url).names)


def matches(status: int, statuses: tuple[str | int, ...]) -> bool:
    """Whether a status is one of these."""
    return status in statuses or f"{status // 100}xx" in statuses


def faults(sync: Any) -> Iterator[Fault]:
    """Places of a sync's file that do not go together, as `Sync.contradictions`."""
    key, states = {"key", sync.identity.kind}, set(sync.consent.columns)
    yield from _name_faults(sync)
    yield from _request_faults(sync, key, key | states | set(sync.fields))
    for place, known in (("on_erase", key), ("on_opt_out", key | states), ("verify", key)):
        if (side := getattr(sync, place)) is not None:
            yield from _unknown_names((place,), side, known, known)
            if not (Address(side.url).names | _names(getattr(side, "body", None))) & key:
                yield (place,), "says nowhere whom it is about; add {{ key }} to the address, or key to the body"
    if states and sync.on_opt_out is None:
        said = "an opt-out leaves ahead of everything, also of a row that is held, and nothing says how"
        yield ("consent",), f"{said}: add `on_opt_out`, or remove `consent`"


def _name_faults(sync: Any) -> Iterator[Fault]:
    if sync.identity.kind in sync.fields:
        yield ("fields", sync.identity.kind), "is what the key is called in each object; name the field otherwise"
    if found := {"row", "rows"} & set(sync.fields):
        yield ("fields", min(found)), "is what templates call a whole row, or all of them; name the field otherwise"
    if sync.when_lost != "repeat":
        yield ("when_lost",), "`doubt` and `never` are not built yet: values are whole, and are sent again (`repeat`)"


def _request_faults(sync: Any, key: set[str], fields: set[str]) -> Iterator[Fault]:
    request: Request = sync.request
    if request.batch > 1 and keyed(sync):
        yield ("request", "url"), "holds a value, so that each row has an address of its own: write `batch: 1`"
    if request.encoding == "form" and (request.batch > 1 or isinstance(request.body, str)):
        yield ("request", "encoding"), "a form holds the fields of one row: write `batch: 1`, and names under `body`"
    alone = fields | {"row"} if request.batch == 1 else set[str]()
    yield from _unknown_names(("request",), request, fields, alone | {"rows"})
    named = Address(request.url).names | _names(request.body or (sync.identity.kind,))
    if not named & (key | {"row", "rows"}):
        yield (
            ("request",),
            f"says nowhere whom a row is about; add {{{{ key }}}} to the address, or {sync.identity.kind} to the body",
        )


def _names(body: str | tuple[str, ...] | None) -> frozenset[str]:
    """The names that a body asks for."""
    return Template(body).names if isinstance(body, str) else frozenset(body or ())


def _unknown_names(
    at: Location, request: Request | SideRequest | Verify, listed: set[str], filled_in: set[str]
) -> Iterator[Fault]:
    """Names in an address or a body that stand for nothing."""
    body = getattr(request, "body", None)
    asked = (
        ("url", Address(request.url).names, listed | {"row"} if "rows" in filled_in else listed),
        ("body", _names(body), filled_in if isinstance(body, str) else listed),
    )
    for place, names, known in asked:
        for name in sorted(names - known):
            yield (*at, place), f"'{name}' stands for nothing here; there are: {', '.join(sorted(known))}"
