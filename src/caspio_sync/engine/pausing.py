"""What a pause does to a run: one that begins under it sends opt-outs and erasures alone; one under way sends no more.

Nothing more leaves from the second on in which the pause is seen, whoever started the run. What has left already is
answered and recorded within a good minute, for a request may take one; then the run ends, and the next one goes on from
there. A pause that is lifted before ends nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from caspio_sync.delivery.sender import REQUEST_SECONDS
from caspio_sync.engine.run import SyncRun
from caspio_sync.errors import CaspioSyncError, PausedError
from caspio_sync.ledger.pauses import Pause
from caspio_sync.ledger.store import Ledger

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = REQUEST_SECONDS + 10.0  # then whatever left has its answer, and that is written down
ENDING_SECONDS = 5.0


def refuse_everything(name: str, ledger: Ledger) -> None:
    """Before anything is asked of anybody.

    Raises:
        PausedError: not even opt-outs may leave.
    """
    pause = ledger.paused(name)
    if pause is not None and pause.everything:
        raise PausedError(
            f"{_words(name, pause)}: nothing is read or sent, opt-outs and erasures neither. {_end(name, pause)}"
        )


@contextlib.asynccontextmanager
async def heeding_pauses(run: SyncRun) -> AsyncIterator[None]:
    """For as long as the block lasts, look every second whether somebody has paused the run's sync.

    Raises:
        PausedError: somebody has; the block was cancelled for it.
    """
    under = await run.ledger.do(run.ledger.ledger.paused, run.name)
    if under is not None:
        run.block(
            PausedError(
                f"{_words(run.name, under)}: opt-outs and erasures left, and nothing else; the cursor stays. "
                f"{_end(run.name, under)}"
            )
        )
    owner = asyncio.current_task()
    ended: list[PausedError] = []

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            pause = None
            with contextlib.suppress(CaspioSyncError):  # out of reach for a moment; what is sent is not recorded then
                pause = await _new_pause(run, under)
            if pause is None:
                continue
            with run.clients.paused():
                if await _was_lifted(run, under):
                    continue
                ended.append(
                    PausedError(
                        f"{_words(run.name, pause)}: the run ended where it stood, and the next one goes on from "
                        f"there. {_end(run.name, pause)}"
                    )
                )
                run.clients.stop()  # what waits to leave is told that it did not, and the run ends by that
                await asyncio.sleep(ENDING_SECONDS)
                assert owner is not None
                owner.cancel()  # one that reads, or waits for something else
                await asyncio.Event().wait()  # nothing leaves until the block is left, and this with it

    looking = asyncio.create_task(look())
    try:
        yield
    except (asyncio.CancelledError, CaspioSyncError):
        if ended:
            raise ended[0] from None
        raise
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _new_pause(run: SyncRun, under: Pause | None) -> Pause | None:
    """A pause that the run did not begin under; None where there is none.

    Raises:
        CaspioSyncError: the ledger is out of reach.
    """
    pause = await run.ledger.do(run.ledger.ledger.paused, run.name)
    stricter = pause is not None and (under is None or pause.everything > under.everything)
    return pause if stricter else None


async def _was_lifted(run: SyncRun, under: Pause | None) -> bool:
    """Whether a pause ends before every request that has left must have been answered."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(CaspioSyncError):  # while nobody can tell, the pause stays
            if await _new_pause(run, under) is None:
                return True
    return False


def _words(name: str, pause: Pause) -> str:
    why = f" ({pause.reason})" if pause.reason else ""
    return (
        f"{name}: {'all syncs are' if pause.of_all else 'the sync is'} paused since {pause.at:%Y-%m-%d %H:%M} UTC{why}"
    )


def _end(name: str, pause: Pause) -> str:
    return f"`caspio-sync resume {'--all' if pause.of_all else name}` ends it"
