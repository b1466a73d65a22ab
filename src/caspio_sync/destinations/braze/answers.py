"""What Braze's endpoints take and answer, and how often they may be asked; `braze.py` asks them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caspio_sync.errors import PermanentError
from caspio_sync.wire.http import RateLimit, RefusedError
from caspio_sync.wire.taken import ObjectError

MAX_EXPORT_IDS = 50  # POST /users/export/ids (Braze, 6.1)
MAX_IDENTIFIED = 50  # POST /users/identify (Braze, 5)
MAX_GROUP_IDS = 50  # GET /subscription/status/get (Braze, 7.4)
MAX_DELETED_IDS = 50  # POST /users/delete (Braze, 5)
# Braze's limits (Braze, 2.1), as requests and seconds. The export's is that of a workspace with the default limit where
# fields are named, and neither campaigns nor canvases are among them; others have 250 or 2,500 a minute.
EXPORT_LIMIT = (40, 1.0)
SLOWEST_EXPORT_PER_MINUTE = 250
IDENTITY_LIMIT = (20_000, 60.0)  # one pool with delete, merge and the alias endpoints
GENERAL_LIMIT = (250_000, 3_600.0)  # one pool of most other endpoints, among them the subscription groups


def ids_an_export(kind: str) -> int:
    """How many identifiers of a kind one export may name; an address or a number has one for itself (Braze, 7.4)."""
    return MAX_EXPORT_IDS if kind in {"external_id", "user_alias"} else 1


class TrackRefusedError(RefusedError):
    """A request about profiles that Braze refused as a whole.

    Args:
        message: as for `CallError`.
        status: 400, 413, or another that is refused for good.
        message_text: Braze's own message.
        rate: the answer's rate window.
        errors: entries of its `errors`, as far as they can be read; those with an index name the object at fault.
    """

    def __init__(
        self, message: str, *, status: int, message_text: str, rate: RateLimit, errors: tuple[ObjectError, ...]
    ) -> None:
        super().__init__(message, status=status, message_text=message_text, rate=rate)
        self.errors = errors


def refusal_text(error: PermanentError) -> str:
    """Braze's own words for a refusal, with those of its `errors`."""
    words = str(getattr(error, "message_text", "") or error)
    if not isinstance(error, TrackRefusedError) or not error.errors:
        return words
    return f"{words}: {', '.join(dict.fromkeys(each.type for each in error.errors))}"


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """Profiles by id, and the ids that have none (Braze, POST /users/export/ids)."""

    users: list[dict[str, Any]]
    invalid_user_ids: list[str]
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class EmailToIdentify:
    """The external id for a profile that is known by its address alone (Braze, POST /users/identify)."""

    external_id: str
    email: str


@dataclass(frozen=True, slots=True)
class IdentifyAnswer:
    """A 2xx of POST /users/identify; an address that no profile has counts as processed."""

    aliases_processed: int
    rate: RateLimit


@dataclass(frozen=True, slots=True)
class GroupStates:
    """State of one subscription group by external id: "subscribed", "unsubscribed" or "unknown"."""

    states: dict[str, str]
    rate: RateLimit


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """Those of the identifiers asked for that have a profile."""

    found: list[Mapping[str, Any]]
    rate: RateLimit


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """A 2xx of POST /users/delete: `deleted` profiles are queued, none of them is gone yet."""

    status: int
    deleted: int
    rate: RateLimit
