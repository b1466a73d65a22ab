"""The history behind `why`: outcomes as they were committed, a stretch of rows at a time.

A row a table row would double what recording costs. One commit holds the outcomes of up to some thousand rows, so it is
one table row: a compressed Arrow frame, found by the range of its `source_pk`.
"""

import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from caspio_sync.ledger import schema
from caspio_sync.ledger.bearers import folded
from caspio_sync.ledger.bulk import integer_lists
from caspio_sync.ledger.form import instant
from caspio_sync.ledger.schema import DELIVERED_SCHEMA, PROFILE
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.schemas import SOURCE_PK, Verdict

_TEXTS_A_QUERY = 50

STRETCH_SCHEMA = pl.Schema(
    {
        SOURCE_PK: pl.Int64(),
        "request": pl.Int64(),
        "verdict": pl.String(),
        "reason": pl.String(),
        "status": pl.Int64(),
        "changed": pl.Binary(),
    }
)


def append(connection: sa.Connection, rows: pl.DataFrame, *, sync: str, run: str, batch: int, at: int) -> None:
    """Append the outcomes of one commit.

    Args:
        connection: in a write transaction.
        rows: RECORD_SCHEMA, sorted by `source_pk`.
        sync: name of the sync.
        run: id of the run.
        batch: number of the batch within the run.
        at: microseconds since the epoch.
    """
    for (part, mapping_version), stretch in rows.partition_by("part", "mapping_version", as_dict=True).items():
        _append(connection, stretch, sync=sync, run=run, batch=batch, part=part, at=at, mapping_version=mapping_version)


def append_sent(
    connection: sa.Connection, sending: Sending, answered: pl.DataFrame, accepted: Sequence[Accepted], *, at: int
) -> int:
    """Append the outcomes of requests that were accepted whole, sorted by their first row; their number."""
    stretch = answered.with_columns(
        pl.Series("request", [each.request for each in accepted for _ in range(each.count)], dtype=pl.Int64),
        pl.Series("status", [each.status for each in accepted for _ in range(each.count)], dtype=pl.Int64),
        verdict=pl.lit(Verdict.SENT.value),
        reason=pl.lit(None, dtype=pl.String),
    )
    return _append(
        connection,
        stretch,
        sync=sending.sync,
        run=sending.run,
        batch=sending.batch,
        part=PROFILE,
        at=at,
        mapping_version=sending.mapping_version,
    )


def _append(connection: sa.Connection, stretch: pl.DataFrame, *, at: int, **about: object) -> int:
    added = connection.execute(sa.insert(schema.outcome).values(**about, at=instant(at), **_packed(stretch)))
    return int(added.inserted_primary_key.number)  # type: ignore[union-attr]  # of an insert of one row


def _packed(stretch: pl.DataFrame) -> dict[str, Any]:
    buffer = io.BytesIO()
    stretch.select(STRETCH_SCHEMA.names()).write_ipc(buffer, compression="lz4")
    return {"low_pk": stretch[SOURCE_PK].min(), "high_pk": stretch[SOURCE_PK].max(), "rows": buffer.getvalue()}


def forget(connection: sa.Connection, sync: str, source_pks: pl.Series) -> int:
    """Take rows out of a sync's history, under every PK_ID they bore; the number of outcomes that are gone."""
    table, gone = schema.outcome.c, 0
    pks = _borne(connection, sync, source_pks.unique()).sort()
    overlapping = sa.select(table.number, table.low_pk, table.high_pk).where(
        table.sync == sync, table.low_pk <= pks[-1], table.high_pk >= pks[0]
    )
    for number, low, high in connection.execute(overlapping).all():
        inside = pks.filter(pks.is_between(low, high))
        if inside.is_empty():
            continue
        packed = connection.execute(sa.select(table.rows).where(table.number == number)).scalar_one()
        stretch = pl.read_ipc(io.BytesIO(packed))
        kept = stretch.filter(~pl.col(SOURCE_PK).is_in(inside.implode()))
        if kept.is_empty():
            connection.execute(sa.delete(schema.outcome).where(table.number == number))
        elif kept.height < stretch.height:
            connection.execute(sa.update(schema.outcome).where(table.number == number).values(**_packed(kept)))
        gone += stretch.height - kept.height
    return gone


