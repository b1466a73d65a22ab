"""What the emulator does where Caspio's own behaviour is inferred or open, and how it refuses.

Every switch stands for a line of the reference page's section 11, or for a fact marked INF or OPEN in sections 1 to 4.
The defaults are what was seen of the service, else the stricter reading: a client that passes here asks nothing of
Caspio that it may not get.
"""

from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, ConfigDict

MAX_RECORDS = 1000
MAX_URI_CHARS = 2047


class CaspioBehaviour(BaseModel):
    """Switches of the emulated account and service.

    Args:
        client_id: Client ID of the one API profile.
        client_secret: its Client Secret.
        account_time_zone: IANA zone of the account: GETDATE(), Timestamps without a zone, written offsets (2.4).
        token_seconds: lifetime of an access token (1.2).
        unauthorized_body: whether a 401 has a JSON body (1.2).
        hidden_objects: tables and views outside the profile's rights: 403, and absent from the lists (1.3).
        read_only_objects: tables whose records the profile may read only (1.3).
        ip_forbidden: refuse every call with 403 IpForbidden (1.3).
        unknown_field: answer to an unknown field of a query: 404 since release 73.0, SqlServerError before it (3.3).
        unordered: order of rows where q.orderBy leaves it open: "limit" shuffles in q.limit mode alone, "always" in
            page mode too, "never" keeps PK_ID order (3.2).
        small_limits: whether q.limit below 5 is accepted (3.1).
        paged_aggregates: whether an aggregate without q.groupBy may carry limit or page parameters (3.1).
        star_has_pk: whether an absent q.select returns PK_ID (3.1).
        bracketed_names: whether a field's name may stand in brackets, which words of SQL need (3.3, OPEN).
        array_insert: whether POST records takes an array of records (3.4).
        unique_violation_status: 400 (SqlServerError) or 409 (4.2).
        read_only_status: status of AlterReadOnlyData: 400 or 500 (4.2).
        list_only_update: "counted", or the v2 bug: 0 affected, and 500 with response=rows (2.5).
        update_result_key: whether PUT without response=rows answers an empty Result (3.5).
        triggered_rows: rows that triggered actions change besides, and RecordsAffected of a PUT counts (3.5).
        numbers_as_text: a number or Yes/No written as text: "accepted", as Caspio's own workflow node can write nothing
            else, or "refused" (2.3).
        offset_dates: a Date/Time written with an offset: "converted" to the account's zone, or "refused" (2.4).
        stored_milliseconds: whether Timestamps hold a part of a second that is never shown (2.4).
        unset_text: what a Text (255) field holds that an insert did not name: "empty" or "null" (2.3).
        astral_text: characters beyond the basic plane in a body: "refused" (AlterReadOnlyData) or "stored" (2.5).
        calls_per_window: calls in `window_seconds` before 429, None for no limit (4.1).
        window_seconds: length of that window.
        calls_per_second: calls in any second before 429, None for no limit (4.1).
        retry_after: whether a 429 carries Retry-After (4.1).
        all_objects: whether the profile has "Enable access to all objects", without which webhooks are refused (1.3).
        account_id: `accountId` of messages (5.3).
        webhook_multicast: whether the plan allows several URLs a webhook (5.1).
        webhook_calls_per_second: the plan's maximum of CallThrottling, and its default (5.5).
        webhook_batch: a statement that changes n rows makes n messages ("each"), or one ("together") (5.3, OPEN).
        triggered_tables: tables with a triggered action, whose lists messages leave out (5.2).
        webhook_secret_in_payload: whether the default payload holds the secret (5.4).
        webhook_signature_header: header of the signature; "" for none (5.4, OPEN).
        webhook_signature_encoding: "hex" or "base64" (5.4, OPEN).
        webhook_signature_prefix: before the signature, such as "sha256=" (5.4, OPEN).
        webhook_loss: share of messages that never leave.
        webhook_duplicates: share of messages that are called twice, under one messageId.
        webhook_disorder: whether messages overtake each other (5.5).
        webhook_delay_seconds: between a change and its call.
        webhook_attempts: how often a call is made that is not taken (5.5, OPEN).
        webhook_retry_seconds: before the second attempt; twice as long before each further one.
        token_calls_limited: whether token requests count towards the two limits; they are always billed (4.1).
        seed: of everything random: shuffles, GUIDs, Random IDs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = "sandbox"
    client_secret: str = "sandbox-secret"  # noqa: S105 - the emulator's published credential, worth nothing elsewhere
    account_time_zone: str = "America/Los_Angeles"
    token_seconds: int = 86399
    unauthorized_body: bool = False
    hidden_objects: frozenset[str] = frozenset()
    read_only_objects: frozenset[str] = frozenset()
    ip_forbidden: bool = False
    unknown_field: Literal["not_found", "sql_error"] = "not_found"
    unordered: Literal["limit", "always", "never"] = "limit"
    small_limits: bool = True
    paged_aggregates: bool = False
    star_has_pk: bool = True
    bracketed_names: bool = True
    array_insert: bool = False
    unique_violation_status: Literal[400, 409] = 400
    read_only_status: Literal[400, 500] = 400
    list_only_update: Literal["counted", "lost"] = "counted"
    update_result_key: bool = True
    triggered_rows: int = 0
    numbers_as_text: Literal["accepted", "refused"] = "accepted"
    offset_dates: Literal["converted", "refused"] = "converted"
    stored_milliseconds: bool = False
    unset_text: Literal["empty", "null"] = "empty"
    astral_text: Literal["refused", "stored"] = "refused"
    calls_per_window: int | None = None
    window_seconds: float = 300
    calls_per_second: int | None = None
    retry_after: bool = False
    all_objects: bool = True
    account_id: str = "c0abc123"
    webhook_multicast: bool = False
    webhook_calls_per_second: int = 10
    webhook_batch: Literal["each", "together"] = "each"
    triggered_tables: frozenset[str] = frozenset()
    webhook_secret_in_payload: bool = True
    webhook_signature_header: str = "X-Caspio-Signature"
    webhook_signature_encoding: Literal["hex", "base64"] = "hex"
    webhook_signature_prefix: str = ""
    webhook_loss: float = 0.0
    webhook_duplicates: float = 0.0
    webhook_disorder: bool = False
    webhook_delay_seconds: float = 0.0
    webhook_attempts: int = 1
    webhook_retry_seconds: float = 60.0
    token_calls_limited: bool = False
    seed: int = 1


class Refusal(Exception):  # noqa: N818 - an answer of the emulated API, not an error of ours
    """A call that the API refuses (4.2).

    Args:
        status: HTTP status.
        code: the body's Code.
        message: the body's Message.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = int(status)
        self.code = code
        self.message = message


