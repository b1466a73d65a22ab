"""Where a run may die: before and after every step of the data path."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

# Every boundary of the data path: before and after each of these a run may die.
BOUNDARIES = {
    "caspio_sync.engine.reading:Reading": ("next_batch",),
    "caspio_sync.engine.comparing": ("map_batch", "open_batch", "compare_batch", "_claim"),
    "caspio_sync.engine.sending": ("send_opt_outs", "planned_writes", "send_batch"),
    "caspio_sync.engine.recording": ("record_batch", "close_batch", "record_blocked_batch"),
    "expectations.suites:Gates": ("_judge",),
    "caspio_sync.caspio.client:CaspioClient": ("fields", "aggregate", "records"),
    "caspio_sync.destinations.braze.client:BrazeClient": ("track",),
    "caspio_sync.ledger.store:Ledger": (
        "acquire_lease", "start_run", "mapping_version", "open_batch", "record", "record_sent", "rebase",
        "close_batch", "move_cursor", "finish_run", "release_lease", "begin_sweep", "forget_sweep",
    ),
    # Inside a transaction: written and not committed.
    "caspio_sync.ledger.history": ("append", "append_sent"),
    "caspio_sync.ledger.sending": ("_note_sending", "_fold_batch"),  # inside a transaction
}  # fmt: skip
# Those that only syncs of catalogs pass, and those that only syncs of profiles do.
CATALOG_BOUNDARIES = {
    "caspio_sync.destinations.braze.catalog_schema:CatalogKeeper": ("look", "keep", "_create", "_add", "_delete", "_visible"),
    "caspio_sync.kinds.catalog.items": ("keep_schema",),
    "caspio_sync.kinds.catalog.work:CatalogWork": ("note_read", "release_keys"),
    "caspio_sync.kinds.catalog.vanished": ("find_vanished", "_still_there", "delete_vanished", "_record"),
    "caspio_sync.destinations.braze.catalog_client:CatalogClient": (
        "catalogs", "create_catalog", "add_fields", "delete_field", "write_items",
    ),
    "caspio_sync.ledger.store:Ledger": (
        "remember_catalog", "forget_sent", "note_leaving", "note_left", "doubt_unrecorded", "abandon", "known_items",
        "abandoned", "record_deleted",
    ),
}  # fmt: skip
# Those that only an engagement return passes.
RETURN_BOUNDARIES = {
    "caspio_sync.inbox:Inbox": ("add",),
    "caspio_sync.kinds.engagement.told": ("fold_inbox",),
    "caspio_sync.ledger.engagement": ("_add",),  # inside a transaction
    "caspio_sync.ledger.store:Ledger": ("record_fold", "record_series", "agree"),
    "caspio_sync.kinds.engagement.wanted_rows": ("want_batch",),
    "caspio_sync.kinds.engagement.writing_back": ("write_batch", "record_written", "_agree"),
    "caspio_sync.kinds.engagement.campaign_stats": ("write_days",),
    "caspio_sync.caspio.client:CaspioClient": ("update", "insert", "create_table"),
}
# Those that only syncs of events pass.
EVENT_BOUNDARIES = {
    "caspio_sync.kinds.events.comparing": ("compare_events",),
    "caspio_sync.kinds.events.line": ("read_lines",),
    "caspio_sync.kinds.events.sending": ("loaded",),
    "caspio_sync.kinds.events.sending:Departing": ("commit", "_note", "_withdraw", "_record_taken"),
    "caspio_sync.destinations.braze.client:BrazeClient": ("probe_track",),
    "caspio_sync.destinations.braze.sending_client:SendingClient": ("send", "ask"),  # of messages
    "caspio_sync.ledger.store:Ledger": (
        "count_events", "note_lost", "release_unknown", "note_departure", "note_not_left", "event_rows", "journal_rows", "note_reached",
    ),
    # Inside a transaction: the outcome is written, and the journal not yet; then both, and not committed.
    "caspio_sync.ledger.sending": ("settle",),
    "caspio_sync.ledger.record": ("settle",),
}  # fmt: skip
# Those that only syncs of contacts pass.
CONTACT_BOUNDARIES = {
    "caspio_sync.destinations.activecampaign.client:ActiveCampaignClient": (
        "sync_contact", "change_contact", "import_contacts", "import_info", "subscribe", "put_on", "memberships", "ids",
        "ask", "ask_once",
    ),
    "caspio_sync.destinations.activecampaign.tags:Tags": ("give", "take", "take_from", "take_others", "take_others_from"),
    "caspio_sync.destinations.activecampaign.memberships:Memberships": ("put", "leave"),
    "caspio_sync.destinations.activecampaign.automations:Automations": ("enter",),
    "caspio_sync.ledger.store:Ledger": (
        "note_enrolments", "record_enrolments", "doubt_enrolments", "rename_enrolled", "note_list_marks", "rename_marked",
        "note_moved", "settle_moved",
    ),
}  # fmt: skip
# Those that only rows pass which a webhook announced.
HINT_BOUNDARIES = {
    "caspio_sync.hints:Hints": ("waiting", "mark_read"),
    "caspio_sync.engine.hinted": ("rows_by_key",),
    "caspio_sync.engine.hinted:HintedReading": ("_read", "_recorded", "conclude"),
}
_OF_PROFILES = ("sending.send_opt_outs", "BrazeClient.track")
_OF_BRAZE = ("BrazeClient.track",)
_NOT_OF_EVENTS = (
    "sending.send_opt_outs", "sending.planned_writes", "sending.send_batch", "comparing.compare_batch",
    "comparing._claim",
)  # fmt: skip


def points(writes: str) -> list[str]:
    """The names of all boundaries of a kind of sync (`Watched.WRITES`), as `Order.at` takes them."""
    more = {"items": CATALOG_BOUNDARIES, "events": EVENT_BOUNDARIES, "contacts": CONTACT_BOUNDARIES}
    found, own = _points(BOUNDARIES), more.get(writes)
    if own is None:
        return found
    foreign = {"items": _OF_PROFILES, "events": _NOT_OF_EVENTS}.get(writes, _OF_BRAZE)
    return [each for each in found if not each.startswith(foreign)] + _points(own)


def event_points() -> list[str]:
    """Those that only syncs of events pass, and their call to Braze."""
    return [*_points(EVENT_BOUNDARIES), "BrazeClient.track:before", "BrazeClient.track:after"]


def contact_points() -> list[str]:
    """Those that only syncs of contacts pass."""
    return _points(CONTACT_BOUNDARIES)


def hint_points() -> list[str]:
    """Those of announced rows."""
    return _points(HINT_BOUNDARIES)


def _points(boundaries: dict[str, tuple[str, ...]]) -> list[str]:
    return [
        f"{owner.rpartition(':')[2].rpartition('.')[2]}.{name}:{side}"
        for owner, names in boundaries.items()
        for name in names
        for side in ("before", "after")
    ]


def watch(passing: Callable[[str], None]) -> None:
    """Put a watch before and after every boundary; one that is not there any more is an error of this list."""
    every = (BOUNDARIES, CATALOG_BOUNDARIES, RETURN_BOUNDARIES, EVENT_BOUNDARIES, HINT_BOUNDARIES, CONTACT_BOUNDARIES)
    for place, names in dict.fromkeys((place, names) for each in every for place, names in each.items()):
        module, _, owner = place.partition(":")
        found = importlib.import_module(module)
        found = getattr(found, owner) if owner else found
        label = owner or module.rpartition(".")[2]
        for name in names:
            setattr(found, name, watched(getattr(found, name), f"{label}.{name}", passing))


def watched(call: Callable[..., Any], name: str, passing: Callable[[str], None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            passing(f"{name}:before")
            result = await call(*args, **kwargs)
            passing(f"{name}:after")
            return result

        return waiting

    @functools.wraps(call)
    def calling(*args: Any, **kwargs: Any) -> Any:
        passing(f"{name}:before")
        result = call(*args, **kwargs)
        passing(f"{name}:after")
        return result

    return calling
