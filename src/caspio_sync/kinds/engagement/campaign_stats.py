"""The campaigns' own table in Caspio: the counts of each campaign, day and channel; late events change the past."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import polars as pl

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.caspio.query import literal
from caspio_sync.caspio.records import RecordReader
from caspio_sync.caspio.write_planner import plan_calls
from caspio_sync.caspio.writer import AT_ONCE, Writer
from caspio_sync.concurrency import all_of
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.kinds.engagement.definition import CampaignStats, EngagementSync
from caspio_sync.kinds.engagement.gathering import EngagementWork
from caspio_sync.kinds.engagement.mapping import present
from caspio_sync.kinds.engagement.wanted import text
from caspio_sync.schemas import PROBLEMS, SOURCE_PK, CaspioField, Verdict

UNIQUE = "StatKey"  # campaign, day and channel in one: what a lost insert is looked up by
_COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "Sent": "sent",
        "Delivered": "delivered",
        "Opens": "opens",
        "MachineOpens": "machine_opens",
        "Clicks": "clicks",
        "Bounces": "bounces",
        "Complaints": "complaints",
    }
)
COUNTS = tuple(_COUNTS)
_WRITTEN = (*COUNTS, "CampaignName")
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        UNIQUE: "STRING",
        "CampaignId": "STRING",
        "CampaignName": "STRING",
        "Day": "DATE/TIME",
        "Channel": "STRING",
        **dict.fromkeys(COUNTS, "INTEGER"),
    }
)
_CHARS = 255
_WORDS = 3  # refusals of Caspio that are told
_NAMED = pl.col("campaign_id").is_not_null() & pl.col("day").is_not_null()


async def wanted_days(run: SyncRun[EngagementWork], *, make: bool = True) -> pl.DataFrame | None:
    """The campaigns' days that are not in the table as they are there; None where the sync keeps no such table.

    Args:
        run: the run.
        make: make the table where there is none and the sync file says so; a plan looks only.

    Returns:
        StatKey, CampaignId, CampaignName, Day, Channel, the counts, `present.<count>`, `source_pk` (null for a new row)
        and `problems`.

    Raises:
        ConfigurationError: the table is not there, or lacks a field.
    """
    definition = run.work.definition
    if (stats := definition.campaign_stats) is None:
        return None
    since = run.clock.now().date() - timedelta(days=stats.days)
    days = await asyncio.to_thread(run.work.engagement.campaign_days, since)
    fields = await find_table(run.caspio, definition)
    if not fields and make:
        await _make_table(run, stats)
        fields = await find_table(run.caspio, definition)
    known = await _present(run.caspio, stats, fields, since.isoformat()) if fields else _NOTHING.clone()
    wanted = _as_rows(days)
    held = [pl.col(name).ne_missing(pl.col(present(name))) for name in _WRITTEN]
    joined = wanted.join(known, on=UNIQUE, how="left", maintain_order="left")
    return joined.filter(pl.col(SOURCE_PK).is_null() | pl.any_horizontal(held)).with_columns(
        pl.lit(None, dtype=pl.String).alias(PROBLEMS)
    )


async def write_days(run: SyncRun[EngagementWork], rows: pl.DataFrame) -> None:
    """Insert the new days, and write what changed of the others.

    Raises:
        TransientError: Caspio takes no calls; what was inserted is found again by the next attempt.
        ConfigurationError: credentials, rights, the table.
    """
    stats = run.work.definition.campaign_stats
    assert stats is not None
    writer = Writer(run.caspio, Source(stats.table))
    changed = rows.filter(pl.col(SOURCE_PK).is_not_null()).select(
        SOURCE_PK,
        *(pl.when(pl.col(name).ne_missing(pl.col(present(name)))).then(name).alias(name) for name in _WRITTEN),
    )
    written = await writer.write(plan_calls(changed, _WRITTEN, room=writer.room))
    new = rows.filter(pl.col(SOURCE_PK).is_null()).select(
        *(name for name in _TYPES if name != "Day"), pl.col("Day").dt.strftime("%Y-%m-%dT00:00:00")
    )
    unwritten = await _insert(writer, new.rows(named=True))
    report = run.work.writeback
    report.campaign_calls += writer.calls
    report.campaign_days += rows.height - len(unwritten)
    refused = {key: writer.refused.pop(key) for key in unwritten if key in writer.refused}
    report.refused |= writer.refused
    lost = written.filter(pl.col("verdict") != Verdict.SENT.value)[SOURCE_PK].n_unique() + len(unwritten) - len(refused)
    if lost:
        run.report.notes.append(f"{stats.table}: {lost} campaign days were not written; the next run writes them")
    for words, count in Counter(refused.values()).most_common(_WORDS):
        run.report.notes.append(f"{stats.table}: {count} campaign days were not written. {words}")


async def _insert(writer: Writer, rows: list[dict[str, Any]]) -> list[str]:
    """Insert each row once; the keys of those that were refused, or of which nobody knows."""
    turn, unwritten = asyncio.Semaphore(AT_ONCE), []

    async def insert(row: dict[str, Any]) -> None:
        async with turn:
            filled = {name: value for name, value in row.items() if value is not None}
            if await writer.insert(filled, unique=UNIQUE) != Verdict.SENT:
                unwritten.append(str(row[UNIQUE]))

    await all_of(insert(row) for row in rows)
    return unwritten


def _as_rows(days: pl.DataFrame) -> pl.DataFrame:
    """The days as the table has them: of names that are one in it, the counts are added up."""
    day = pl.col("day").cast(pl.Date)
    counts = [
        (pl.col(column).cast(pl.Int64) if column in days.columns else pl.lit(0, dtype=pl.Int64)).alias(field)
        for field, column in _COUNTS.items()
    ]
    named = days.filter(_NAMED).select(
        text(pl.col("campaign_id"), _CHARS).alias("CampaignId"),
        text(pl.col("campaign_name"), _CHARS).alias("CampaignName"),
        day.cast(pl.Datetime("ms")).alias("Day"),
        text(pl.col("channel"), _CHARS).alias("Channel"),
        *counts,
    )
    unique = pl.format(
        "{}|{}|{}", "CampaignId", pl.col("Day").cast(pl.Date).dt.to_string("iso"), pl.col("Channel").fill_null("")
    )
    return (
        named.filter(pl.col("CampaignId").is_not_null())
        .with_columns(unique.str.slice(0, _CHARS).alias(UNIQUE))
        .group_by(UNIQUE, maintain_order=True)
        .agg(
            pl.col("CampaignId", "CampaignName", "Day", "Channel").first(),
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in COUNTS),
        )
    )


async def find_table(caspio: CaspioClient, definition: EngagementSync) -> dict[str, CaspioField]:
    """The fields of the campaigns' table; empty where it is not there and is to be made.

    Raises:
        ConfigurationError: it is not there, and the file does not say `create: true`; or it lacks fields.
    """
    stats = definition.campaign_stats
    assert stats is not None
    place = definition.where("campaign_stats", "table")
    if stats.table.lower() not in {name.lower() for name in await caspio.tables()}:
        if stats.create:
            return {}
        fields = ", ".join(f"{name} ({type_})" for name, type_ in _TYPES.items())
        raise ConfigurationError(
            f"{place}: Caspio has no table {stats.table}; make it with {fields}, {UNIQUE} unique, "
            "or write `create: true`"
        )
    found = {each.name: each for each in await caspio.fields(Source(stats.table))}
    missing = [name for name, type_ in _TYPES.items() if name not in found or found[name].type != type_]
    if missing:
        wanted = ", ".join(f"{name} ({_TYPES[name]})" for name in missing)
        raise ConfigurationError(
            f"{place}: {stats.table} lacks {wanted}; add what is missing, or name a new table with `create: true`"
        )
    return found


async def _make_table(run: SyncRun[EngagementWork], stats: CampaignStats) -> None:
    models = [{"Name": name, "Type": type_, "Unique": name == UNIQUE} for name, type_ in _TYPES.items()]
    try:
        await run.caspio.create_table(stats.table, models)
    except TransientError as error:
        if not error.ambiguous or stats.table not in await run.caspio.tables():
            raise
    run.report.notes.append(f"made the table {stats.table} in Caspio")


async def _present(
    caspio: CaspioClient, stats: CampaignStats, fields: Mapping[str, CaspioField], since: str
) -> pl.DataFrame:
    chosen = [fields[name] for name in (UNIQUE, *_WRITTEN)]
    reader = RecordReader(caspio, Source(stats.table), fields=chosen, where=f"Day>={literal(since)}")
    await reader.open()
    frames = [batch.frame async for batch in reader.batches()]
    read = pl.concat([pl.DataFrame(schema=_READ), *(frame.select(_READ.names()) for frame in frames)])
    return read.rename({name: present(name) for name in _WRITTEN})


_READ = pl.Schema(
    {SOURCE_PK: pl.Int64(), UNIQUE: pl.String(), **dict.fromkeys(COUNTS, pl.Int64()), "CampaignName": pl.String()}
)
# Made, not renamed: a query would start polars' threads as the module is imported, which a later fork does not survive.
_NOTHING = pl.DataFrame(schema={present(name) if name in _WRITTEN else name: dtype for name, dtype in _READ.items()})