def delivered(connection: sa.Connection, sync: str, run: str, batch: int) -> pl.DataFrame:
    """DELIVERED_SCHEMA: the rows and parts that this batch of this run has an outcome for."""
    table = schema.outcome.c
    chosen = sa.select(table.part, table.rows).where(table.sync == sync, table.run == run, table.batch == batch)
    frames = [
        pl.read_ipc(io.BytesIO(rows), columns=[SOURCE_PK]).with_columns(part=pl.lit(part))
        for part, rows in connection.execute(chosen)
    ]
    return pl.concat([pl.DataFrame(schema=DELIVERED_SCHEMA), *frames]).unique().sort(SOURCE_PK, "part")


def acknowledged(connection: sa.Connection, sync: str, runs: sa.Select[tuple[str]], after_pk: int) -> pl.Series:
    """`source_pk` of the rows above a key that these runs sent and had acknowledged."""
    table = schema.outcome.c
    chosen = sa.select(table.rows).where(
        table.sync == sync, table.run.in_(runs), table.part == PROFILE, table.high_pk > after_pk
    )
    sent = pl.col("verdict") == Verdict.SENT.value
    frames = [
        pl.read_ipc(io.BytesIO(rows), columns=[SOURCE_PK, "verdict"]).filter(sent, pl.col(SOURCE_PK) > after_pk)
        for rows in connection.execute(chosen).scalars()
    ]
    return pl.concat([pl.DataFrame(schema={SOURCE_PK: pl.Int64(), "verdict": pl.String()}), *frames])[SOURCE_PK]


def of_row(connection: sa.Connection, sync: str, source_pk: int) -> list[dict[str, Any]]:
    """A row's outcomes, newest first: the columns of STRETCH_SCHEMA, and run, batch, part, at and mapping_version.

    Of two outcomes of one part in one run the later one stands: a repeated record is no second outcome. Where the row
    bore another PK_ID before (`former`), what was recorded under it until then is the row's as well.
    """
    table, told = schema.former.c, list[dict[str, Any]]()
    before: datetime | None = None
    while True:
        earlier = [table.sync == sync, table.source_pk == source_pk, *([] if before is None else [table.at < before])]
        last = connection.execute(sa.select(schema.former).where(*earlier).order_by(table.at.desc()).limit(1)).first()
        told += [
            each
            for each in kept_under(connection, sync, source_pk)
            if (before is None or each["at"] < before) and (last is None or each["at"] >= last.at)
        ]
        if last is None:
            return told
        source_pk, before = int(last.former_pk), last.at


def _borne(connection: sa.Connection, sync: str, source_pks: pl.Series) -> pl.Series:
    """Every PK_ID that these rows have borne, the present ones included."""
    table, found, asked = schema.former.c, source_pks, source_pks
    while len(asked):
        more: list[int] = []
        for numbers in integer_lists(asked):
            some = table.source_pk.in_([int(number) for number in numbers.split(",")])
            more += connection.execute(sa.select(table.former_pk).where(table.sync == sync, some)).scalars()
        asked = pl.Series(SOURCE_PK, more, dtype=pl.Int64).unique()
        asked = asked.filter(~asked.is_in(found.implode()))
        found = pl.concat([found, asked])
    return found


def kept_under(connection: sa.Connection, sync: str, source_pk: int) -> list[dict[str, Any]]:
    """The outcomes of a PK_ID, whosever they are."""
    table = schema.outcome.c
    chosen = (
        sa.select(schema.outcome)
        .where(table.sync == sync, table.low_pk <= source_pk, table.high_pk >= source_pk)
        .order_by(table.at.desc(), table.number.desc())
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for stretch in connection.execute(chosen).mappings():
        rows = pl.read_ipc(io.BytesIO(stretch["rows"])).filter(pl.col(SOURCE_PK) == source_pk)
        for row in rows.to_dicts():
            about = {name: stretch[name] for name in ("run", "batch", "part", "at", "mapping_version")}
            found.setdefault((stretch["run"], stretch["part"]), {**row, **about})
    return list(found.values())


def forget_in_reports(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Take keys out of the examples of stored reports."""
    table, gone = schema.run.c, {folded(key) for key in keys}
    text = sa.func.lower(sa.cast(table.report, sa.Text))
    for start in range(0, len(keys), _TEXTS_A_QUERY):
        quoted = [json.dumps(folded(key)) for key in keys[start : start + _TEXTS_A_QUERY]]
        chosen = sa.select(table.id, table.report).where(
            sa.or_(*(text.contains(each, autoescape=True) for each in quoted))
        )
        for run, report in connection.execute(chosen).all():
            for reason in report.get("reasons", ()):
                reason["examples"] = [each for each in reason["examples"] if folded(each) not in gone]
            connection.execute(sa.update(schema.run).where(table.id == run).values(report=report))
