"""Whether single events arrived, by what Braze counts of a person under each name (Braze, 6.1).

Shown are names that were active within 90 days, with the first and the last time and the number of all time, over all
who sent some. So a lost one is there where number and both ends are those of all of ours; it is not there where they
are those of the acknowledged ones, or where nothing is shown of a name that is shown of others.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import polars as pl

from caspio_sync.destinations.braze.requests import TRACK_EVENTS, TRACK_PURCHASES
from caspio_sync.engine.destination import LOST
from caspio_sync.engine.writes import Write
from caspio_sync.schemas import KEY, SOURCE_PK

_SHOWN = timedelta(days=89)  # of 90: the day is Braze's
_EVENTS, _PURCHASES = "custom_events", "purchases"  # parts of an export
_PARTS = {TRACK_EVENTS.array: _EVENTS, TRACK_PURCHASES.array: _PURCHASES}
_ELSEWHERE = "what Braze counts is neither without nor with it: others send these names too, or something is missing"
_OLD = "it is older than the 90 days that Braze shows"
_NEVER_SHOWN = "nothing of its name is shown of anybody"
_RENAMED = "the person's key is another one there by now"
_SEVERAL = "several profiles have the person's key"


class Name(NamedTuple):
    """What is counted together of a person.

    Args:
        part: of an export.
        name: of the event, or the product.
    """

    part: str
    name: str


@dataclass(slots=True)
class Tally:
    """Ours of one name.

    Args:
        sent: how often an acknowledged one counts.
        lost: how often those count that may be there.
        sent_times: of the acknowledged ones.
        lost_times: of those that may be there.
    """

    sent: int = 0
    lost: int = 0
    sent_times: list[datetime] = field(default_factory=list)
    lost_times: list[datetime] = field(default_factory=list)


def arrived(
    writes: Sequence[Write],
    exported: Mapping[str, Sequence[Mapping[str, Any]] | None],
    shown_names: frozenset[Name],
    now: datetime,
) -> dict[int, bool | str]:
    """As `Sink.arrived`.

    Args:
        writes: all rows of the people, as they travel.
        exported: profiles by the person's key; None where it is not known whose that is.
        shown_names: that are shown of anybody.
        now: aware.
    """
    tallies: defaultdict[str, defaultdict[Name, Tally]] = defaultdict(lambda: defaultdict(Tally))
    names_of: defaultdict[int, set[Name]] = defaultdict(set)
    keys: dict[int, str] = {}
    for pk, key, lost, objects in _objects(writes):
        for part, each in objects:
            name, pieces, at = _told(part, each)
            tally = tallies[key][name]
            if lost:
                keys[pk] = key
                names_of[pk].add(name)
                tally.lost += pieces
                tally.lost_times.append(at)
            else:
                tally.sent += pieces
                tally.sent_times.append(at)
    found: dict[int, bool | str] = {}
    for pk, names in names_of.items():
        profiles = exported.get(keys[pk])
        verdicts = {_there(name, tallies[keys[pk]][name], profiles, shown_names, now) for name in sorted(names)}
        # A row of several objects left in one request: it is there, or it is not.
        found[pk] = verdicts.pop() if len(verdicts) == 1 else _ELSEWHERE
    return found


def names_shown(users: Sequence[Mapping[str, Any]]) -> frozenset[Name]:
    """The names that are shown of some people."""
    return frozenset(
        Name(part, str(each.get("name"))) for user in users for part in _PARTS.values() for each in user.get(part) or ()
    )


def _there(
    name: Name, ours: Tally, profiles: Sequence[Mapping[str, Any]] | None, shown_names: frozenset[Name], now: datetime
) -> bool | str:
    if profiles is None or len(profiles) > 1:
        return _RENAMED if profiles is None else _SEVERAL
    if min(ours.lost_times) < now - _SHOWN:
        return _OLD
    if name not in shown_names:
        return _NEVER_SHOWN
    entries = profiles[0].get(name.part) or () if profiles else ()
    shown = next((each for each in entries if each.get("name") == name.name), None)
    if shown is None:  # had it arrived, it would be active
        return _ELSEWHERE if any(each >= now - _SHOWN for each in ours.sent_times) else False
    return _by_count(shown, ours)


def _by_count(shown: Mapping[str, Any], ours: Tally) -> bool | str:
    count, ends = shown.get("count"), (_instant(shown.get("first")), _instant(shown.get("last")))
    if isinstance(count, bool) or not isinstance(count, int):
        return _ELSEWHERE
    # Both ends as well: a count may come later than a time, and what is released is sent once more.
    for there, number, times in (
        (False, ours.sent, ours.sent_times),
        (True, ours.sent + ours.lost, [*ours.sent_times, *ours.lost_times]),
    ):
        if times and count == number and ends == (min(times), max(times)):
            return there
    return _ELSEWHERE


def _objects(writes: Sequence[Write]) -> Iterator[tuple[int, str, bool, list[tuple[str, dict[str, Any]]]]]:
    """Rows with the objects that they travel as."""
    for write in writes:
        part = _PARTS[write.envelope.array]
        texts = write.rows.select(SOURCE_PK, KEY, LOST, pl.Series("text", write.encode(write.rows)))
        for pk, key, lost, text in texts.iter_rows():
            yield pk, key, lost, [(part, each) for each in orjson.loads(f"[{text}]")]


def _told(part: str, each: Mapping[str, Any]) -> tuple[Name, int, datetime]:
    """Under which name an object counts, how often, and its time: of a purchase each piece is one (Braze, 3.7)."""
    at = _instant(each["time"]) or datetime.max.replace(tzinfo=UTC)
    if part == _PURCHASES:
        return Name(part, str(each["product_id"])), int(each.get("quantity", 1)), at
    return Name(part, str(each["name"])), 1, at


def _instant(text: object) -> datetime | None:
    """To the millisecond, as Braze shows it."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)
