"""Events, purchases and triggers: rows as things that people did, and as messages about them.

One room with three words: a purchase is an event whose name is its product, a trigger one that is answered by a message
to the person. What makes them a kind of their own is the same (each once, in the order of their time, noted before it
leaves); what differs is some parts of the definition.
"""

from dataclasses import replace
from typing import Any

from caspio_sync.engine.kind import Kind, Words
from caspio_sync.kinds.events.definition import EventSync, Occurrences, PurchaseSync
from caspio_sync.kinds.events.faults import event_faults, purchase_faults, trigger_faults
from caspio_sync.kinds.events.mapping import EventMapping
from caspio_sync.kinds.events.proposal import propose_events, propose_purchases, propose_triggers
from caspio_sync.kinds.events.triggers_definition import TriggerSync
from caspio_sync.observe.report import RunReport


def _unknown(report: RunReport) -> int:
    return report.verdicts.get("unknown", 0) + report.held.get("unknown", 0)


def _describe(sync: Occurrences, whole: bool, title: str) -> str:
    reads = "Reads all rows and sends those that were never sent" if whole else "Reads what is new"
    named = ", ".join(sync.happenings.values())
    return (
        f"{sync.source.title} to {title}: {named}. {reads}; each row is sent once. "
        "Custom run: `full` reads all rows, `limit` the first ones, `keys` chosen ones."
    )


def _words(row: str) -> Words:
    return Words(
        row=row,
        who="person",
        part_ways=f"each {row} would be sent twice; remove one of the files, or write {{apart}}",
        look_at="time zone, which rows are meant (`when`), what {title} need not know",
        own=lambda report: ("unknown", _unknown(report), "their answer was lost; not sent again by themselves"),
        of_several="Each is sent, as an event of its own; `--pk` tells of another one.",
        lost="no run sends it again by itself: `caspio-sync unknown` settles it",
        headline=lambda report: f"{report.data_points:,} data points billed, {_unknown(report):,} unknown",
    )


EVENTS: Kind[Any] = Kind(
    name="events",
    definition=EventSync,
    faults=event_faults,
    mapping=EventMapping,
    words=_words("event"),
    work="caspio_sync.kinds.events.work:event_work",
    line="caspio_sync.kinds.events.line:EVENTS",
    flow="flows.event_sync.event_sync",
    examine="caspio_sync.kinds.events.examination:examine",
    propose=propose_events,
    guess_back=lambda _: {},
    cron="* * * * *",  # behaviour is wanted within minutes
    describe=_describe,
    verify="caspio_sync.kinds.events.counting:count_back",
    settle="caspio_sync.kinds.events.settling:settle_by_count",
    announced="caspio_sync.kinds.events.lines:orders_of_lines",
    beside="caspio_sync.kinds.events.lines:with_lines",
)
TRIGGERS = replace(
    EVENTS,
    name="triggers",
    definition=TriggerSync,
    faults=trigger_faults,
    words=replace(_words("message"), free="messages are no data points; what they cost, their channel's contract says"),
    propose=propose_triggers,
    beside="",
)
PURCHASES = replace(
    EVENTS,
    name="purchases",
    definition=PurchaseSync,
    faults=purchase_faults,
    words=_words("purchase"),
    propose=propose_purchases,
)
