"""New rows whose address Braze knows already: the duplicates they would make, and how they are kept from it.

A new external id with the address of another profile makes a second profile (Braze, 3.2). `identify_by_email` gives the
id to the profile that has the address and no id yet; one that has an id is somebody's already and is left alone.
"""

import polars as pl
from pydantic import BaseModel

from caspio_sync.concurrency import all_of
from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.run.context import SyncRun
from caspio_sync.run.profile_work import ProfileWork
from caspio_sync.run.recording import record_rows
from caspio_sync.run.sending import without_required_consent
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict, ok

EMAIL = "email"
# An address takes a request of its own: so many rows a plan looks up at the most, some seconds at the usual limit.
LOOKED_UP = 100
_DRAWN = 400  # of which those that Braze does not know by their id, the first `LOOKED_UP`


class Duplicates(BaseModel):
    """New rows whose address belongs to another profile; estimated from a sample where there are many.

    Args:
        new_rows: new rows with an address.
        looked_at: rows of the sample.
        unknown: of these, rows whose external id Braze does not know.
        looked_up: of these, rows whose address was looked up.
        duplicates: of these, rows whose address a profile has: `on_new: create` makes a second one.
        anonymous: of these, rows whose address a profile without an external id has: `identify_by_email` takes it over.
        requests: to Braze.
    """

    new_rows: int
    looked_at: int
    unknown: int
    looked_up: int
    duplicates: int
    anonymous: int
    requests: int

    @property
    def sampled(self) -> bool:
        """Whether the counts of all new rows are estimates."""
        return self.looked_up < self.unknown or self.looked_at < self.new_rows

    def of_all(self, count: int) -> int:
        """What a count among the rows looked up amounts to among all new rows."""
        if not self.looked_up or not self.looked_at:
            return 0
        return round(self.new_rows * self.unknown / self.looked_at * count / self.looked_up)


class NewRows:
    """A sample of the new rows with an address, drawn evenly over the batches of a plan."""

    def __init__(self) -> None:
        self.count = 0
        self._drawn = pl.DataFrame(schema={KEY: pl.String, EMAIL: pl.String, "drawn": pl.UInt64})

    def add(self, rows: pl.DataFrame) -> None:
        """Draw from these changes as well."""
        if EMAIL not in rows.columns:
            return
        new = _with_address(rows)
        self.count += new.height
        drawn = new.select(KEY, EMAIL, drawn=new[SOURCE_PK].hash(0))
        self._drawn = pl.concat([self._drawn, drawn]).bottom_k(_DRAWN, by="drawn")

    @property
    def sample(self) -> pl.DataFrame:
        """`key` and `email` of the rows drawn."""
        return self._drawn.select(KEY, EMAIL)


async def count_duplicates(run: SyncRun, new: NewRows) -> Duplicates:
    """Ask Braze for a sample of the new rows: by id, and those it does not know by address.

    Raises:
        TransientError, PermanentError, ConfigurationError: as the export says.
    """
    known = run.sink.known_by_address(run.account)
    rows = new.sample
    unknown = rows.filter(await known.unknown(rows[KEY]))
    looked_up = unknown.head(LOOKED_UP)
    answers = await all_of(known.bearers(email) for email in looked_up[EMAIL])
    bearers = [each for each in answers if each]
    return Duplicates(
        new_rows=new.count,
        looked_at=rows.height,
        unknown=unknown.height,
        looked_up=looked_up.height,
        duplicates=len(bearers),
        anonymous=sum(not all(each) for each in bearers),
        requests=known.requests,
    )


async def identify_new(run: SyncRun[ProfileWork], batch: int, accepted: pl.DataFrame) -> pl.DataFrame:
    """Give the ids of new rows to the profiles that are known by these rows' addresses alone.

    Only for ids that Braze does not know, so that no two profiles with ids are ever merged. Repeating it is harmless:
    an id that was given is known, and its profile no longer without one.

    Returns:
        The accepted rows without those that Braze refuses to identify: these are rejected, as sending them would make
        the second profile of somebody.

    Raises:
        TransientError, PermanentError, ConfigurationError: as Braze says; nothing of the batch was sent yet.
    """
    rows, _ = without_required_consent(run, _with_address(accepted))
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


def _with_address(rows: pl.DataFrame) -> pl.DataFrame:
    sound = pl.col(ok(KEY)) & pl.col(KEY_UNIQUE) & pl.col(EMAIL).is_not_null()
    return rows.filter(pl.col("_op") == "new", sound)