def bad_query(detail: str) -> Refusal:
    """400 for a query parameter that is absent or wrong."""
    message = f"Required query parameter absent or has incorrect format: {detail}"
    return Refusal(HTTPStatus.BAD_REQUEST, "IncorrectQueryParameter", message)


def bad_body(detail: str) -> Refusal:
    """400 for a body that is absent or of the wrong shape."""
    message = f"Required body parameter absent or has incorrect format: {detail}"
    return Refusal(HTTPStatus.BAD_REQUEST, "IncorrectBodyParameter", message)


def sql_error(message: str) -> Refusal:
    """400 with the text of the database below."""
    return Refusal(HTTPStatus.BAD_REQUEST, "SqlServerError", message)


def mismatch(fields: list[str]) -> Refusal:
    """400 for values that do not fit the type of their fields."""
    message = (
        "Cannot perform operation because the value doesn't match the data type of the following field(s): "
        + ", ".join(fields)
    )
    return Refusal(HTTPStatus.BAD_REQUEST, "InvalidInputValue", message)


def no_object(name: str) -> Refusal:
    """404 for a table, view or path that does not exist."""
    return Refusal(HTTPStatus.NOT_FOUND, "ObjectNotFound", f"Object '{name}' was not found.")


def no_field(names: list[str]) -> Refusal:
    """404 for fields that the object does not have."""
    return Refusal(HTTPStatus.NOT_FOUND, "FieldNotFound", f"Field(s) not found: {', '.join(names)}")
