"""One schedule by its number: a shop, its edits, when its runs die, and how it must end."""

import random
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from caspio_sync.ledger.store import Ledger
from tests.torture.arena import Arena
from tests.torture.boundaries import contact_points, event_points, hint_points, points
from tests.torture.messages import WatchedMessages
from tests.torture.processes import Order
from tests.torture.watched import Watched
from tests.torture.watched_contacts import WatchedContacts
from tests.torture.watched_events import WatchedEvents
from tests.torture.watched_items import WatchedItems
from tests.torture.watched_profiles import WatchedProfiles

# Passed once a run, or once a batch, or once a request.
_LATE_SECONDS = 400  # nobody's request is under way for so long
_JUDGED = 0.03  # share of the runs that Great Expectations judges: it takes four times as long as the rest of a run
_LONG = 0.08
_OFTEN = (
    "record_sent",
    "settle",
    "note_departure",
    "commit",
    "_note",
    "track",
    "write_items",
    "records",
    "append",
    "append_sent",
    "_fold_batch",
    "record:",
    "waiting",
    "mark_read",
    "rows_by_key",
    "HintedReading",
)
_ANNOUNCED = 0.4  # share of the runs of events that read what a webhook announced
_DISTURBED = 0.12  # share of the runs of catalogs before which somebody touches the catalog itself


async def play(seed: int, arena: Arena, folder: Path, ledger: str, **always: Any) -> Watched:
    """Play a schedule of a profile sync; what went wrong is in `faults`. `always` is part of every order."""
    rng = random.Random(seed)
    return await _play(WatchedProfiles(arena, folder, ledger, rng, always))


async def play_catalog(seed: int, arena: Arena, folder: Path, ledger: str, **always: Any) -> Watched:
    """As `play`, of a catalog sync."""
    rng = random.Random(f"catalog {seed}")
    return await _play(WatchedItems(arena, folder, ledger, rng, always))


async def play_events(seed: int, arena: Arena, folder: Path, ledger: str, **always: Any) -> Watched:
    """As `play`, of a sync of events."""
    rng = random.Random(f"events {seed}")
    return await _play(WatchedEvents(arena, folder, ledger, rng, always))


async def play_messages(seed: int, arena: Arena, folder: Path, ledger: str, **always: Any) -> Watched:
    """As `play`, of a sync of triggers."""
    rng = random.Random(f"messages {seed}")
    return await _play(WatchedMessages(arena, folder, ledger, rng, always))


async def play_contacts(seed: int, arena: Arena, folder: Path, ledger: str, **always: Any) -> Watched:
    """As `play`, of a sync of contacts."""
    rng = random.Random(f"contacts {seed}")
    return await _play(WatchedContacts(arena, folder, ledger, rng, always))


async def _play(watched: Watched) -> Watched:
    rng = watched.rng
    shop = watched.shop
    for _ in range(rng.randint(8, 28)):
        shop.add()
    for _ in range(rng.randint(0, 6)):
        watched.edit()
    _let_pass(watched)
    for _ in range(rng.choice(watched.RUNS)):
        order = _fatal(watched)
        ended = await watched.run(order)
        if ended.killed:
            watched.kills[watched.ordered] += 1
            if "hints" in order.options:  # what the dead one did not record is announced still
                ended = await watched.run(watched.order(options={"hints": True}))
        if not ended.killed and ended.status not in {0, 3}:
            watched.faults.append(f"a run ended with {ended.status}: {ended.message}")
        _let_pass(watched)
        if isinstance(watched, WatchedItems) and rng.random() < _DISTURBED:
            watched.disturb()
        for _ in range(rng.choice(watched.EDITS)):
            watched.edit()
        if rng.random() < 0.06:
            shop.spoil_a_batch()
            watched.forget_edited()
    shop.heal()
    watched.forget_edited()
    _let_pass(watched)
    if isinstance(watched, WatchedContacts):
        await _settle(watched)
    # Without a cursor field, a run that goes on from one that died leaves what changed meanwhile to the next.
    full = isinstance(watched, WatchedItems) and not watched.shop.described.cursor
    # An edited event that is held, a table that only grows does not read again.
    full = full or (isinstance(watched, WatchedEvents) and not watched.shop.told.cursor)
    ended = await watched.run(watched.order(options={"full": full, **_deleting(watched)}))
    if ended.status:
        watched.faults.append(f"the last run ended with {ended.status}: {ended.message}")
        return watched
    watched.look_at_everything(shared=False)
    if isinstance(watched, WatchedItems | WatchedEvents) or shop.shared or rng.random() < 0.2:
        await _sweep(watched)
    if isinstance(watched, WatchedEvents) and not watched.faults:
        await _tell_again(watched)
    return watched


