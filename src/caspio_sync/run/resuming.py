"""Going on where an interrupted sweep ended, instead of reading a million rows again.

What the interrupted run recorded without a hole is not read a second time, apart from what changed there since it began
(by the cursor field) and what is held there. A sync without a cursor field cannot ask what changed: there such a row
waits for the run after this one, so that only a sweep that began a short while ago is gone on from.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clients.caspio_query import and_, identifier, literal
from caspio_sync.clock import Clock
from caspio_sync.extraction.window import OVERLAP, lower_bound, upper_bound
from caspio_sync.ledger.compare import Versions
from caspio_sync.ledger.runs import FAILED
from caspio_sync.ledger.sweeps import InterruptedSweep
from caspio_sync.ledger.thread import LedgerThread
from caspio_sync.run.again import Again, held_again
from caspio_sync.run.context import SyncRun
from caspio_sync.run.prepared import Prepared, read_digest, suite_digest
from caspio_sync.run.report import RunOptions

MOST_IDLE = timedelta(hours=24)  # between the last sign of life of the interrupted run and the one that goes on
MOST_UNTOLD = timedelta(hours=1)  # what is skipped without asking what changed in it was read within this time


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of an interrupted sweep.

    Args:
        after: the sweep.
        conditions: what to read, one after the other: the rows above it, what changed below, what is held below.
        again: the held rows among these.
    """

    after: InterruptedSweep
    conditions: list[str | None]
    again: Again

    @property
    def notes(self) -> list[str]:
        """For the report."""
        after, how = self.after, how_it_died(self.after.state)
        return [f"goes on after PK_ID {after.high_pk:,}, where run {after.run} {how}"]


def how_it_died(state: str) -> str:
    """How a run ended whose rest is read now, in words."""
    return state if state == FAILED else f"was {state}"


async def find_rest(  # noqa: PLR0917 - the parts of a run that is being opened
    name: str,
    options: RunOptions,
    prepared: Prepared,
    ledger: LedgerThread,
    versions: Versions,
    caspio: CaspioClient,
    clock: Clock,
) -> Rest | None:
    """What a run that is about to read everything still has to read of it; None where it begins anew.

    Whoever asks for everything (--full, --resend, --baseline) gets everything, as it is now.
    """
    after = None if options.whole else await _interrupted(name, prepared, ledger, clock)
    if after is None:
        return None
    source, key = prepared.definition.source, identifier(prepared.key.name)
    conditions = [and_(source.where, f"{key}>{after.high_pk}")]
    changed = None
    if source.cursor is not None:
        changed = changed_since(prepared, after.began_at, clock.now())
        conditions.append(and_(source.where, changed, f"{key}<={after.high_pk}"))
    again = await held_again(name, options, prepared, ledger, versions, caspio, changed, up_to=after.high_pk)
    return None if again is None else Rest(after, [*conditions, *again.conditions], again)


async def _interrupted(name: str, prepared: Prepared, ledger: LedgerThread, clock: Clock) -> InterruptedSweep | None:
    found = await ledger.do(ledger.ledger.interrupted_sweep, name, digest=sweep_digest(prepared))
    now = clock.now()
    if found is None or ledger.ledger.now() - found.alive_at > MOST_IDLE or found.began_at > now + OVERLAP:
        return None
    if prepared.definition.source.cursor is None and (found.doubtful or now - found.began_at > MOST_UNTOLD):
        # Rows that may have been sent a second time unrecorded are told apart by the run that reads them (compare.py).
        return None
    return found


def changed_between(prepared: Prepared, since: datetime, until: datetime) -> str:
    """The condition on the cursor field for rows last changed between two instants."""
    cursor = str(prepared.definition.source.cursor)
    latest = upper_bound(since, until, prepared.fields[cursor].time_zone)
    return f"{changed_since(prepared, since, until)} AND {identifier(cursor)}<={literal(latest)}"


def changed_since(prepared: Prepared, since: datetime, now: datetime) -> str:
    """The condition on the cursor field for rows changed since an instant."""
    cursor = str(prepared.definition.source.cursor)
    return f"{identifier(cursor)}>={literal(lower_bound(since, now, prepared.fields[cursor].time_zone))}"


def sweep_digest(prepared: Prepared) -> str:
    """Hash of what a sweep reads, of the key that numbers it, and of what it judges rows under."""
    suite = suite_digest(prepared.definition, prepared.mapping)
    text = f"{read_digest(prepared)} {prepared.key.name} {suite}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


async def note_sweep(run: SyncRun) -> None:
    """Before its first batch: from here on, the next run can go on from this one.

    A baseline is none to go on from: it leaves what changed to the next run.
    """
    if run.report.mode != "sweep" or run.options.baseline or run.began_at is None:
        return
    await run.ledger.do(
        run.ledger.ledger.begin_sweep,
        run.name,
        run=run.id,
        digest=sweep_digest(run.prepared),
        began_at=run.began_at,
        after_pk=run.resumed.high_pk if run.resumed else None,
    )
