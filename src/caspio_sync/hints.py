"""Hints: rows that Caspio's webhooks say have changed. They wait here until a run has read them again by their PK_ID.

Three tables beside the inbox's, in its database. Of a message they hold what says which row it is about; of a row that
was added, where its sync takes it from the message, the row itself, encrypted, until it has been taken or for some
days. What was read is kept as long as a message may come again: Caspio calls at least once, in any order (5.5).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from caspio_sync.clock import Clock
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.runs import insert
from caspio_sync.ledger.schema import Instant
from caspio_sync.spans import DAYS_A_MONTH

REPEATED_WITHIN = timedelta(days=14)  # a message that comes again later than this is taken for a new one
KEPT_DAYS = DAYS_A_MONTH  # of what was counted
metadata = sa.MetaData()
_hint = sa.Table(
    "inbox_hint",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("source_pk", sa.BigInteger, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("changed_at", Instant),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("read_at", Instant),
    sa.UniqueConstraint("sync", "message_id", "source_pk"),
)
sa.Index("inbox_hint_waiting", _hint.c.sync, _hint.c.read_at, _hint.c.number)
_payload = sa.Table(
    "inbox_payload",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("source_pk", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
_heard = sa.Table(
    "inbox_heard",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
)
BESIDE = "beside"
_AT_ONCE = 500  # values a statement


class Hint(NamedTuple):
    """One row of a message."""

    source_pk: int
    type: str
    """insert, update, delete, BESIDE of another table's row, or "other" where the message does not say."""
    changed_at: datetime | None
    payload: bytes | None = None
    """The row as the message tells it, encrypted; None where that is not kept."""


class Message(NamedTuple):
    """A message of a webhook, without its rows."""

    sync: str
    id: str
    """Caspio's messageId; the same at each URL and in each call."""
    hints: tuple[Hint, ...]
    outcome: str
    """kept, or why it was not: stale, other_table, empty, unreadable."""


class WaitingHint(NamedTuple):
    """A hint that no run has read yet."""

    number: int
    source_pk: int
    type: str = "other"


class Heard(NamedTuple):
    """Messages of a sync's webhook by what became of them, and when one came last."""

    messages: dict[str, int]
    last_at: datetime | None


