"""Events that left: noted before the call, settled with the outcome; what is left of them is unknown.

A destination that takes every object for an occurrence of its own counts a repeated one twice. So nothing leaves that
is not noted, and what is noted without an outcome is not sent again by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import events_schema as tables
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import Constant, integer_lists, select_frame, signed, upsert
from caspio_sync.ledger.events_schema import LEAVING, LET_GO, RELEASED, REPEATED, UNKNOWN, put_back, take_out
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.leases import Leases
from caspio_sync.ledger.record import Recording
from caspio_sync.ledger.schema import INSTANT, PROFILE, RECORD_SCHEMA
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict

LOST_WITH_ITS_RUN = "the run ended before the answer was recorded: it may have arrived"
DROPPED = "its answer was lost, and it was settled by hand as not to be sent again: it may have arrived"
_KEPT_REACH = timedelta(days=1)
_READ_AGAIN = 1_000  # rows below the first note, as long as that is fresh

_EVENT_COLUMNS = (
    "source_pk, key, key_hash, sent_fp, sent_fields, sent_mapping_version, sent_at, seen_fp, seen_at, verdict, reason, "
    "suite_version, mapping_version"
)
_EVENT_ROWS = f"SELECT {_EVENT_COLUMNS} FROM row WHERE sync = ? AND source_pk BETWEEN ? AND ? ORDER BY source_pk"
EVENT_ROW_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "key_hash": pl.Int64(),
        "sent_fp": pl.Binary(),
        "sent_fields": pl.Binary(),
        "sent_mapping_version": pl.Int64(),
        "sent_at": pl.Int64(),
        "seen_fp": pl.Binary(),
        "seen_at": pl.Int64(),
        "verdict": pl.String(),
        "reason": pl.String(),
        "suite_version": pl.Int64(),
        "mapping_version": pl.Int64(),
    }
)
_JOURNAL = (
    "SELECT source_pk, fp, fields, mapping_version, at, state FROM journal "
    "WHERE sync = ? AND source_pk BETWEEN ? AND ? ORDER BY source_pk, at"
)
JOURNAL_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        "fp": pl.Binary(),
        "fields": pl.Binary(),
        "mapping_version": pl.Int64(),
        "at": pl.Int64(),
        "state": pl.String(),
    }
)
BESIDE_SCHEMA = pl.Schema(
    {SOURCE_PK: pl.Int64(), KEY: pl.String(), "fp": pl.Binary(), "at": pl.Int64(), "state": pl.String()}
)
# What may be sent once more.
LET_GO_SCHEMA = pl.Schema({SOURCE_PK: pl.Int64(), "fp": pl.Binary(), "at": pl.Int64(), "state": pl.String()})
UNKNOWN_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        KEY: pl.String(),
        "at": INSTANT,
        "run": pl.String(),
        "request": pl.Int64(),
        "state": pl.String(),
    }
)


class Events(Recording, Leases):
    """The journal of events, and how far they were read."""

    def event_rows(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """EVENT_ROW_SCHEMA of the rows low..high: unlike `read_rows`, also what was sent under a former key."""
        with self.reading("read rows") as connection:
            return select_frame(connection, _EVENT_ROWS, (sync, low, high), EVENT_ROW_SCHEMA)

    def journal_rows(self, sync: str, low: int, high: int) -> pl.DataFrame:
        """JOURNAL_SCHEMA of the rows low..high, those of a row by their time."""
        with self.reading("read the journal") as connection:
            return select_frame(connection, _JOURNAL, (sync, low, high), JOURNAL_SCHEMA)

    def note_departure(
        self, *, sync: str, run: str, batch: int, rows: pl.DataFrame, mapping_version: int, suite_version: int
    ) -> pl.DataFrame:
        """Write down what is about to leave.

        Args:
            sync: name of the sync.
            run: id of the run.
            batch: number of the batch within the run.
            rows: source_pk, fp, key, key_hash, fields, request.
            mapping_version: what `fields` is packed under.
            suite_version: what the rows were judged under.

        Returns:
            LET_GO_SCHEMA of those of its rows that leave once more: as they stood before.
        """
        values = rows.select(SOURCE_PK, "fp", KEY, signed(rows["key_hash"]), "fields", "request")
        now = microseconds(self.now())
        constants: dict[str, Constant] = {
            "sync": sync,
            "run": run,
            "batch": batch,
            "mapping_version": mapping_version,
            "suite_version": suite_version,
            "state": LEAVING,
        }
        update = (KEY, "key_hash", "fields", "request", "at", *(name for name in constants if name != "sync"))
        with self.writing("note what is leaving", fenced=True) as connection:
            before = _let_go(connection, sync, values[SOURCE_PK])
            # Just after it first left, so that the newer note of a row is the newer one still. This very note may be
            # there already, where it is repeated because nobody heard that it was written.
            first = before.group_by(SOURCE_PK).agg(pl.col("at").min() + 1)
            values = values.join(first, on=SOURCE_PK, how="left", maintain_order="left")
            values = values.with_columns(pl.col("at").fill_null(now))
            upsert(connection, tables.journal, values, constants=constants, update=update)
        return before.filter(pl.col("state") != LEAVING)

    def note_not_left(self, sync: str, rows: pl.DataFrame, let_go: pl.DataFrame) -> None:
        """What was noted and surely did not arrive this time.

        Args:
            sync: name of the sync.
            rows: source_pk and fp.
            let_go: as `note_departure` gave it: what may have arrived before stands as it did.
        """
        same = [SOURCE_PK, "fp"]
        with self.writing("note what has not left", fenced=True) as connection:
            take_out(connection, sync, rows.join(let_go, on=same, how="anti"))
            put_back(connection, sync, let_go.join(rows, on=same, how="semi"))

    def note_lost(self, sync: str, *, run: str | None = None, batch: int | None = None) -> pl.DataFrame:
        """What was left on its way has no answer any more: from here on it is unknown.

        Args:
            sync: name of the sync; the caller holds its lease.
            run: a run under way, of a batch of which nothing is on its way; None: all runs that are not under way.
            batch: of that run.

        Returns:
            RECORD_SCHEMA of the rows.
        """
        table = tables.journal.c
        chosen = [table.sync == sync, table.state == LEAVING]
        if run is None:
            chosen.append(table.run.not_in(self.runs_under_way(sync)))
        else:
            chosen += [table.run == run, table.batch == batch]
        with self.reading("read the journal") as connection:
            found = connection.execute(sa.select(tables.journal).where(*chosen).order_by(table.source_pk)).all()
        lost = [_lost([])]
        for of_run, of_batch in sorted({(each.run, each.batch) for each in found}):
            lost.append(_lost([each for each in found if (each.run, each.batch) == (of_run, of_batch)]))
            self.record(sync=sync, run=of_run, batch=of_batch, rows=lost[-1], journalled=True)
        return pl.concat(lost)

    def unknown_events(self, sync: str, *, limit: int | None = None) -> pl.DataFrame:
        """UNKNOWN_SCHEMA: events whose answer was lost, oldest first; those of runs under way are not among them."""
        table = tables.journal.c
        there = sa.or_(table.state != LEAVING, table.run.not_in(self.runs_under_way(sync)))
        columns = (table.source_pk, table.key, table.at, table.run, table.request, table.state)
        chosen = sa.select(*columns).where(table.sync == sync, there).order_by(table.at, table.source_pk).limit(limit)
        with self.reading("read the journal") as connection:
            rows = [tuple(each) for each in connection.execute(chosen)]
        return pl.DataFrame(rows, schema=UNKNOWN_SCHEMA, orient="row")

    def met_rows(self, sync: str, source_pks: Sequence[int]) -> set[int]:
        """Of these rows, those of which anything is known: a verdict, or that they were about to leave."""
        met: set[int] = set()
        with self.reading("look for rows that were met") as connection:
            for table in (schema.row, tables.journal):
                column = table.c.source_pk
                for numbers in integer_lists(pl.Series(list(source_pks), dtype=pl.Int64)):
                    some = column.in_([int(each) for each in numbers.split(",")])
                    met.update(connection.execute(sa.select(column).where(table.c.sync == sync, some)).scalars())
        return met

    def beside_unknown(self, sync: str) -> pl.DataFrame:
        """BESIDE_SCHEMA: what is unknown, and everything else of the same people that left or may have left.

        `state` is the journal's; "sent" of what was acknowledged, "taken" of what was only taken for sent.
        """
        noted, rows = tables.journal.c, schema.row.c
        mine = (noted.sync == sync, noted.state == UNKNOWN)
        people = sa.select(noted.key_hash).where(*mine)
        left = sa.select(noted.source_pk, noted.key, noted.fp, sa.type_coerce(noted.at, sa.BigInteger), noted.state)
        acknowledged = sa.and_(rows.verdict == Verdict.SENT.value, rows.reason.is_(None))
        state = sa.case((acknowledged, "sent"), else_="taken")
        sent = sa.select(rows.source_pk, rows.key, rows.sent_fp, sa.type_coerce(rows.sent_at, sa.BigInteger), state)
        with self.reading("read what is unknown, and what was sent beside it") as connection:
            keys = set(connection.execute(sa.select(noted.key).where(*mine)).scalars())
            found = [
                *connection.execute(left.where(noted.sync == sync, noted.key_hash.in_(people))),
                *connection.execute(
                    sent.where(rows.sync == sync, rows.sent_fp.is_not(None), rows.key_hash.in_(people))
                ),
            ]
        return pl.DataFrame([tuple(each) for each in found if each[1] in keys], schema=BESIDE_SCHEMA, orient="row")

    def people_sent(self, sync: str, most: int | None) -> pl.DataFrame:
        """Of people of whom rows were sent and acknowledged: key, source_pk (the lowest) and `rows`.

        Args:
            sync: name of the sync.
            most: people at the most; which ones, their hashes say, so that they are spread evenly.
        """
        limit = "" if most is None else f"LIMIT {int(most)}"
        statement = (
            "SELECT key, MIN(source_pk), COUNT(*) FROM row WHERE sync = ? AND verdict = ? AND reason IS NULL "
            f"GROUP BY key, key_hash ORDER BY key_hash, key {limit}"
        )
        columns = {KEY: pl.String(), SOURCE_PK: pl.Int64(), "rows": pl.Int64()}
        with self.reading("count what was sent of people") as connection:
            return select_frame(connection, statement, (sync, Verdict.SENT.value), columns)

    def has_sent_nothing(self, sync: str) -> bool:
        """Whether no row was ever acknowledged, or taken for sent, and none is in the journal."""
        rows, noted = schema.row.c, tables.journal.c
        sent = sa.select(rows.source_pk).where(rows.sync == sync, rows.sent_fp.is_not(None)).limit(1)
        left = sa.select(noted.source_pk).where(noted.sync == sync).limit(1)
        with self.reading("look for what was sent") as connection:
            return all(connection.execute(each).first() is None for each in (sent, left))

    def count_unknown(self) -> dict[str, int]:
        """Events whose answer was lost and which nobody has settled, by sync."""
        table = tables.journal.c
        counted = sa.select(table.sync, sa.func.count()).where(table.state == UNKNOWN).group_by(table.sync)
        with self.reading("count what is unknown") as connection:
            return {str(sync): int(count) for sync, count in connection.execute(counted)}

    def release_unknown(
        self, sync: str, source_pks: Sequence[int] | None = None, *, since: datetime | None = None
    ) -> int:
        """Let unknown events be sent once more, all or those of some rows; how many.

        Args:
            sync: name of the sync.
            source_pks: of the rows; None for all.
            since: only what first left since then (aware), and what was let go so before and left earlier is unknown
                again; None whenever it left.
        """
        table, count = tables.journal.c, 0
        late = () if since is None else (table.at >= since,)
        state = RELEASED if since is None else REPEATED
        with self.writing("release unknown events") as connection:
            if since is not None:
                forgotten = sa.update(tables.journal).where(table.sync == sync, table.state == REPEATED)
                connection.execute(forgotten.where(table.at < since).values(state=UNKNOWN))
            for some in _chosen(source_pks):
                released = sa.update(tables.journal).where(table.sync == sync, table.state == UNKNOWN, *some, *late)
                count += connection.execute(released.values(state=state)).rowcount
        return count

    def drop_unknown(self, sync: str, source_pks: Sequence[int] | None = None, *, reason: str | None = DROPPED) -> int:
        """Take unknown events for sent: they are never sent again; how many.

        Args:
            sync: name of the sync.
            source_pks: of the rows; None for all.
            reason: said of them; None where it is known that they arrived.
        """
        table, rows = tables.journal.c, schema.row.c
        dropped: list[tuple[object, ...]] = []
        with self.writing("drop unknown events") as connection:
            for some in _chosen(source_pks):
                open_ = (table.sync == sync, table.state.in_((UNKNOWN, *LET_GO)), *some)
                chosen = sa.select(tables.journal).where(*open_).order_by(table.at)
                for each in connection.execute(chosen).all():
                    same = (rows.sync == sync, rows.source_pk == each.source_pk)
                    values = {
                        "sent_fp": each.fp,
                        "sent_fields": each.fields,
                        "sent_mapping_version": each.mapping_version,
                        "sent_at": each.at,
                        "holds": 1,
                    }
                    # Where a later version of the row was sent meanwhile, that one stands.
                    older = sa.or_(rows.sent_at.is_(None), rows.sent_at <= each.at)
                    connection.execute(sa.update(schema.row).where(*same, older).values(values))
                    settled = {"verdict": Verdict.SENT.value, "reason": reason}
                    waiting = (*same, rows.verdict == Verdict.UNKNOWN.value, rows.seen_fp == each.fp)
                    connection.execute(sa.update(schema.row).where(*waiting).values(settled))
                    dropped.append((each.source_pk, each.fp))
            take_out(
                connection, sync, pl.DataFrame(dropped, schema={SOURCE_PK: pl.Int64, "fp": pl.Binary}, orient="row")
            )
        return len(dropped)

    def reached(self, sync: str, settled: datetime) -> int | None:
        """Up to which PK_ID everything is known to be read that was there at an instant; None where nothing is noted.

        Args:
            sync: name of the sync.
            settled: aware; what was noted later is passed over. Where there is no earlier note, some rows are read
                again.
        """
        table = tables.reach.c
        noted = sa.select(table.at, table.high_pk).where(table.sync == sync).order_by(table.at)
        with self.reading("read how far was read") as connection:
            found = connection.execute(noted).all()
        before = [int(each.high_pk) for each in found if each.at <= settled]
        if before or not found:
            return max(before, default=None)
        return min(int(each.high_pk) for each in found) - _READ_AGAIN

    def note_reached(self, sync: str, at: datetime, high_pk: int | None, *, anew: bool) -> None:
        """Everything up to this PK_ID was read by a read that began at this time.

        Args:
            sync: name of the sync.
            at: aware, by the source's clock.
            high_pk: None where no row was read.
            anew: whether that was a whole read, so that nothing before it counts.
        """
        table = tables.reach.c
        old = () if anew else (table.at < at - _KEPT_REACH,)
        with self.writing("note how far was read", fenced=True) as connection:
            newest = sa.select(sa.func.max(table.high_pk)).where(table.sync == sync)
            before = None if anew else connection.execute(newest).scalar()
            connection.execute(sa.delete(tables.reach).where(table.sync == sync, *old))
            reached = [int(each) for each in (high_pk, before) if each is not None]
            if reached:
                values = pl.DataFrame({"at": [microseconds(at)], "high_pk": [max(reached)]})
                upsert(connection, tables.reach, values, constants={"sync": sync}, update=("high_pk",))


def _lost(found: Sequence[sa.Row[tuple[object, ...]]]) -> pl.DataFrame:
    """RECORD_SCHEMA of noted rows without an answer."""
    columns = {
        SOURCE_PK: [each.source_pk for each in found],
        KEY: [each.key for each in found],
        "key_hash": [each.key_hash for each in found],
        "fp": [each.fp for each in found],
        "sent_fields": [each.fields for each in found],
        "request": [each.request for each in found],
        "suite_version": [each.suite_version for each in found],
        "mapping_version": [each.mapping_version for each in found],
    }
    frame = pl.DataFrame(columns, schema={name: RECORD_SCHEMA[name] for name in columns})
    return frame.with_columns(
        pl.lit(None, dtype=pl.Binary).alias("changed"),
        pl.lit(None, dtype=pl.Int64).alias("status"),
        part=pl.lit(PROFILE),
        verdict=pl.lit(Verdict.UNKNOWN.value),
        reason=pl.lit(LOST_WITH_ITS_RUN),
    )


def _let_go(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.DataFrame:
    """LET_GO_SCHEMA of these rows, and of those among them that are leaving."""
    table, found = tables.journal.c, []
    for (some,) in _chosen(source_pks.to_list()):
        columns = (table.source_pk, table.fp, sa.type_coerce(table.at, sa.BigInteger), table.state)
        chosen = sa.select(*columns).where(table.sync == sync, table.state.in_((LEAVING, *LET_GO)), some)
        found += [tuple(row) for row in connection.execute(chosen)]
    return pl.DataFrame(found, schema=LET_GO_SCHEMA, orient="row")


def _chosen(source_pks: Sequence[int] | None) -> list[tuple[sa.ColumnElement[bool], ...]]:
    if source_pks is None:
        return [()]
    lists = integer_lists(pl.Series(list(source_pks), dtype=pl.Int64))
    return [(tables.journal.c.source_pk.in_([int(each) for each in numbers.split(",")]),) for numbers in lists]
