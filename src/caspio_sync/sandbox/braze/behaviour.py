"""What the emulated Braze workspace is set to; every point the vendor's pages leave open is a switch here."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RateKind = Literal["none", "data_points", "mau"]
HeaderForm = Literal["contract", "epoch", "seconds", "empty", "absent"]
RefusalForm = Literal["contract", "x-ratelimit", "x-ratelimit-retry-after", "retry-after", "http-date", "absent"]
CustomType = Literal["string", "number", "boolean", "date", "array", "object", "object_array"]

Channel = Literal["email", "sms"]

SANDBOX_KEY = "sandbox-key"
NEWSLETTER_GROUP = "6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11"
ORDER_CAMPAIGN = "0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c01"
ORDER_CANVAS = "0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c02"
ORDER_MAIL = "0c5f8f5e-8d3e-4a53-9a41-3f6a2f9f1c03"
SMS_OFFERS_GROUP = "b7c4a4a2-58f0-4c6e-8a51-5a0c9f2f7d22"
_CATALOG_RIGHTS = (
    "create get delete add_items replace_items update_items delete_items get_items create_item replace_item "
    "update_item delete_item get_item create_fields delete_fields create_selection delete_selection"
)
PERMISSIONS = frozenset(
    {"users.track", "users.identify", "users.export.ids", "users.delete", "subscription.status.get"}
    | {"users.alias.new", "users.alias.update", "users.merge", "users.external_ids.rename"}
    | {"users.external_ids.remove", "subscription.status.set", "events.list", "events.get", "purchases.product_list"}
    | {"messages.send", "campaigns.trigger.send", "canvas.trigger.send", "transactional.send"}
    | {"email.unsubscribe", "email.hard_bounces", "subscription.groups.get"}
    | {"campaigns.list", "campaigns.data_series", "canvas.list", "canvas.data_series"}
    | {f"catalogs.{right}" for right in _CATALOG_RIGHTS.split()}
)


def _sandbox_groups() -> dict[str, Channel]:
    return {NEWSLETTER_GROUP: "email", SMS_OFFERS_GROUP: "sms"}


class BrazeBehaviour(BaseModel):
    """The workspace's contract, its settings, and the choices where Braze documents none (sections of the reference).

    Times are seconds unless the name says otherwise, sizes are bytes.
    """

    model_config = ConfigDict(extra="forbid")

    # 1.2, 1.3: keys and what they may do.
    keys: Mapping[str, frozenset[str]] = Field(default_factory=lambda: {SANDBOX_KEY: PERMISSIONS})
    inactive_keys: frozenset[str] = frozenset()

    # 2.1, 2.2: the contract's limit on /users/track and how it is told.
    rate: RateKind = "data_points"
    burst_limit: int = 3000
    burst_seconds: int = 3
    burst_window: Literal["fixed", "rolling"] = "fixed"
    hourly_limit: int = 2_000_000
    rate_headers: HeaderForm = "contract"
    refusal: RefusalForm = "contract"
    export_per_minute: int = 250
    export_per_second: int = 40
    identity_per_minute: int = 20_000
    renames_per_minute: int = 1_000
    group_writes_per_minute: int = 5_000
    lists_per_hour: int = 1_000
    groups_per_hour: int = 250_000  # most of the GET endpoints draw from this pool

    # 2.3, 3.1: sizes.
    body_limit: int = 4_000_000
    body_limit_status: Literal[413, 400] = 413
    objects_limit: Literal["combined", "each"] = "combined"
    max_objects: int = 75

    # 3.9 and 18: what answers look like.
    accepted_status: Literal[200, 201, 202] = 201
    export_status: Literal[200, 201] = 201
    # 6.1 and 18: the form in which an export gives dates of custom attributes is not documented.
    export_dates: Literal["as_sent", "iso"] = "as_sent"
    # 6.1: the page's sample is `2020-07-10 15:00:00.000 UTC`, recordings have ISO 8601. The page leaves out what is
    # empty, recordings show an empty list of aliases, a revenue of 0.0, and the id under its old name as well.
    export_created: Literal["iso", "sample"] = "iso"
    export_empty: Literal["recorded", "omitted"] = "recorded"
    # 7.4: the page writes `Unknown`.
    unknown_state: Literal["unknown", "Unknown"] = "unknown"
    delete_status: Literal[200, 201, 202] = 201
    error_form: Literal["object", "bare", "no_index"] = "object"
    all_rejected_status: Literal[201, 400] = 201
    empty_refused: bool = True  # recorded: a body without any object is a 400
    # 3.2, 3.7: whole numbers for external and product ids were accepted in recordings, and kept as their digits.
    numeric_ids: Literal["accepted", "refused"] = "accepted"
    email_whitespace: Literal["error", "400"] = "error"
    bad_email_rejects_object: bool = True

    # 3.3, 3.4: what happens to values.
    forced_types: Mapping[str, CustomType] = Field(default_factory=dict)
    first_value_fixes_type: bool = True
    long_strings: Literal["truncate", "drop"] = "truncate"
    max_array: int = 500
    blocklisted_attributes: frozenset[str] = frozenset()
    blocked_external_ids: frozenset[str] = frozenset()
    refused_names: frozenset[str] = frozenset({"email_subscription_info"})
    subscription_groups: Mapping[str, Channel] = Field(default_factory=_sandbox_groups)
    resubscribe_on_update: bool = False
    email_lookup_ignores_case: bool = True

    # 3.1, 17: writes are queued, and two requests may overtake each other.
    effect_delay_seconds: float = 0.0
    effect_jitter_seconds: float = 0.0
    # 5: deletion is asynchronous: usually less than a second, up to 5 minutes.
    delete_delay_seconds: float = 0.5
    # 5: the table calls the entries of e-mail addresses and phone numbers strings, the example has objects.
    delete_address_form: Literal["object", "string", "either"] = "object"
    seed: int = 1

    # 2.1, 9.1, 9.2: catalogs: pools, storage of the company in bytes, and writes that are queued.
    catalogs_per_minute: int = 50
    catalog_writes_per_minute: int = 16_000
    catalog_reads_per_minute: int = 50
    catalog_fields_per_minute: int = 50
    catalog_storage: int = 500_000_000
    catalog_delay_seconds: float = 0.5
    catalog_jitter_seconds: float = 0.0
    catalog_silent_failures: frozenset[str] = frozenset()  # ids of items whose queued writes come to nothing
    # 9.2, 9.3: what no page spells out.
    catalog_put_clears: bool = True
    catalog_ids_ignore_case: bool = False
    catalog_coercion: Literal["lenient", "strict"] = "lenient"
    catalog_object_chars: Literal["json", "strings"] = "json"
    catalog_times: Literal["as_sent", "iso"] = "as_sent"
    catalog_zone: str = "UTC"
    catalog_empty_fields: Literal["omitted", "null"] = "omitted"
    catalog_errors: Literal["each", "first", "unnamed"] = "each"
    catalog_put_ids_error: Literal["ids-not-string", "ids-not-strings"] = "ids-not-string"
    catalog_filtered_chars: int = 1_000
    catalog_inventory_fields: frozenset[str] = frozenset()  # "products/stock"
    catalog_large_items: frozenset[str] = frozenset()  # ids of items that are too large, whatever is in them
    catalog_arbitrary_errors: frozenset[str] = frozenset()  # ids of items that the single-item endpoints refuse

    # 8, 10.2: whether the last day of a list is within it is not said; pages of one address may be empty.
    email_lists_end: Literal["exclusive", "inclusive"] = "exclusive"
    email_paging_empties: bool = True
    campaign_series_per_minute: int = 50_000

    # 13: what an API call can trigger; a paused Canvas answers with a notice, and sends nothing.
    api_campaigns: Mapping[str, str] = Field(default_factory=lambda: {ORDER_CAMPAIGN: "Order confirmation"})
    api_canvases: Mapping[str, str] = Field(default_factory=lambda: {ORDER_CANVAS: "After the order"})
    transactional_campaigns: Mapping[str, str] = Field(default_factory=lambda: {ORDER_MAIL: "Order receipt"})
    paused_canvases: frozenset[str] = frozenset()
    broadcasts_per_minute: int = 250

    # 11: Currents is paid for apart; events of people without an external id are sent only where that is switched on.
    currents: bool = False
    currents_anonymous: bool = False

    # The emulator's own.
    latency_ms: float = 0.0
    fields_to_export_required: bool = True
    logged_requests: int = 100
    journal_limit: int = 768 * 1024 * 1024
