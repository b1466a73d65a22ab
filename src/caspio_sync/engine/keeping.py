"""What a destination has of that which rows of a sync need there, for who looks before a run."""

from collections.abc import Sequence

from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import Missing, destination_of
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync


def missing(
    sync: Sync, title: str, lines: Sequence[str], faults: Sequence[str], *, create: bool, besides: str = ""
) -> Missing:
    """What a keeper found.

    Args:
        sync: the definition.
        title: of the destination.
        lines: what would be made.
        faults: what only a person can set right, with file and line.
        create: whether the sync lets anything be made.
        besides: what may be wrong instead of it being missing, such as ", or has it more than once".

    Raises:
        ConfigurationError: there are faults, or the sync does not let what is missing be made.
    """
    said = [*faults]
    if lines and not create:
        said.append(
            f"{sync.where('fields')}: {title} lacks what the mapping needs ({'; '.join(lines)}){besides}; make it "
            "there, or write `options: {create: true}` into the file"
        )
    if said:
        raise ConfigurationError("\n".join(said))
    return Missing(tuple(lines))


async def what_is_missing(prepared: Prepared) -> list[Finding]:
    """What the sync cannot do there that people may take for granted; and what a run would make first, if anything.

    What is reached by the sync file alone is asked here whether it takes the key.

    Raises:
        ConfigurationError, TransientError: as `Keeper.look`.
    """
    connect, destination = CONNECT.get(), destination_of(prepared.definition)
    sink = destination.sink(prepared.definition)
    cautions = [Finding("warning", *each.split(": ", 1)) for each in sink.cautions()]
    if not sink.keeps and destination.of_sync is None:
        return cautions
    async with connect.account(destination, connect.clock) as account:
        if not sink.keeps:
            return [*cautions, Finding("ok", f"{destination.title} {await sink.probe(account)}")]
        missing = await sink.keeper(account, prepared.mapping).look()
    todo = "; ".join(missing.lines) or "everything that the sync needs is there"
    return [*cautions, Finding("ok", f"{destination.title}: {todo}")]