async def _settle(watched: WatchedContacts) -> None:
    """What a dead run left in doubt is looked for once nobody can be late any more."""
    for _ in range(2):
        ended = await watched.run(watched.order())
        if ended.status:
            watched.faults.append(f"a run ended with {ended.status}: {ended.message}")
        watched.clock.offset += _LATE_SECONDS
        if watched.ledger.startswith("postgresql"):  # which goes by the time of its own machine
            with (
                Ledger.open(watched.ledger, clock=watched.clock) as ledger,
                ledger.writing("let time pass") as connection,
            ):
                connection.execute(sa.text(f"UPDATE enrolment SET left_at = left_at - {_LATE_SECONDS * 1_000_000}"))


async def _tell_again(watched: WatchedEvents) -> None:
    """Whatever is announced of rows that were read makes no event of them."""
    before = watched.written
    watched.webhook.tell_again(sorted(watched.shop.rows))
    ended = await watched.run(watched.order(options={"hints": True}))
    if ended.status or watched.written != before:
        watched.faults.append(f"{watched.written - before} sent of what was told again: {ended.status} {ended.message}")


async def _sweep(watched: Watched) -> None:
    """A full read settles what hung on another row; a second one finds nothing left to send."""
    for _ in range(2):
        before = watched.written
        ended = await watched.run(watched.order(options={"full": True, **_deleting(watched)}))
        report = ended.report
        if ended.status or report["read"] != report["unchanged"] + sum(report["held"].values()) + sum(
            report["verdicts"].values()
        ):
            watched.faults.append(f"rows without a verdict, or a failure: {ended.status} {ended.message} {report}")
            return
    if watched.written != before:
        watched.faults.append("a run that changed nothing sent something")
    watched.look_at_everything(shared=True)


def _fatal(watched: Watched) -> Order:
    """A run that dies, if it gets that far: at a boundary, at a request, or at some time."""
    rng = watched.rng
    if rng.random() < _LONG:
        # One long batch of requests with a row each, killed far into it: how much is repeated shows here.
        for _ in range(30):
            watched.shop.add()
        watched.moments[f"{watched.WRITES}:done", rng.randint(15, 45)] = watched.kill
        watched.ordered = "far into a batch"
        return watched.order(batch_rows=100, objects_per_request=1, commit_requests=1, gate="plain")
    if rng.random() < 0.25:
        watched.moments[rng.choice(("caspio:done", f"{watched.WRITES}:done")), rng.randint(1, 8)] = (
            watched.edit_meanwhile
        )
    more: dict[str, Any] = {
        "offset": watched.clock.offset - rng.choice((0, 0, 0, 0, 0, 0, 0, 3600)),  # a clock that is set back
        "options": {"full": rng.random() < watched.FULL, **_deleting(watched)},
        "gate": "great expectations" if rng.random() < _JUDGED else "plain",
    }
    if watched.WRITES == "events" and rng.random() < 0.1:
        more["sender"] = "process"  # what was handed to it and did not leave is in doubt as well
    announced = isinstance(watched, WatchedEvents) and rng.random() < _ANNOUNCED
    if isinstance(watched, WatchedEvents) and announced:
        watched.announce()
        more["options"] = {"hints": True}
    dice = rng.random()
    if announced and dice < 0.25:
        watched.ordered = rng.choice(hint_points())
        return watched.order(at=watched.ordered, count=rng.randint(1, 4), **more)
    if dice < 0.65:
        own = {"events": event_points, "contacts": contact_points}.get(watched.WRITES)  # where such a row leaves
        near = own is not None and rng.random() < 0.6
        point = rng.choice(own() if own is not None and near else points(watched.WRITES))
        count = rng.randint(1, 8 if any(name in point for name in _OFTEN) else 3)
        watched.ordered = point
        return watched.order(at=point, count=count, **more)
    if dice < 0.9:
        moment = rng.choice(watched.KILLED_AT)
        watched.moments[moment, rng.randint(1, 10)] = watched.kill
        watched.ordered = moment
        return watched.order(**more)
    watched.ordered = "some time"
    return watched.order(after=rng.uniform(0.0, 0.4), **more)


def _deleting(watched: Watched) -> dict[str, Any]:
    """Few items are enough to be too many to delete in so small a shop."""
    return {"allow_deletes": True} if watched.WRITES == "items" else {}


def _let_pass(watched: Watched) -> None:
    watched.clock.offset += watched.rng.choice((1, 1, 70, 200, 4000))
