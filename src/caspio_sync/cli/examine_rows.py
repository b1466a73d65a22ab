"""What `check` reads of a sync's rows: how many there are, and the first of them by the very query of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from caspio_sync.caspio.client import CaspioClient, RefusedError, Source
from caspio_sync.caspio.counting import rows_counted
from caspio_sync.caspio.query import and_, identifier, is_reserved, literal, without_literals
from caspio_sync.caspio.read_clock import ReadClock
from caspio_sync.cli.diagnosis import clock_finding
from caspio_sync.clock import Clock
from caspio_sync.engine.finding import Finding, findings_of
from caspio_sync.engine.posted import PostedRows
from caspio_sync.engine.prepared import Prepared
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.feeds import POSTS_VARIABLE, paths_named
from caspio_sync.mapping.definition import names
from caspio_sync.schemas import CaspioField

_FEW = 5  # a smaller q.limit has been refused (Caspio, 3.1)
_LONG_AGO = datetime(1900, 1, 1)  # noqa: DTZ001 - a wall clock, before every stamp


async def row_findings(prepared: Prepared, caspio: CaspioClient, clock: Clock) -> list[Finding]:
    """Two calls: the number of rows under the sync's condition with Caspio's clock, and the first as a run asks.

    Of posts how many are kept, and whether the receiver takes any.
    """
    if prepared.posted is not None:
        return await _posts_findings(prepared, prepared.posted)
    try:
        counted = await _count_findings(prepared, caspio, clock)
    except (RefusedError, ConfigurationError) as error:  # 404: the condition names a field that is not there
        return list(_refusals(prepared, (), error)) or _refused_condition(prepared, error)
    try:
        return [*counted, await _query_finding(prepared, caspio)]
    except RefusedError as error:
        refused = await refused_names(caspio, prepared.source, prepared.read_fields)
        return list(_refusals(prepared, refused, error)) or findings_of(error)


async def _posts_findings(prepared: Prepared, posted: PostedRows) -> list[Finding]:
    where, at = prepared.definition.where("source", "posts"), prepared.source.name
    rows = await rows_counted(posted, prepared.source, prepared.key.name, None)
    findings = [Finding("ok", f"rows: {rows} posts are kept")]
    if at not in paths_named():
        text = f"{where}: source.posts: {POSTS_VARIABLE} has no {at}; nobody can post there"
        remedy = "write who may (docs/posts.md), here and where `caspio-sync receive` runs"
        findings.append(Finding("warning", text, remedy))
    return findings


def _refused_condition(prepared: Prepared, error: CaspioSyncError) -> list[Finding]:
    definition, (found, *_) = prepared.definition, findings_of(error)
    if definition.source.where is None:
        return [found]
    place = definition.where("source", "where")
    return [Finding("error", f"{place}: source.where: Caspio refuses it: {found.what}", "correct the condition")]


async def _count_findings(prepared: Prepared, caspio: CaspioClient, clock: Clock) -> list[Finding]:
    where, key = prepared.definition.source.where, identifier(prepared.key.name)
    asked_at = clock.now()
    counted = await caspio.aggregate(prepared.source, select=f"COUNT({key}) AS row_count", where=where)
    told = clock_finding(ReadClock(asked_at, clock.now(), counted.server_time).skew)
    within = " that meet source.where" if where else ""
    findings = [Finding("ok", f"rows{within}: {counted.row['row_count']}")]
    if told.level != "ok":  # a run goes on all the same
        findings.append(replace(told, level="warning"))
    return findings


async def _query_finding(prepared: Prepared, caspio: CaspioClient) -> Finding:
    source, key = prepared.definition.source, identifier(prepared.key.name)
    changed = None if source.cursor is None else f"{identifier(source.cursor)}>={literal(_LONG_AGO)}"
    select = prepared.select
    await caspio.records(
        prepared.source, select=select, where=and_(source.where, changed), order_by=f"{key} ASC", limit=_FEW
    )
    bracketed = [name for name in select if is_reserved(name)]
    more = f"; {', '.join(bracketed)} in brackets, being words of SQL" if bracketed else ""
    return Finding("ok", f"query: Caspio takes the one of a run, {len(select)} fields{more}")


def _refusals(prepared: Prepared, refused: Sequence[str], error: CaspioSyncError) -> Iterator[Finding]:
    """Of a refused query what is named as a word of SQL, with its lines in the file: in the condition, or `refused`."""
    definition, mapping = prepared.definition, prepared.mapping
    where = without_literals(definition.source.where or "")
    for name in prepared.fields:
        if is_reserved(name) and names(where, name) and f"[{name.lower()}]" not in where.lower():
            yield Finding(
                "error",
                f"{definition.where('source', 'where')}: {name} is a word of SQL, and the condition has it for a field "
                f"({error})",
                f"write [{name}] there",
            )
    for name in refused:
        places = [definition.where("fields", attribute) for attribute in mapping.columns_reading([name])]
        if name == mapping.identity.source_field:
            places.append(definition.where(*definition.key_place))
        if name == definition.source.cursor:
            places.append(definition.where("source", "cursor"))
        yield Finding(
            "error",
            f"{', '.join(dict.fromkeys(places))}: {name} is a word of SQL, and Caspio does not take it as the name of "
            f"a field, not in brackets either ({error})",
            f"rename {name} in Caspio, or take it out of the sync file; a view may give it another name",
        )


async def refused_names(caspio: CaspioClient, source: Source, fields: Sequence[CaspioField]) -> list[str]:
    """Those fields that Caspio cannot read by their name: words of SQL, where it takes no brackets.

    Raises:
        As `CaspioClient.records`, apart from a refusal.
    """
    refused = []
    for field in fields:
        if is_reserved(field.name):
            try:
                await caspio.records(source, select=[field.name], limit=_FEW)
            except RefusedError:
                refused.append(field.name)
    return refused
