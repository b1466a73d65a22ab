"""New rows whose address the destination knows already: the duplicates they would make, and how they are kept from it.

A new external id with the address of another profile makes a second profile (Braze, 3.2). `identify_by_email` gives the
id to the profile that has the address and no id yet; one that has an id is somebody's already and is left alone.
"""

import polars as pl

from caspio_sync.engine.duplicates import EMAIL, with_address
from caspio_sync.engine.recording import record_rows
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.sending import without_required_consent
from caspio_sync.kinds.profiles.work import ProfileWork
from caspio_sync.schemas import KEY, Verdict


async def identify_new(run: SyncRun[ProfileWork], batch: int, accepted: pl.DataFrame) -> pl.DataFrame:
    """Give the ids of new rows to the profiles that are known by these rows' addresses alone.

    Only for ids that are not known there, so that no two profiles with ids are ever merged. Repeating it is harmless:
    an id that was given is known, and its profile no longer without one.

    Returns:
        The accepted rows without those that it refuses to identify: these are rejected, as sending them would make the
        second profile of somebody.

    Raises:
        TransientError, PermanentError, ConfigurationError: as the destination says; nothing of the batch was sent yet.
    """
    rows, _ = without_required_consent(run, with_address(accepted))
    if rows.is_empty():
        return accepted
    known = run.work.known
    before = known.requests
    unknown = rows.filter(await known.unknown(rows[KEY])).select(KEY, EMAIL)
    # Of two rows with one address the first is meant; in two requests at once the order would be left to chance.
    first = unknown.unique(EMAIL, keep="first", maintain_order=True)
    refused = await known.identify(first)
    run.report.identified += first.height - len(refused)
    run.report.requests += known.requests - before
    if not refused:
        return accepted
    reasons = pl.DataFrame(refused, schema={KEY: pl.String, "reason": pl.String}, orient="row")
    await record_rows(run, batch, accepted.join(reasons, on=KEY, maintain_order="left"), Verdict.REJECTED)
    return accepted.join(reasons, on=KEY, how="anti", maintain_order="left")