class Hints(LedgerConnection):
    """What webhooks told, in the database of the inbox; any process may add, read and purge at the same time."""

    _WITHOUT_FILE = "Start the process again: it makes a new file. What was announced is found by the next whole read."

    def __init__(self, engine: sa.Engine, *, clock: Clock) -> None:
        super().__init__(engine, clock=clock)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _set_up)

    def _prepare(self) -> None:
        with self.reading("open the hints") as connection:
            if sa.inspect(connection).has_table(_payload.name):  # the newest
                return
        with self.writing("open the hints") as connection:
            if connection.dialect.name == "postgresql":  # two makers of one table would meet
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x68696E7473)))
            metadata.create_all(connection)

    def add(self, messages: Sequence[Message]) -> list[str]:
        """Keep some messages, all or none; when this returns they are on the disk.

        Returns:
            what became of each: its outcome, or "duplicate" where all its rows were told under its id before.

        Raises:
            CaspioSyncError: the disk is full, or the database cannot be written now.
        """
        now = self.now()
        with self.writing("keep hints") as connection:
            known = self._known(connection, messages)
            outcomes, rows, payloads = [], [], []
            for message in messages:
                new = {each.source_pk: each for each in message.hints}
                new = {pk: each for pk, each in new.items() if (message.sync, message.id, pk) not in known}
                outcomes.append("duplicate" if message.hints and not new else message.outcome)
                known |= {(message.sync, message.id, pk) for pk in new}
                for pk, each in new.items():
                    of = {"sync": message.sync, "message_id": message.id, "source_pk": pk, "received_at": now}
                    rows.append({**of, "type": each.type, "changed_at": each.changed_at})
                    if each.payload is not None:
                        payloads.append({**of, "sealed": each.payload})
            for table, values in ((_hint, rows), (_payload, payloads)):
                if values:  # another receiver may be writing the same message
                    connection.execute(insert(connection, table).on_conflict_do_nothing(), values)
            counted = Counter((message.sync, outcome) for message, outcome in zip(messages, outcomes, strict=True))
            for (sync, outcome), count in sorted(counted.items()):
                self._count(connection, sync, outcome, count, now)
        return outcomes

    def _known(self, connection: sa.Connection, messages: Sequence[Message]) -> set[tuple[str, str, int]]:
        """Which of these rows were told before, each under its message."""
        ids = sorted({each.id for each in messages if each.hints})
        columns = (_hint.c.sync, _hint.c.message_id, _hint.c.source_pk)
        known: set[tuple[str, str, int]] = set()
        for start in range(0, len(ids), _AT_ONCE):
            told = sa.select(*columns).where(
                _hint.c.sync.in_({each.sync for each in messages}),
                _hint.c.message_id.in_(ids[start : start + _AT_ONCE]),
            )
            known.update((sync, message, pk) for sync, message, pk in connection.execute(told))
        return known

    def _count(self, connection: sa.Connection, sync: str, outcome: str, messages: int, now: datetime) -> None:
        values = {"sync": sync, "day": now.date(), "outcome": outcome, "messages": messages, "last_at": now}
        more = {"messages": _heard.c.messages + messages, "last_at": now}
        key = [_heard.c.sync, _heard.c.day, _heard.c.outcome]
        added = insert(connection, _heard).values(values)
        connection.execute(added.on_conflict_do_update(index_elements=key, set_=more))

    def waiting(self, sync: str, *, limit: int, after: int = 0) -> list[WaitingHint]:
        """Hints of a sync that no run has read, in the order of their arrival; `after`: those above this number."""
        own = sa.select(_hint.c.number, _hint.c.source_pk, _hint.c.type).where(
            _hint.c.sync == sync, _hint.c.read_at.is_(None), _hint.c.number > after
        )
        with self.reading("look for hints") as connection:
            found = connection.execute(own.order_by(_hint.c.number).limit(limit))
            return [WaitingHint(int(number), int(source_pk), type_) for number, source_pk, type_ in found]

    def payloads(self, hints: Sequence[WaitingHint]) -> dict[int, bytes]:
        """Rows as these hints' messages tell them, encrypted, by the hint's number; of those that are kept."""
        numbers = [each.number for each in hints]
        found: dict[int, bytes] = {}
        chosen = sa.select(_hint.c.number, _payload.c.sealed).join(_payload, _same_row())
        with self.reading("read rows of messages") as connection:
            for start in range(0, len(numbers), _AT_ONCE):
                some = chosen.where(_hint.c.number.in_(numbers[start : start + _AT_ONCE]))
                found.update((int(number), bytes(sealed)) for number, sealed in connection.execute(some))
        return found

    def forget_payloads(self) -> int:
        """Remove the rows of all messages, whoever they are of; the hints stay, and their rows are read; how many."""
        with self.writing("forget rows of messages") as connection:
            return connection.execute(sa.delete(_payload)).rowcount

    def count_waiting(self, sync: str) -> tuple[int, datetime | None]:
        """How many hints of a sync no run has read, and when the oldest of them came."""
        counted = sa.select(sa.func.count(), sa.func.min(_hint.c.received_at))
        with self.reading("count hints") as connection:
            count, oldest = connection.execute(counted.where(_hint.c.sync == sync, _hint.c.read_at.is_(None))).one()
        return int(count), oldest

    def mark_read(self, numbers: Iterable[int]) -> None:
        """A run has recorded what the rows of these hints are now."""
        now, marked = self.now(), list(numbers)
        with self.writing("mark hints as read") as connection:
            for start in range(0, len(marked), _AT_ONCE):
                own = _hint.c.number.in_(marked[start : start + _AT_ONCE])
                connection.execute(sa.update(_hint).where(own).values(read_at=now))
                read = sa.select(_hint.c.number).where(own, _same_row())
                connection.execute(sa.delete(_payload).where(read.exists()))

    def heard(self, sync: str, since: date) -> Heard:
        """Messages counted since a day, UTC."""
        columns = (_heard.c.outcome, sa.func.sum(_heard.c.messages), sa.func.max(_heard.c.last_at))
        chosen = sa.select(*columns).where(_heard.c.sync == sync, _heard.c.day >= since).group_by(_heard.c.outcome)
        with self.reading("count messages") as connection:
            found = connection.execute(chosen.order_by(_heard.c.outcome)).all()
        return Heard({each[0]: int(each[1]) for each in found}, max((each[2] for each in found), default=None))

    def purge(self, *, payload_days: int, dry_run: bool = False) -> int:
        """Remove hints that came longer ago than a message may come again, read or not, and old counts.

        Who has not read them by then has read the whole table since.

        Args:
            payload_days: rows of messages that nobody took for so long go sooner than their hints.
            dry_run: only count.

        Returns:
            How many hints.
        """
        now = self.now()
        old = _hint.c.received_at < now - REPEATED_WITHIN
        if dry_run:
            with self.reading("count old hints") as connection:
                return int(connection.execute(sa.select(sa.func.count()).select_from(_hint).where(old)).scalar_one())
        with self.writing("purge hints") as connection:
            gone = connection.execute(sa.delete(_hint).where(old)).rowcount
            untaken = _payload.c.received_at < now - timedelta(days=payload_days)
            connection.execute(sa.delete(_payload).where(untaken))
            connection.execute(sa.delete(_heard).where(_heard.c.day < (now - timedelta(days=KEPT_DAYS)).date()))
        return gone


def _same_row() -> sa.ColumnElement[bool]:
    """That a row of a message is the one that a hint is about."""
    return sa.and_(
        _payload.c.sync == _hint.c.sync,
        _payload.c.message_id == _hint.c.message_id,
        _payload.c.source_pk == _hint.c.source_pk,
    )


def _set_up(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")  # a message is answered when it is on the disk
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten: it held rows of people
