"""The inbox, on SQLite and on PostgreSQL."""

import random
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.engagement.events import Malformed, Post, event_lines, read_events
from caspio_sync.errors import CaspioSyncError
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock


def a_post(*ids: str, malformed: tuple[Malformed, ...] = (), email: str | None = None) -> Post:
    events = [{"event_id": each, "type": "t", "at": 1_785_000_000_000_000, "email": email} for each in ids]
    return Post("currents", event_lines(events), len(ids), malformed)


def ids(inbox: Inbox, after: int = 0) -> list[str]:
    parts = [read_events([(post.seq, post.lines) for post in part]) for part in inbox.posts(after)]
    return [each for frame in parts for each in frame["event_id"]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def inbox(ledger_url: str, clock: VirtualClock) -> Iterator[Inbox]:
    with Inbox.open(ledger_url, clock=clock) as opened:
        yield opened


def test_posts_come_out_in_the_order_in_which_they_came_in(inbox: Inbox) -> None:
    inbox.add([a_post("1", "2"), a_post("3")])
    inbox.add([a_post("4")])
    assert ids(inbox) == ["1", "2", "3", "4"]


def test_a_fold_goes_on_after_the_post_it_has_seen(inbox: Inbox) -> None:
    inbox.add([a_post("1"), a_post("2"), a_post("3")])
    (first, second, _) = next(inbox.posts(0))
    assert ids(inbox, after=second.seq) == ["3"]
    assert inbox.waiting(first.seq)[:2] == (2, 2)


def test_reading_goes_in_parts_of_so_many_events(inbox: Inbox) -> None:
    inbox.add([a_post(*map(str, range(60))) for _ in range(5)])
    assert [sum(post.count for post in part) for part in inbox.posts(0, events=100)] == [120, 120, 60]


def test_a_new_inbox_never_gives_a_number_again(ledger_url: str, clock: VirtualClock) -> None:
    """The ledger would take posts of a new or restored inbox for folded."""
    with Inbox.open(ledger_url, clock=clock) as inbox:
        inbox.add([a_post(str(number)) for number in range(50)])
        last = max(post.seq for part in inbox.posts(0) for post in part)
        with inbox.writing("lose everything") as connection:
            connection.execute(sa.text("DELETE FROM inbox_post"))
    clock.advance(1)
    with Inbox.open(ledger_url, clock=clock) as inbox:
        inbox.add([a_post("new")])
        assert ids(inbox, after=last) == ["new"]


def test_the_clock_going_back_does_not_put_a_post_before_another(inbox: Inbox, clock: VirtualClock) -> None:
    inbox.add([a_post("1")])
    clock.advance(-86_400)
    inbox.add([a_post("2")])
    assert ids(inbox) == ["1", "2"]


def test_malformed_events_are_kept_apart(inbox: Inbox) -> None:
    inbox.add([a_post("1", malformed=(Malformed("id is missing", b'{"time":1}'),))])
    inbox.add([a_post(malformed=(Malformed("an event is no object", b"7"),))])
    assert ids(inbox) == ["1"]
    assert inbox.malformed() == [("id is missing", b'{"time":1}'), ("an event is no object", b"7")]


def test_only_what_is_folded_and_old_is_purged(inbox: Inbox, clock: VirtualClock) -> None:
    for name in ("old and folded", "old"):
        inbox.add([a_post(name, malformed=(Malformed("x", b"1"),))])
    folded = next(inbox.posts(0))[0].seq
    clock.advance(86_400)
    inbox.add([a_post("young")])
    assert inbox.purge(folded=folded, before=clock.now() - timedelta(hours=1)) == 1
    assert ids(inbox) == ["old", "young"]
    assert inbox.malformed() == []


def test_more_is_purged_than_fits_one_transaction(inbox: Inbox, clock: VirtualClock) -> None:
    inbox.add([a_post(str(number)) for number in range(450)])
    clock.advance(10)
    assert inbox.purge(folded=1 << 62, before=clock.now()) == 450
    assert ids(inbox) == []


def test_an_erased_person_is_taken_out_of_every_post(inbox: Inbox) -> None:
    inbox.add([a_post("1", "2", email="gone@example.com"), a_post("3", email="gone@example.com")])
    inbox.add([a_post("4", email="here@example.com", malformed=(Malformed("x", b'"gone@example.com"'),))])
    both = a_post("5", email="gone@example.com")
    inbox.add([Post("currents", both.lines + a_post("6").lines, 2)])
    gone = inbox.forget(lambda frame: (frame["email"] == "gone@example.com").fill_null(value=False))
    assert (gone, ids(inbox), inbox.malformed()) == (4, ["4", "6"], [])
    assert inbox.waiting(0)[:2] == (2, 2)


def test_nothing_of_an_erased_person_is_left_in_the_file(tmp_path: Path, clock: VirtualClock) -> None:
    file = tmp_path / "inbox.db"
    with Inbox.open(f"sqlite:///{file}", clock=clock) as inbox:
        inbox.add([a_post(malformed=(Malformed("x", b"findme@example.com"),))])
        trace = zlib.compress(b"findme@example.com", 1)
        inbox.forget(lambda frame: pl.Series([True] * len(frame), dtype=pl.Boolean))
    written = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert len(written) > 4096
    assert trace not in written


def test_the_position_of_a_poll_is_kept_with_its_posts(inbox: Inbox) -> None:
    assert inbox.polled("unsubscribes") is None
    inbox.add([a_post("1")], polled={"unsubscribes": "2026-01-01"})
    inbox.add([], polled={"unsubscribes": "2026-01-02"})
    assert inbox.polled("unsubscribes") == "2026-01-02"


def test_a_full_database_keeps_all_of_a_group_or_nothing(tmp_path: Path, clock: VirtualClock) -> None:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}", clock=clock) as inbox:
        inbox.add([a_post("1")])
        with inbox.writing("limit the file") as connection:
            pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
            connection.execute(sa.text(f"PRAGMA max_page_count={pages}"))
        large = Malformed("x", random.Random(1).randbytes(200_000))  # no compression makes it fit
        with pytest.raises(CaspioSyncError, match="SQLITE_FULL"):
            inbox.add([a_post("2"), a_post("3", malformed=(large,))])
        assert ids(inbox) == ["1"]


def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path, clock: VirtualClock) -> None:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}", clock=clock) as inbox:
        inbox.reserve_bytes = 1 << 60
        with pytest.raises(CaspioSyncError, match="of the disk are free"):
            inbox.add([a_post("1")])
        inbox.reserve_bytes = 1
        inbox.add([a_post("1")])


def test_a_commit_is_on_the_disk(tmp_path: Path) -> None:
    with Inbox.open(f"sqlite:///{tmp_path / 'inbox.db'}") as inbox, inbox.reading("look") as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


@pytest.mark.parametrize("first", [Ledger, Inbox])
def test_inbox_and_ledger_share_a_postgresql_database(first: type[Ledger | Inbox], postgresql_ledger: str) -> None:
    second = Inbox if first is Ledger else Ledger
    with first.open(postgresql_ledger), second.open(postgresql_ledger), Inbox.open(postgresql_ledger) as inbox:
        inbox.add([a_post("1")])
        assert ids(inbox) == ["1"]
