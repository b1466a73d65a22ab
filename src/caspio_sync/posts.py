"""Posts: one JSON object each, from any system, kept sealed until the syncs that read them have.

A table beside the inbox's, in its database. Each post has a number of its own, which grows with the order of arrival
and stands for the PK_ID that a row of Caspio has: what the ledger knows of a post, it knows by this number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.schema import Instant

metadata = sa.MetaData()
# `number` grows with the time of arrival: a new or restored database never gives one again that a run has passed.
_post = sa.Table(
    "inbox_posted",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("id_digest", sa.LargeBinary),  # an id may name a person
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("path", "id_digest"),
)
sa.Index("inbox_posted_in_order", _post.c.path, _post.c.number)
_ADVISORY_LOCK = (
    0x706F73746564  # one writer of new posts at a time, so that they are committed in the order of `number`
)
_AT_ONCE = 500  # values a statement
_PURGED_AT_ONCE = 200  # posts: a purge must not make a post wait
_BYTES_AT_ONCE = 16_000_000  # of sealed posts; opened and taken apart, they are several times as large
_STREAMED = 8  # posts of up to 10 MB
KEPT, DUPLICATE = "kept", "duplicate"


class Posted(NamedTuple):
    """A post that is to be kept."""

    path: str
    id_digest: bytes | None
    """By which it is known again; None where nothing tells one from another."""
    sealed: bytes


class Waiting(NamedTuple):
    """Posts that were not read."""

    posts: int
    since: datetime | None
    """When the oldest of them came."""


class Read(NamedTuple):
    """How far posts of a path were read."""

    up_to: int
    """By each of its syncs, and nothing of it comes late any more."""
    but: AbstractSet[int]
    """Numbers that one of them still needs: held rows, and events whose answer was lost."""


class Posts(LedgerConnection):
    """What any system posted; any process may add, read and purge at the same time."""

    _WITHOUT_FILE = "Start the process again: it makes a new file. What was not answered, its sender has to post again."

    def _prepare(self) -> None:
        if self._engine.dialect.name == "sqlite":  # a post is answered when it is on the disk; what is gone is gone
            sa.event.listen(self._engine, "connect", _set_up)
        with self.reading("open the posts") as connection:
            if sa.inspect(connection).has_table(_post.name):
                return
        with self.writing("open the posts") as connection:
            if connection.dialect.name == "postgresql":  # two makers of one table would meet
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            metadata.create_all(connection)

    def add(self, posts: Sequence[Posted]) -> list[str]:
        """Keep some posts, all or none, in this order; when this returns they are on the disk.

        Returns:
            What became of each: "kept", or "duplicate" of one that is kept.

        Raises:
            CaspioSyncError: the disk is full, or the database cannot be written now.
        """
        now = self.now()
        with self.writing("keep posts") as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            known = self._known(connection, posts)
            outcomes: list[str] = []
            fresh: list[Posted] = []
            for post in posts:
                key = (post.path, post.id_digest)
                outcomes.append(DUPLICATE if key in known else KEPT)
                if key not in known:
                    fresh.append(post)
                if post.id_digest is not None:
                    known.add(key)
            if fresh:
                last = connection.execute(sa.select(sa.func.max(_post.c.number))).scalar() or 0
                first = max(last + 1, microseconds(now))
                rows = [{"number": first + at, "received_at": now, **each._asdict()} for at, each in enumerate(fresh)]
                connection.execute(sa.insert(_post), rows)
        return outcomes

    def _known(self, connection: sa.Connection, posts: Sequence[Posted]) -> set[tuple[str, bytes | None]]:
        """Path and id of those that are there already."""
        digests = sorted({each.id_digest for each in posts if each.id_digest is not None})
        known: set[tuple[str, bytes | None]] = set()
        for start in range(0, len(digests), _AT_ONCE):
            told = sa.select(_post.c.path, _post.c.id_digest).where(
                _post.c.path.in_({each.path for each in posts}),
                _post.c.id_digest.in_(digests[start : start + _AT_ONCE]),
            )
            known.update((path, bytes(digest)) for path, digest in connection.execute(told))
        return known

    def count(self, path: str, where: str | None = None) -> tuple[int, int | None, int | None]:
        """How many posts of a path, their lowest and their highest number.

        Args:
            path: such as /in/orders.
            where: a condition on PK_ID, their number, in SQL that both databases read; it comes from nobody outside.
        """
        with self.reading("count posts") as connection:
            chosen = f"SELECT COUNT(*), MIN(PK_ID), MAX(PK_ID) FROM {_NUMBERED}{_where(where)}"
            total, low, high = connection.execute(sa.text(chosen), {"path": path}).one()
        return int(total), low, high

    def each(self, path: str, where: str | None, limit: int) -> Iterator[tuple[int, bytes]]:
        """Number and sealed payload of posts of a path, by their number, few of them in memory; as `count`."""
        chosen = f"SELECT PK_ID, sealed FROM {_NUMBERED}{_where(where)} ORDER BY PK_ID LIMIT :most"
        with self.reading("read posts") as connection:
            streamed = connection.execution_options(yield_per=_STREAMED)
            for number, sealed in streamed.execute(sa.text(chosen), {"path": path, "most": limit}):
                yield int(number), bytes(sealed)

    def waiting(self, reached: Mapping[str, int]) -> dict[str, Waiting]:
        """Posts by path that came after those that were read.

        Args:
            reached: number up to which a path was read; of one that is not here nothing was.
        """
        with self.reading("look for posts") as connection:
            paths = connection.execute(sa.select(_post.c.path).distinct().order_by(_post.c.path)).scalars().all()
            found = {}
            for path in paths:
                later = sa.and_(_post.c.path == path, _post.c.number > reached.get(path, -1))
                counted = sa.select(sa.func.count(), sa.func.min(_post.c.received_at)).where(later)
                found[path] = Waiting(*connection.execute(counted).one())
        return found

    def purge(self, done: Mapping[str, Read], *, before: datetime, dry_run: bool = False) -> int:
        """Remove posts that came before a time and that every sync of their path is done with.

        Args:
            done: how far they have read, by path; posts of other paths stay.
            before: usually `keep_inbox_days` ago.
            dry_run: only count.

        Returns:
            How many.
        """
        return sum(self._purge(path, each, before, dry_run=dry_run) for path, each in sorted(done.items()))

    def _purge(self, path: str, done: Read, before: datetime, *, dry_run: bool) -> int:
        gone, after = 0, -1
        old = sa.and_(_post.c.path == path, _post.c.number <= done.up_to, _post.c.received_at < before)
        part = sa.select(_post.c.number).where(old).order_by(_post.c.number).limit(_PURGED_AT_ONCE)
        while True:
            with self.reading("look for old posts") as connection:
                numbers = connection.execute(part.where(_post.c.number > after)).scalars().all()
            if not numbers:
                return gone
            after = numbers[-1]
            numbers = [each for each in numbers if each not in done.but]
            gone += len(numbers) if dry_run else self._remove(numbers)

    def _remove(self, numbers: Sequence[int]) -> int:
        if numbers:
            with self.writing("remove posts") as connection:
                connection.execute(sa.delete(_post).where(_post.c.number.in_(numbers)))
        return len(numbers)

    def forget(self, names: Callable[[Sequence[bytes]], Iterable[bool]]) -> int:
        """Remove every post that names somebody who was erased, read or not.

        Args:
            names: of some sealed payloads: whether each names one.

        Returns:
            How many.
        """
        gone, after = 0, -1
        while numbers := self._next(after):
            after = numbers[-1]
            chosen = sa.select(_post.c.number, _post.c.sealed).where(_post.c.number.in_(numbers))
            with self.reading("read posts") as connection:  # some may have been purged since
                found = connection.execute(chosen).all()
            named = names([bytes(each.sealed) for each in found])
            gone += self._remove([each.number for each, is_named in zip(found, named, strict=True) if is_named])
        return gone

    def _next(self, after: int) -> list[int]:
        """Numbers of the next posts, as many as fit into memory, and one at least; none where there are no more."""
        of = _post.c
        sizes = sa.select(of.number, sa.func.length(of.sealed)).where(of.number > after)
        with self.reading("look for posts") as connection:
            found = connection.execute(sizes.order_by(of.number).limit(_PURGED_AT_ONCE)).all()
        numbers: list[int] = []
        room = _BYTES_AT_ONCE
        for number, size in found:
            room -= size
            if numbers and room < 0:
                break
            numbers.append(number)
        return numbers


_NUMBERED = f"(SELECT number AS PK_ID, sealed FROM {_post.name} WHERE path = :path) AS numbered"


def _where(condition: str | None) -> str:
    return f" WHERE {condition}" if condition else ""


def _set_up(connection: object, _record: object) -> None:
    for pragma in ("PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON"):
        connection.execute(pragma)  # type: ignore[attr-defined]  # of the driver
