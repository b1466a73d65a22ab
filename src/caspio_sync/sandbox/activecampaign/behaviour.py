"""What the emulated ActiveCampaign account is set to; every point its pages leave open is a switch here.

`[3P]` in the reference is what third parties saw, `INFERRED` what nobody wrote down: all are switches, tried both
ways.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SANDBOX_KEY = "sandbox-activecampaign-key"
SANDBOX_EVENT_ID = "25100101"
SANDBOX_EVENT_KEY = "sandbox-activecampaign-event-key"


def _sandbox_lists() -> dict[str, str]:
    return {"11": "Newsletter", "12": "Offers"}


def _sandbox_automations() -> dict[str, str]:
    return {"21": "Welcome", "22": "Win back"}


def _sandbox_pipelines() -> dict[str, tuple[str, ...]]:
    return {"Shop": ("Placed", "Shipped", "Returned"), "Wholesale": ("Asked", "Offered", "Placed")}


class ActiveCampaignBehaviour(BaseModel):
    """The account's settings, and the choices where its pages document none (sections of the reference).

    Times are seconds, sizes are bytes.
    """

    model_config = ConfigDict(extra="forbid")

    # 1: who may ask, and how a key that is not good is told.
    keys: frozenset[str] = frozenset({SANDBOX_KEY})
    bad_key: Literal["forbidden", "errors", "page"] = "forbidden"
    account_active: bool = True
    forbidden_at: frozenset[int] = frozenset()  # calls, counted from 1, that are refused with 403 for no reason

    # 1: how a date is told that there is none of.
    empty_dates: Literal["null", "zeros"] = "null"

    # 2, 3: totals, rates, empty searches.
    totals: Literal["text", "number"] = "text"
    calls_per_second: int = 5
    retry_after: int = 1
    no_match: Literal["empty", "missing"] = "empty"

    # 4: contacts.
    updated_status: Literal[200, 201] = 200
    bad_email_status: Literal[422, 400] = 422
    empty_clears: bool = True
    deletes_a_month: int | None = None
    parts_in_pages: bool = False  # whether a contact's lists, tags and entries come 20 at a time, as collections do (2)

    # 5: custom fields.
    made_field: Literal["object", "list"] = "object"
    titles_ignore_case: bool = True
    options: Literal["as_sent", "strict"] = "as_sent"

    # 6: bulk import.
    import_seconds: float = 1.0  # until a job is completed
    import_ends: Literal["completed", "never", "failed"] = "completed"
    import_order: Literal["input", "reversed"] = "input"
    import_index: Literal[0, 1] = 0
    imports_a_minute: int = 100
    single_imports_a_minute: int = 20
    import_bytes: int = 400_000
    excluded: frozenset[str] = frozenset()  # addresses on the account's exclusion list

    # 7: tags.
    duplicate_tag: Literal["refused", "known"] = "refused"  # 422, or the tag that is there
    tags_ignore_case: bool = False
    unknown_tag_status: Literal[404, 422] = 404
    retagged_status: Literal[200, 201] = 200
    account_joins: bool = True  # whether the joins of all contacts can be read (4, seen by others only)

    # 8: lists, id → name.
    lists: Mapping[str, str] = Field(default_factory=_sandbox_lists)
    membership_status: Literal[200, 201] = 200
    bad_reference_status: Literal[400, 422] = 400

    # 9: automations, id → name; the ids of those that are switched off, and how that is told.
    automations: Mapping[str, str] = Field(default_factory=_sandbox_automations)
    inactive_automations: frozenset[str] = frozenset()
    inactive_status: Literal["2", "0"] = "2"
    multientry: bool = False  # whether who was in an automation may enter it again

    # 10: event tracking, on a host of its own.
    event_id: str = SANDBOX_EVENT_ID
    event_key: str = SANDBOX_EVENT_KEY
    tracking_enabled: bool = True
    untracked: Literal["taken", "refused"] = "taken"  # how an event is answered that is not saved: tracking is off
    event_refusal: Literal["success", "400"] = "success"  # 200 with `success: 0` and a message, or 400 and nothing
    event_of_nobody: Literal["taken", "refused"] = "taken"  # of an address that no contact has
    event_value_chars: int = 255
    event_calls_per_second: int = 5

    # 12: deals. Pipelines, title → titles of its stages, in their order.
    pipelines: Mapping[str, tuple[str, ...]] = Field(default_factory=_sandbox_pipelines)
    auto_assign: Literal["0", "1", "2"] = (
        "1"  # whether a pipeline gives a deal without an owner one: not, in turn, by value
    )
    deal_refusal: Literal["items", "empty"] = "items"  # 422 with its reasons, or 400 and nothing
    missing_deal_status: Literal[404, 403] = 404
    deals_of_deleted: Literal["stay", "gone"] = "stay"  # of a contact that is deleted

    # 13: webhooks. Posts, counted from 1, that are lost or made twice; seconds until one is made; how its time is told,
    # the minutes that the account's wall clock is ahead of UTC, and how a list is.
    hooks_lost: frozenset[int] = frozenset()
    hooks_doubled: frozenset[int] = frozenset()
    hook_delay: float = 0.0
    hook_time: Literal["iso", "plain"] = "iso"
    zone_minutes: int = -360
    hook_lists: Literal["plain", "array"] = "plain"
