"""Erased people are left out of an engagement return: nothing is written into their rows."""

import polars as pl

from caspio_sync.engine.erasing import untold
from caspio_sync.engine.erasure_requests import keyspace
from caspio_sync.engine.run import SyncRun
from caspio_sync.kinds.engagement.mapping import ALIAS_NAME, EMAIL
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.schemas import FORMER_KEY, KEY, SOURCE_PK, Verdict


async def without_erased(
    run: SyncRun, mapped: pl.DataFrame, known: pl.DataFrame, alias: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of an engagement return without erased people's, and what `record_erased` needs of theirs.

    Args:
        run: the run.
        mapped: rows, with every identifier of their people.
        known: as for `withhold_erased`.
        alias: label of the aliases among the identifiers; None where there are none.
    """
    own = keyspace(run)
    spaces = [(own, KEY), (own, FORMER_KEY), (Keyspace(EMAIL), EMAIL)]
    if alias is not None:
        spaces.append((Keyspace("user_alias", alias), ALIAS_NAME))
    blocked = pl.repeat(value=False, n=mapped.height, eager=True)
    for space, column in spaces:
        blocked |= await run.ledger.do(run.ledger.ledger.blocked, space, mapped[column])
    if not blocked.any():
        return mapped, mapped.clear().select(SOURCE_PK, key_hash=pl.lit(None, dtype=pl.Int64))
    rows = mapped.filter(blocked)
    erased = rows.select(SOURCE_PK, key_hashes(rows[KEY], run.salt))
    fresh = untold(run, erased, known)
    if before := erased.height - fresh.height:
        held = run.report.held
        held[Verdict.BLOCKED] = held.get(Verdict.BLOCKED, 0) + before
    return mapped.filter(~blocked), fresh
