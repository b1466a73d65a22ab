"""What a run of a profile sync keeps besides what every run does."""

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from caspio_sync.delivery.sender import Answer
from caspio_sync.engine.destination import KnownByAddress
from caspio_sync.engine.run import Opening, SyncRun, Work
from caspio_sync.kinds.profiles.definition import ProfileSync
from caspio_sync.kinds.profiles.enrolling import note_enrolments, record_enrolments
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.kinds.profiles.segments import record_marks
from caspio_sync.schemas import KEY, SOURCE_PK


class ProfileWork(Work):
    """What identifying new rows goes by; its calls keep one pace over all batches.

    Args:
        opening: of the run.
        definition: the sync.
    """

    sifts = True

    def __init__(self, opening: Opening, definition: ProfileSync) -> None:
        self.definition = definition
        self._opening = opening

    async def note_leaving(self, run: SyncRun, batch: int, rows: pl.DataFrame) -> None:  # noqa: ARG002
        """As `Work.note_leaving`: who is about to enter an automation, and under which key people are about to be made.

        A run that dies here made them, perhaps; a row that has another key by the next run would make them once more.
        """
        await note_enrolments(run, rows)
        made = rows.filter(pl.col("_op") == "new").select(SOURCE_PK, KEY, "key_hash", was_sent=pl.lit(value=False))
        if run.sink.follows_keys and made.height:
            await run.persist(run.ledger.ledger.note_moved, run.name, made)

    async def note_answers(self, run: SyncRun, rows: pl.DataFrame, answers: Sequence[Answer]) -> None:
        """As `Work.note_answers`: who entered, and who was taken off a list."""
        await record_enrolments(run, rows, answers)
        await record_marks(run, rows, answers)

    async def note_left(self, run: SyncRun, batch: int) -> None:  # noqa: ARG002
        """As `Work.note_left`: rows that were sent under their new key are known by it."""
        if run.sink.follows_keys:
            await run.persist(run.ledger.ledger.settle_moved, run.name)

    @cached_property
    def known(self) -> KnownByAddress:
        """Finds who is known by an address alone; made for the first new row."""
        return self._opening.sink.known_by_address(self._opening.clients.account)


async def profile_work(opening: Opening, definition: ProfileSync, _mapping: ProfileMapping) -> ProfileWork:
    """The work of a profile sync."""
    return ProfileWork(opening, definition)
