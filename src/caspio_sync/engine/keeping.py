"""What a destination has of that which rows of a sync need there, for who looks before a run."""

from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared


async def what_is_missing(prepared: Prepared) -> list[Finding]:
    """One finding, with what a run would make first; none where rows need nothing there.

    Raises:
        ConfigurationError, TransientError: as `Keeper.look`.
    """
    connect, destination = CONNECT.get(), destination_of(prepared.definition)
    sink = destination.sink(prepared.definition)
    if not sink.keeps:
        return []
    async with connect.account(destination, connect.clock) as account:
        missing = await sink.keeper(account, prepared.mapping).look()
    todo = "; ".join(missing.lines) or "everything that the sync needs is there"
    return [Finding("ok", f"{destination.title}: {todo}")]
