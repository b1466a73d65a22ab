"""The first events of a ledger: whether the destination has them already, sent by a ledger that is lost.

A destination that counts each object as one more is asked before anything leaves of which the ledger knows nothing.
"""

import polars as pl

from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.kinds.events.work import EventWork
from caspio_sync.schemas import KEY

PEOPLE_ASKED = 20  # one call, or forty where each is asked for alone
_MOST_OF_THEM = 0.5


async def refuse_sent_before(run: SyncRun[EventWork], accepted: pl.DataFrame) -> None:
    """Look, once a run, at some of the people whose events would leave.

    Raises:
        ConfigurationError: most of them have as many events of these names there already.
        TransientError: the destination did not answer.
    """
    said = await sent_before(run, accepted)
    if said is not None:
        raise ConfigurationError(f"{run.name}: {said}. Nothing was sent")


async def sent_before(run: SyncRun[EventWork], accepted: pl.DataFrame) -> str | None:
    """What speaks for these events being there already, and what to do; None for nothing, and after the first look."""
    work = run.work
    if not work.is_first or run.options.not_ours or accepted.is_empty():
        return None
    work.is_first = False
    people = accepted.group_by(KEY, maintain_order=True).agg(pl.len())
    asked = people.gather_every(max(1, people.height // PEOPLE_ASKED)).head(PEOPLE_ASKED)
    title = run.destination.title
    try:
        counted = await run.sink.counted(run.account, asked[KEY].to_list())
    except (ConfigurationError, PermanentError) as error:  # a key that may not look may send all the same
        run.report.notes.append(
            f"this ledger has sent nothing of the sync yet, and whether {title} has these events could not be seen: "
            f"{error}"
        )
        return None
    there = sum(count is not None and count >= rows for count, rows in zip(counted, asked["len"], strict=True))
    if there < _MOST_OF_THEM * asked.height:
        return None
    return (
        f"this ledger has sent nothing of the sync yet, and of {asked.height} people looked at {there} have as many "
        f"events of these names in {title} already: sent once more, each would count twice. Where a ledger that is "
        f"lost had sent them, `caspio-sync run {run.name} --baseline` takes all present rows for sent; where they came "
        f"from somewhere else, `caspio-sync run {run.name} --not-ours` sends these"
    )
