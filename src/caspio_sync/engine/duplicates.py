"""New rows whose address the destination knows already: the duplicates they would make, counted for a plan."""

import polars as pl
from pydantic import BaseModel

from caspio_sync.concurrency import all_of
from caspio_sync.engine.run import SyncRun
from caspio_sync.ledger.compare import KEY_UNIQUE
from caspio_sync.schemas import KEY, SOURCE_PK, ok

EMAIL = "email"
# An address takes a request of its own: so many rows a plan looks up at the most, some seconds at the usual limit.
LOOKED_UP = 100
_DRAWN = 400  # of which those that the destination does not know by their id, the first `LOOKED_UP`


class Duplicates(BaseModel):
    """New rows whose address belongs to another profile; estimated from a sample where there are many.

    Args:
        new_rows: new rows with an address.
        looked_at: rows of the sample.
        unknown: of these, rows whose external id the destination does not know.
        looked_up: of these, rows whose address was looked up.
        duplicates: of these, rows whose address a profile has: `on_new: create` makes a second one.
        anonymous: of these, rows whose address a profile without an external id has: `identify_by_email` takes it over.
        requests: to the destination.
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
        new = with_address(rows)
        self.count += new.height
        drawn = new.select(KEY, EMAIL, drawn=new[SOURCE_PK].hash(0))
        self._drawn = pl.concat([self._drawn, drawn]).bottom_k(_DRAWN, by="drawn")

    @property
    def sample(self) -> pl.DataFrame:
        """`key` and `email` of the rows drawn."""
        return self._drawn.select(KEY, EMAIL)


async def count_duplicates(run: SyncRun, new: NewRows) -> Duplicates:
    """Ask the destination for a sample of the new rows: by id, and those it does not know by address.

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


def with_address(rows: pl.DataFrame) -> pl.DataFrame:
    """The new rows among these changes that have a sound key of their own, and an address."""
    sound = pl.col(ok(KEY)) & pl.col(KEY_UNIQUE) & pl.col(EMAIL).is_not_null()
    return rows.filter(pl.col("_op") == "new", sound)
