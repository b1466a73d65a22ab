"""Steps that lines have in common: map, compare, judge, send, record."""

import functools
from collections.abc import Awaitable, Callable

import polars as pl

from caspio_sync.engine import baseline, comparing, recording, sending
from caspio_sync.engine.erasing import count_erased, erase_named
from caspio_sync.engine.erasure_requests import plan_erasures
from caspio_sync.engine.line import Batch, Row, Step
from caspio_sync.engine.plan import Planning, count_rows, mapping_changes
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import GateBlockedError
from caspio_sync.ledger.compare import KEY_UNIQUE, Versions, compare
from caspio_sync.ledger.duplicate_consent import restrained
from caspio_sync.ledger.fingerprints import identity_salt, key_hashes
from caspio_sync.ledger.former_keys import with_former_keys
from caspio_sync.schemas import KEY, SOURCE_PK

# No row was ever judged under this version: a held row is compared anew.
_NO_VERSION = -1


async def erase(run: SyncRun) -> None:
    """Delete whom the sync's `erasure:` names, and block them; a repeated call goes on where the failed one stood."""
    await erase_named(run)


async def _map(run: SyncRun, batch: Batch) -> None:
    """Caspio's columns as the destination's."""
    batch.mapped = await comparing.map_batch(run, batch.source)


async def _plan_map(planning: Planning, run: SyncRun, batch: Batch) -> None:
    await _map(run, batch)
    planning.dates.add(batch.mapped)


async def _map_alone(row: Row) -> None:
    row.own = row.mapping.apply(row.source)


async def plan_first(planning: Planning, run: SyncRun) -> None:
    """What a dry run looks at before the first batch, where a destination is what rows travel to."""
    planning.plan.mapping_changes = await mapping_changes(run)
    planning.block(await plan_erasures(run))


def holding_against(
    name: str,
    hold: Callable[[SyncRun, Batch], Awaitable[pl.DataFrame]],
    alone: Callable[[Row], Awaitable[None]],
) -> Step[[Batch], None]:
    """The step that finds the changes of a batch.

    Args:
        name: of the step.
        hold: holds the batch against what is known; gives the rows of people who were erased.
        alone: holds a single row against it.
    """

    @functools.wraps(hold)
    async def do(run: SyncRun, batch: Batch) -> None:
        await comparing.open_batch(run, batch.source)
        await hold(run, batch)
        batch.source.let_go()
        del batch.mapped

    async def plan(_: Planning, run: SyncRun, batch: Batch) -> None:
        count_erased(run, await hold(run, batch))

    return Step(name, do, plan=plan, alone=alone, turn="compare")


async def _compare(run: SyncRun, batch: Batch) -> pl.DataFrame:
    """What is new, what changed, and in which fields."""
    compared = await comparing.compare_batch(run, batch.source, batch.mapped)
    batch.changes, batch.compared = compared.changes, compared.without_changes()
    return compared.erased


async def _compare_alone(row: Row) -> None:
    """What differs; a row that does not is judged all the same."""
    mapping, ledger, source_pk = row.mapping, row.ledger, row.source[SOURCE_PK][0]
    known = ledger.read_rows(row.sync, source_pk, source_pk)
    row.own = with_former_keys(row.own, known)
    salt = identity_salt(ledger.salt, mapping.identity.kind, mapping.identity.label)
    hashes, words = key_hashes(row.own[KEY], salt), ledger.duplicate_words(row.sync)
    row.mapped = restrained(row.own, hashes, words, mapping.columns, row.consent)
    row.words = words.filter(pl.col("key_hash") == hashes[0])
    changes = compare(
        row.mapped,
        known,
        columns=mapping.columns,
        versions=Versions(_NO_VERSION, _NO_VERSION, ledger.mapping_fields(row.sync)),
        salt=salt,
        consent=row.consent,
        stopped=mapping.stopped,
    ).changes
    row.operation = None if changes.is_empty() else changes["_op"][0]
    unchanged = {"_op": pl.lit("changed"), "_changed": pl.lit(""), KEY_UNIQUE: pl.lit(value=True)}
    row.changes = row.mapped.with_columns(**unchanged) if changes.is_empty() else changes


