"""The rows of a batch on their way, and those of its requests that were accepted: what recording them is told."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.ledger.bulk import signed
from caspio_sync.schemas import SOURCE_PK


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request whose objects were all accepted.

    Args:
        start: place of its first row in the prepared rows.
        count: number of its rows.
        request: number of the request within the run.
        status: HTTP status of the answer.
    """

    start: int
    count: int
    request: int
    status: int


class Sending:
    """The rows of one batch on their way, ready to be recorded as sent.

    Args:
        sync: name of the sync.
        run: id of the run.
        batch: number of the batch within the run.
        rows: source_pk, key, key_hash, fp, sent_fields, changed, and moved (whether the ledger knows the row under
            another key), in the order of the requests; each `source_pk` once. Of items with a price, `price` besides.
        suite_version: what the rows were judged under.
        mapping_version: what `sent_fields` is packed under.
        journalled: whether the rows stand in the journal of events, which they leave with their outcome.
    """

    def __init__(
        self,
        *,
        sync: str,
        run: str,
        batch: int,
        rows: pl.DataFrame,
        suite_version: int,
        mapping_version: int,
        journalled: bool = False,
    ) -> None:
        self.journalled = journalled
        self.sync, self.run, self.batch = sync, run, batch
        self.rows = rows.with_columns(signed(rows["key_hash"]))
        self.told = rows.select(SOURCE_PK, "changed")  # what the history keeps of them
        self.is_noted = False  # whether the ledger has its rows, as they will be once acknowledged
        self.suite_version, self.mapping_version = suite_version, mapping_version


def acknowledged(kept: bytes, stretches: Sequence[tuple[int, bytes]]) -> pl.DataFrame:
    """The rows of a batch that commits acknowledge, as they are to be from then on.

    Args:
        kept: of `sending`: the batch's rows.
        stretches: of `outcome`, by number: when each was committed (microseconds), and its rows.

    Returns:
        the columns of `kept`, `request` and `sent_at`, sorted by `source_pk`; of two commits of a row the later counts.
    """
    told = pl.concat(
        pl.read_ipc(io.BytesIO(rows), columns=[SOURCE_PK, "request"]).with_columns(sent_at=pl.lit(at))
        for at, rows in stretches
    ).unique(SOURCE_PK, keep="last")
    return pl.read_ipc(io.BytesIO(kept)).join(told, on=SOURCE_PK).sort(SOURCE_PK)
