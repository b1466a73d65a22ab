"""Words of a field that are tags: of which rows others may be there, which they no longer hold."""

import polars as pl

from caspio_sync.engine.hand_over import known_rows
from caspio_sync.engine.line import Batch
from caspio_sync.engine.run import SyncRun
from caspio_sync.engine.writes import OTHERS
from caspio_sync.kinds.profiles.enrolling import acknowledged
from caspio_sync.ledger.compare import left_unrecorded, send
from caspio_sync.ledger.fingerprints import NEVER_SENT, NULL
from caspio_sync.mapping.tags import is_tag_words
from caspio_sync.schemas import SOURCE_PK, Verdict


async def with_others(run: SyncRun, batch: Batch) -> pl.DataFrame:
    """The accepted rows of a batch with OTHERS and the name of the column of words.

    The ledger knows that words changed, and not what they were: where some were acknowledged, or nobody knows, whoever
    sends the row has to look. To a row that never had any, nothing was given by us.
    """
    rows = batch.accepted
    before = (await known_rows(run, batch.source)).select(SOURCE_PK, "verdict", "sent_fields", "sent_mapping_version")
    known = rows.select(SOURCE_PK).join(before, on=SOURCE_PK, how="left", maintain_order="left")
    unsure = (pl.col("verdict") == Verdict.UNKNOWN.value).fill_null(value=False)
    unsure |= left_unrecorded(SOURCE_PK, run.versions.unfinished)
    for column in run.mapping.columns:
        if is_tag_words(column.name):
            had = ~acknowledged(run, known, column).is_in([NEVER_SENT, NULL])
            others = known.select(unsure | pl.lit(had)).to_series()
            rows = rows.with_columns((pl.col(send(column.name)) & others).alias(f"{OTHERS}{column.name}"))
    return rows