async def _stop(run: SyncRun, batch: Batch) -> None:
    """Where the gate blocked an earlier batch, nothing more is sent."""
    batch.ended = run.blocked is not None


async def _judge(run: SyncRun, batch: Batch) -> None:
    """Great Expectations' word on the full mapped rows of everything new or changed."""
    judged = await run.gates.rows(batch.changes)
    batch.accepted, batch.held, batch.blocked = judged.accepted, judged.held, judged.blocked
    run.report.count_checks(judged.checks)
    run.report.add_seconds("gate", judged.seconds)


async def _judge_alone(row: Row) -> None:
    row.checks = (await row.gates.rows(row.changes)).checks


async def _plan_judge(planning: Planning, run: SyncRun, batch: Batch) -> None:
    await _judge(run, batch)
    planning.block(batch.blocked)


async def _block(run: SyncRun, batch: Batch) -> None:
    """Where the gate blocks the batch, nothing of it is sent, opt-outs apart; the cursor stays and the run ends."""
    if batch.blocked is None:
        del batch.changes  # what is sent of them is in `accepted`
        return
    source = batch.source
    run.block(
        GateBlockedError(
            f"{run.name}: the gate blocked batch {source.number} (PK_ID {source.low} to {source.high}): "
            f"{batch.blocked}. Nothing of it was sent, opt-outs apart. Look at `caspio-sync plan {run.name} --show 5`, "
            "then correct the rows in Caspio, the mapping, or the limits under gate: in the sync file, and run again."
        )
    )
    await recording.record_blocked_batch(run, source, batch.blocked)
    batch.ended = True


async def _record_baseline(run: SyncRun, batch: Batch) -> None:
    """The accepted rows as sent, without sending; the held ones as ever."""
    await baseline.record_baseline(run, batch.source, batch.compared, batch.held, batch.accepted)
    batch.ended = True


async def _keep(run: SyncRun, batch: Batch) -> None:
    """Make what rows need at the destination, before the first of them leaves; repeating it is harmless."""
    if run.work.ready or batch.accepted.is_empty():
        return
    keeper = run.sink.keeper(run.account, run.mapping)
    missing = await keeper.look()
    await keeper.keep(missing)
    run.report.notes += [f"at {run.destination.title}: {line}" for line in missing.lines]
    run.work.ready = True


async def _plan_keep(planning: Planning, run: SyncRun, batch: Batch) -> None:
    if run.sink.keeps and not run.work.ready and not batch.accepted.is_empty():
        planning.plan.first = list((await run.sink.keeper(run.account, run.mapping).look()).lines)
        run.work.ready = True


async def _send(run: SyncRun, batch: Batch) -> None:
    """The accepted rows, cut to what travels of them; a repeated call starts at the ledger."""
    batch.outstanding = await sending.send_batch(run, batch.source.number, batch.accepted, batch.opt_outs)
    del batch.accepted


async def _plan_send(planning: Planning, run: SyncRun, batch: Batch) -> None:
    count_rows(planning, run, batch.accepted, batch.held, sent=batch.blocked is None)


async def _record(run: SyncRun, batch: Batch) -> None:
    """The outcomes still on their way, the rows that were not sent, and the batch."""
    await recording.record_batch(run, batch.source, batch.compared, batch.held, batch.outstanding)


MAP = Step("map", _map, plan=_plan_map, alone=_map_alone, turn="compare")
COMPARE = holding_against("compare", _compare, _compare_alone)
STOP = Step("", _stop, turn="gate")
GATE = Step("gate", _judge, plan=_plan_judge, alone=_judge_alone, turn="gate", repeated=False)
BLOCK = Step("", _block, turn="gate")
BASELINE = Step("record baseline", _record_baseline, turn="record", when=lambda run: run.options.baseline)
KEEP = Step("make what is missing", _keep, plan=_plan_keep, turn="send", when=lambda run: run.sink.keeps)
SEND = Step("send", _send, plan=_plan_send, turn="send")
RECORD = Step("record", _record, turn="record")
