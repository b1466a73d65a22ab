"""Runs, their batches, and how far a sync has read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from caspio_sync.ledger import history, schema
from caspio_sync.ledger.connection import LedgerConnection
from caspio_sync.ledger.run_record import (
    INTERRUPTED,
    KILLED,
    KILLED_CODE,
    OPEN,
    PARTIAL,
    RECORDED,
    RUNNING,
    SWEEP,
    Batch,
    Cursor,
    Run,
)
from caspio_sync.schemas import SOURCE_PK

_AMONG = "among"  # in the counts of an open batch


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A batch that a run died in: more of its rows may be there than the ledger knows.

    Args:
        low: its smallest `source_pk`.
        high: its largest.
        recorded: `source_pk` of the rows whose outcome was recorded, in it or in an unfinished batch after it.
        among: `source_pk` of its rows; None: all from `low` to `high`.
    """

    low: int
    high: int
    recorded: pl.Series
    among: tuple[int, ...] | None = None


class Runs(LedgerConnection):
    """Runs, batches, cursors and the versions of mapping and suite."""

    def start_run(
        self,
        *,
        run: str,
        sync: str,
        kind: str,
        mode: str,
        flow_run_id: str | None = None,
        pk_range: tuple[int, int] | None = None,
    ) -> Run:
        """Write down that a run has begun; a repeated call finds the run as it is."""
        values = {
            "id": run,
            "sync": sync,
            "kind": kind,
            "mode": mode,
            "started_at": self.now(),
            "state": RUNNING,
            "flow_run_id": flow_run_id,
            "low_pk": None if pk_range is None else pk_range[0],
            "high_pk": None if pk_range is None else pk_range[1],
        }
        with self.writing("start a run") as connection:
            connection.execute(insert(connection, schema.run).values(values).on_conflict_do_nothing())
            found = connection.execute(sa.select(schema.run).where(schema.run.c.id == run)).one()
        return Run(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping

    def finish_run(self, run: str, *, state: str, exit_code: int, report: Mapping[str, Any] | None = None) -> None:
        """Write down how a run ended.

        Args:
            run: its id.
            state: in a word: `done`, `blocked`, `failed`, …
            exit_code: of the command line.
            report: JSON-able.
        """
        values = {
            "state": state,
            "exit_code": exit_code,
            "report": None if report is None else dict(report),
            "ended_at": self.now(),
        }
        with self.writing("finish a run") as connection:
            connection.execute(sa.update(schema.run).where(schema.run.c.id == run).values(values))

    def interrupt_run(self, run: str, *, exit_code: int) -> None:
        """Write down that a run is being broken off; where it has ended meanwhile, its end stands."""
        values = {"state": INTERRUPTED, "exit_code": exit_code, "ended_at": self.now()}
        with self.writing("interrupt a run") as connection:
            chosen = (schema.run.c.id == run, schema.run.c.state == RUNNING)
            connection.execute(sa.update(schema.run).where(*chosen).values(values))

    def end_killed_runs(
        self, sync: str, *, but: str, low_pk: int | None = None, high_pk: int | None = None
    ) -> list[Run]:
        """Write down that the runs of a sync that never ended were killed; to be called by who holds its lease.

        Args:
            sync: name of the sync.
            but: the run that asks.
            low_pk: first key of the rows whose lease it holds; runs that hold none of them may be alive.
            high_pk: the last one.

        Returns:
            them as they stand now, oldest first.
        """
        run = schema.run.c
        ours: sa.ColumnElement[bool] = sa.true()
        if low_pk is not None and high_pk is not None:
            ours = sa.or_(run.low_pk.is_(None), sa.and_(run.low_pk <= high_pk, run.high_pk >= low_pk))
        dead = [run.sync == sync, run.state == RUNNING, run.id != but, ours]
        values = {"state": KILLED, "exit_code": KILLED_CODE, "ended_at": self.now()}
        with self.writing("end killed runs", fenced=True) as connection:
            found = connection.execute(sa.select(schema.run).where(*dead).order_by(run.started_at, run.id)).all()
            if found:
                connection.execute(sa.update(schema.run).where(*dead).values(values))
            # One of other rows that is interrupted may still be writing down what it was told.
            alive = sa.select(run.id).where(sa.or_(run.state == RUNNING, sa.not_(ours)))
            left = (schema.sending.c.sync == sync, schema.sending.c.run.not_in(alive))
            connection.execute(sa.delete(schema.sending).where(*left))
        return [Run(**{**each._mapping, **values}) for each in found]  # noqa: SLF001 - public name

    def runs(self, sync: str | None = None, *, limit: int = 20) -> list[Run]:
        """The newest runs first, of one sync or of all."""
        newest = sa.select(schema.run).order_by(schema.run.c.started_at.desc(), schema.run.c.id.desc()).limit(limit)
        if sync is not None:
            newest = newest.where(schema.run.c.sync == sync)
        with self.reading("read runs") as connection:
            return [Run(**found._mapping) for found in connection.execute(newest)]  # noqa: SLF001 - public name

    def sync_names(self) -> list[str]:
        """The syncs that any run is known of, by name."""
        names = sa.select(schema.run.c.sync).distinct().order_by(schema.run.c.sync)
        with self.reading("read runs") as connection:
            return list(connection.execute(names).scalars())

    def running_runs(self) -> list[Run]:
        """The runs of all syncs that are written down as running, oldest first."""
        run = schema.run.c
        running = sa.select(schema.run).where(run.state == RUNNING).order_by(run.started_at, run.id)
        with self.reading("read running runs") as connection:
            return [Run(**found._mapping) for found in connection.execute(running)]  # noqa: SLF001 - public name

    def runs_of(self, flow_runs: Sequence[str]) -> list[Run]:
        """The runs that an orchestrator's flow runs made, by their ids there; none for those that made no run."""
        made = sa.select(schema.run).where(schema.run.c.flow_run_id.in_(flow_runs))
        with self.reading("read runs of flow runs") as connection:
            return [Run(**found._mapping) for found in connection.execute(made)]  # noqa: SLF001 - public name

    def run_of(self, flow_run_id: str) -> Run | None:
        """The run that an orchestrator's run made; None where it was not opened (yet)."""
        with self.reading("read a run") as connection:
            found = connection.execute(sa.select(schema.run).where(schema.run.c.flow_run_id == flow_run_id)).first()
        return None if found is None else Run(**found._mapping)  # noqa: SLF001 - public name

    def last_run(self, sync: str) -> Run | None:
        """The run that was started last, finished or not."""
        return next(iter(self.runs(sync, limit=1)), None)

    def open_batch(
        self, *, run: str, number: int, low_pk: int, high_pk: int, rows: int, among: Sequence[int] | None = None
    ) -> Batch:
        """Write down that a batch has begun (`among`: with these rows alone); one that was closed stays as it is.

        Returns:
            the batch as it stands, so that a repeated task sees what was done.
        """
        values = {
            "run": run,
            "number": number,
            "low_pk": low_pk,
            "high_pk": high_pk,
            "rows": rows,
            "state": OPEN,
            "counts": None if among is None else {_AMONG: list(among)},
            "at": self.now(),
        }
        again = {name: values[name] for name in ("low_pk", "high_pk", "rows", "counts", "at")}
        batch = schema.batch.c
        with self.writing("open a batch", fenced=True, fold=False) as connection:
            connection.execute(
                insert(connection, schema.batch)
                .values(values)
                .on_conflict_do_update(index_elements=[batch.run, batch.number], set_=again, where=batch.state == OPEN)
            )
            found = connection.execute(sa.select(schema.batch).where(batch.run == run, batch.number == number)).one()
        return Batch(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping

    def close_batch(self, run: str, number: int, *, state: str, counts: Mapping[str, Any] | None = None) -> None:
        """Write down how a batch ended: `recorded`, `blocked`, `failed`, with its counts (JSON-able)."""
        batch = schema.batch.c
        values = {"state": state, "counts": None if counts is None else dict(counts), "at": self.now()}
        sending = schema.sending.c
        with self.writing("close a batch", fenced=True) as connection:
            connection.execute(sa.update(schema.batch).where(batch.run == run, batch.number == number).values(values))
            connection.execute(sa.delete(schema.sending).where(sending.run == run, sending.batch == number))

    def unfinished(self, sync: str) -> tuple[Unfinished, ...]:
        """The batches that a run left open, and whose rows no later run is sure to have read.

        A complete run reads what the one before it left; what a partial run left, only a sweep is sure to read.
        """
        runs, batches = schema.run.c, schema.batch.c
        done = (
            sa.select(runs.mode, sa.func.max(runs.started_at))
            .where(runs.sync == sync, runs.state == "done", runs.mode != PARTIAL)
            .group_by(runs.mode)
        )
        left = (
            sa.select(runs.mode, runs.started_at, schema.batch)
            .join_from(schema.batch, schema.run, batches.run == runs.id)
            .where(runs.sync == sync, batches.state == OPEN)
            .order_by(runs.started_at.desc())
        )
        found: list[Unfinished] = []
        recorded = pl.Series(dtype=pl.Int64)
        with self.reading("read unfinished batches") as connection:
            last: dict[str, datetime] = {each[0]: each[1] for each in connection.execute(done)}
            read = {PARTIAL: last.get(SWEEP)}
            complete = max(last.values(), default=None)
            for each in connection.execute(left).all():
                since = read.get(each.mode, complete)
                if since is None or each.started_at > since:
                    told = history.delivered(connection, sync, each.run, each.number)
                    # An opt-out that left ahead tells nothing of the row's other object, which may have loosened one.
                    told = told.filter(pl.col("part") == schema.PROFILE)
                    recorded = pl.concat([recorded, told[SOURCE_PK]]).unique()
                    among = (each.counts or {}).get(_AMONG)
                    found.append(Unfinished(each.low_pk, each.high_pk, recorded, among and tuple(among)))
        return tuple(found)

    def rows_recorded(self, run: str) -> int:
        """Rows of a run's recorded batches: how far it has come."""
        batch = schema.batch.c
        recorded = sa.select(sa.func.coalesce(sa.func.sum(batch.rows), 0)).where(
            batch.run == run, batch.state == RECORDED
        )
        with self.reading("read batches") as connection:
            return int(connection.execute(recorded).scalar_one())

    def batches(self, run: str) -> list[Batch]:
        """The batches of a run by number."""
        chosen = sa.select(schema.batch).where(schema.batch.c.run == run).order_by(schema.batch.c.number)
        with self.reading("read batches") as connection:
            return [Batch(**found._mapping) for found in connection.execute(chosen)]  # noqa: SLF001 - public name

    def cursor(self, sync: str) -> Cursor | None:
        """How far the sync has read; None before the first complete read."""
        with self.reading("read the cursor") as connection:
            found = connection.execute(sa.select(schema.cursor).where(schema.cursor.c.sync == sync)).one_or_none()
        return None if found is None else Cursor(**found._mapping)  # noqa: SLF001 - public name

    def move_cursor(
        self, sync: str, *, watermark: datetime | None, where_digest: str | None, full_sweep_at: datetime | None = None
    ) -> None:
        """Set how far the sync has read.

        Args:
            sync: name of the sync.
            watermark: aware; None forgets it, and the next run reads everything.
            where_digest: of the filter that was read under.
            full_sweep_at: start of a complete read; None keeps the former one.
        """
        values: dict[str, Any] = {"watermark": watermark, "where_digest": where_digest}
        if full_sweep_at is not None:
            values["full_sweep_at"] = full_sweep_at
        with self.writing("move the cursor", fenced=True) as connection:
            put(connection, schema.cursor, sync, values)

    def mapping_version(self, sync: str, digest: str, fields: Sequence[str], *, rules: int = 1) -> int:
        """Number of the mapping with this digest, from 1; a new digest gets the next one.

        Args:
            sync: name of the sync.
            digest: of what the mapping does.
            fields: its columns in the order in which `sent_fields` packs them.
            rules: version of the rules that it reads by.
        """
        return self._version(schema.mapping, sync, digest, {"fields": list(fields), "rules": rules})

    def versions_under_former_rules(self, sync: str, rules: int) -> frozenset[int]:
        """Numbers of the mappings that read by rules before these."""
        table = schema.mapping.c
        chosen = sa.select(table.version).where(table.sync == sync, table.rules < rules)
        with self.reading("read mapping versions") as connection:
            return frozenset(connection.execute(chosen).scalars())

    def known_mapping_version(self, sync: str, digest: str) -> int | None:
        """Number of the mapping with this digest; None where no run has used it."""
        return self._known_version(schema.mapping, sync, digest)

    def known_suite_version(self, sync: str, digest: str) -> int | None:
        """Number of the suite with this digest; None where no run has used it."""
        return self._known_version(schema.suite, sync, digest)

    def mapping_fields(self, sync: str) -> dict[int, tuple[str, ...]]:
        """The columns of every mapping version of a sync, in the order in which `sent_fields` packs them."""
        versions = schema.mapping.c
        with self.reading("read mapping versions") as connection:
            found = connection.execute(sa.select(versions.version, versions.fields).where(versions.sync == sync))
            return {version: tuple(fields) for version, fields in found}

    def suite_version(self, sync: str, digest: str) -> int:
        """Number of the suite with this digest, from 1; a new digest gets the next one."""
        return self._version(schema.suite, sync, digest, {})

    def _known_version(self, table: sa.Table, sync: str, digest: str) -> int | None:
        with self.reading("read versions") as connection:
            found = connection.execute(_present_version(table, sync, digest)).scalar()
        return None if found is None else int(found)

    def _version(self, table: sa.Table, sync: str, digest: str, further: Mapping[str, Any]) -> int:
        newest = sa.select(sa.func.coalesce(sa.func.max(table.c.version), 0)).where(table.c.sync == sync)
        while (found := self._known_version(table, sync, digest)) is None:
            with self.writing("add a version") as connection:
                version = connection.execute(newest).scalar_one() + 1
                # Another shard may add the same digest just now, or another digest under the same number.
                values = insert(connection, table).values(sync=sync, digest=digest, version=version, **further)
                connection.execute(values.on_conflict_do_nothing())
        return found


def _present_version(table: sa.Table, sync: str, digest: str) -> sa.Select[tuple[Any]]:
    return sa.select(table.c.version).where(table.c.sync == sync, table.c.digest == digest)


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT; both spell it alike."""
    if connection.dialect.name == "sqlite":
        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415 - for those who have one

    return postgresql_insert(table)


def put(connection: sa.Connection, table: sa.Table, sync: str, values: Mapping[str, Any]) -> None:
    """The one row of a sync, in place of the former one."""
    added = insert(connection, table).values(sync=sync, **values)
    connection.execute(added.on_conflict_do_update(index_elements=[table.c.sync], set_=values))
