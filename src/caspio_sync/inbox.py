"""The inbox: what was posted or polled, kept durably until it is folded, and some days longer.

A database of its own, `inbox.db` beside the ledger: a transaction of the ledger must never make a post wait. Where the
ledger is PostgreSQL, two tables in the same database. The bodies hold addresses; `forget` and `purge` reach them.
"""

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from caspio_sync.clock import Clock
from caspio_sync.engagement.events import Malformed, Post, read_events
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.schema import Instant

metadata = sa.MetaData()
# `seq` grows with the time of arrival: a new or restored inbox never gives a number again that a fold has passed.
_post = sa.Table(
    "inbox_post",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("events", sa.LargeBinary, nullable=False),  # zlib, `event_lines`
)
_malformed = sa.Table(
    "inbox_malformed",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("event", sa.LargeBinary, nullable=False),  # zlib, JSON
)
# How far each poll has read, in its own words.
_poll = sa.Table(
    "inbox_poll",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("position", sa.Text, nullable=False),
)
_POSTED = "inbox_posted"  # of `posts.py`, in the same database
_ADVISORY_LOCK = 0x696E626F78  # one writer of new posts at a time, so that they are committed in the order of `seq`
_PURGED_AT_ONCE = 200  # posts: a purge must not make a post wait
_PRAGMAS = (
    # A post is answered when it is on the disk: an answer given before a crash of the machine stays true after it.
    "PRAGMA synchronous=FULL",
    # Small checkpoints: the post that meets one waits for it.
    "PRAGMA wal_autocheckpoint=500",
    # What is deleted is overwritten: it held addresses.
    "PRAGMA secure_delete=ON",
)


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post as it is in the inbox; `lines` and `count` as for `Post`."""

    seq: int
    source: str
    count: int
    lines: bytes


class Waiting(NamedTuple):
    """What a fold has not seen yet."""

    posts: int
    events: int
    since: datetime | None
    """When the oldest of them arrived."""


class Inbox(LedgerConnection):
    """Posts in the order of their arrival; any process may add, fold and purge at the same time."""

    _WITHOUT_FILE = "Start the process again: it makes a new file. What was not answered, Braze sends again for 5 days."

    def __init__(self, engine: sa.Engine, *, clock: Clock) -> None:
        super().__init__(engine, clock=clock)
        self.reserve_bytes = 0
        """Free bytes of the disk under which `add` refuses, so that the inbox never takes the ledger's last ones."""
        self.limit_bytes = 0
        """Bytes that the inbox may hold; above them `add` refuses. 0 for any number."""
        self._folder: Path | None = None
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _set_up)
            if not self._in_memory:
                self._folder = Path(str(engine.url.database)).absolute().parent

    def _prepare(self) -> None:
        with self.writing("open the inbox") as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            metadata.create_all(connection)

    # In.

    def add(self, posts: Sequence[Post], *, polled: dict[str, str] | None = None) -> None:
        """Keep some posts, all or none; when this returns they are on the disk.

        Args:
            posts: in the order of their arrival.
            polled: how far polls have read with these posts, by source.

        Raises:
            CaspioSyncError: the disk is full, or the database cannot be written now.
        """
        self.check()
        now = self._clock.now()
        stored = [
            {"received_at": now, "source": post.source, "count": post.count, "events": zlib.compress(post.lines, 1)}
            for post in posts
            if post.count
        ]
        refused = [
            {"received_at": now, "source": post.source, "reason": each.reason, "event": zlib.compress(each.event, 1)}
            for post in posts
            for each in post.malformed
        ]
        with self.writing("add to the inbox") as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            _append(connection, _post, stored, microseconds(now))
            _append(connection, _malformed, refused, microseconds(now))
            for source, position in (polled or {}).items():
                connection.execute(sa.delete(_poll).where(_poll.c.source == source))
                connection.execute(sa.insert(_poll).values(source=source, position=position))

    def check(self) -> None:
        """Ask whether posts can be taken.

        Raises:
            CaspioSyncError: the disk has less than `reserve_bytes` left, the inbox holds `limit_bytes`, or the
                database does not answer.
        """
        if self.limit_bytes and (held := self.size()) >= self.limit_bytes:
            raise CaspioSyncError(
                f"The inbox in {self.location} holds {held / 1e9:.2f} GB and may hold {self.limit_bytes / 1e9:.2f}. "
                "Braze sends again for 5 days: let an engagement return fold it (`caspio-sync run SYNC`), then "
                "`caspio-sync housekeeping`, or raise CASPIO_SYNC_INBOX_MAX_GB."
            )
        if self._folder is not None and self.reserve_bytes:
            free = shutil.disk_usage(self._folder).free
            if free < self.reserve_bytes:
                raise CaspioSyncError(
                    f"Could not add to the inbox in {self.location}: {free // 1_000_000} MB of the disk are free, "
                    f"{self.reserve_bytes // 1_000_000} MB are kept. Free space; Braze sends again for 5 days."
                )

    def size(self) -> int:
        """Bytes that the inbox takes, room that was freed and is used again apart."""
        with self.reading("measure the inbox") as connection:
            if connection.dialect.name == "postgresql":
                names = (_post.name, _malformed.name, _POSTED)
                sizes = [sa.func.pg_total_relation_size(sa.func.to_regclass(name)) for name in names]
                return sum(int(each or 0) for each in connection.execute(sa.select(*sizes)).one())
            pages, free, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    # Out.

    def posts(self, after: int, *, events: int = 100_000) -> Iterator[list[StoredPost]]:
        """What arrived after a post, in order, in lists of about so many events, only one of them in memory.

        Args:
            after: `seq` of the last post that was folded; 0 for all.
            events: a list ends with the post that reaches this count.
        """
        chosen = sa.select(_post.c.seq, _post.c.source, _post.c.count, _post.c.events).order_by(_post.c.seq)
        while True:
            part: list[StoredPost] = []
            with self.reading("read the inbox") as connection:
                total = 0
                for seq, source, count, lines in connection.execute(chosen.where(_post.c.seq > after)).yield_per(100):
                    part.append(StoredPost(seq, source, count, zlib.decompress(lines)))
                    total += count
                    if total >= events:
                        break
            if not part:
                return
            after = part[-1].seq
            yield part

    def waiting(self, after: int) -> Waiting:
        """How much arrived after a post, and since when."""
        counted = sa.select(
            sa.func.count(), sa.func.coalesce(sa.func.sum(_post.c.count), 0), sa.func.min(_post.c.received_at)
        ).where(_post.c.seq > after)
        with self.reading("count the inbox") as connection:
            posts, events, oldest = connection.execute(counted).one()
        return Waiting(posts, int(events), oldest)

    def malformed(self) -> list[Malformed]:
        """The events that could not be read, oldest first, as far as they are not purged."""
        chosen = sa.select(_malformed.c.reason, _malformed.c.event).order_by(_malformed.c.seq)
        with self.reading("read malformed events") as connection:
            return [Malformed(row.reason, zlib.decompress(row.event)) for row in connection.execute(chosen)]

    def polled(self, source: str) -> str | None:
        """How far a poll has read, None where it never did."""
        with self.reading("read a poll's position") as connection:
            position = connection.execute(sa.select(_poll.c.position).where(_poll.c.source == source)).scalar()
        return None if position is None else str(position)

    # Away.

    def purge(self, *, folded: int, before: datetime, dry_run: bool = False) -> int:
        """Remove posts that arrived before a time and are folded, and malformed events of that age.

        Args:
            folded: `seq` of the last post that every fold has passed.
            before: usually `keep_inbox_days` ago.
            dry_run: only count.

        Returns:
            How many posts.
        """
        old = sa.and_(_post.c.seq <= folded, _post.c.received_at < before)
        if dry_run:
            with self.reading("count old posts") as connection:
                return int(connection.execute(sa.select(sa.func.count()).select_from(_post).where(old)).scalar_one())
        gone = self._purge(_post, old)
        self._purge(_malformed, _malformed.c.received_at < before)
        return gone

    def _purge(self, table: sa.Table, old: sa.ColumnElement[bool]) -> int:
        gone = 0
        slice_ = sa.select(table.c.seq).where(old).order_by(table.c.seq).limit(_PURGED_AT_ONCE)
        while True:
            with self.writing("purge the inbox") as connection:
                seqs = connection.execute(slice_).scalars().all()
                connection.execute(sa.delete(table).where(table.c.seq.in_(seqs)))
            gone += len(seqs)
            if len(seqs) < _PURGED_AT_ONCE:
                return gone

    def forget(self, erased: Callable[[pl.DataFrame], pl.Series]) -> int:
        """Take people's events out of every post, folded or not, and all malformed events, as those name nobody.

        Args:
            erased: from a frame of `EVENTS` to one Boolean a row, true for the events to remove.

        Returns:
            How many events are gone.
        """
        gone = 0
        for part in self.posts(0):
            frame = read_events([(post.seq, post.lines) for post in part])
            kept = frame.select("seq", kept=~erased(frame)).group_by("seq", maintain_order=True).agg("kept")
            masks = dict(kept.iter_rows())
            for post in part:
                if not all(masks[post.seq]):
                    gone += self._keep(post, masks[post.seq])
        self._purge(_malformed, sa.true())
        return gone

    def _keep(self, post: StoredPost, mask: Sequence[bool]) -> int:
        lines = post.lines.splitlines(keepends=True)
        left = [line for line, kept in zip(lines, mask, strict=True) if kept]
        values = {"count": len(left), "events": zlib.compress(b"".join(left), 1)}
        this = _post.c.seq == post.seq
        with self.writing("rewrite a post") as connection:
            connection.execute(sa.update(_post).where(this).values(values) if left else sa.delete(_post).where(this))
        return len(lines) - len(left)


def _append(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], now: int) -> None:
    """Insert with the next numbers; the caller's transaction is the only one that does."""
    if rows:
        last = connection.execute(sa.select(sa.func.max(table.c.seq))).scalar() or 0
        first = max(last + 1, now)
        connection.execute(sa.insert(table), [{"seq": first + place, **row} for place, row in enumerate(rows)])


def _set_up(connection: Any, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)
