"""What `check` looks at for syncs of deals."""

from typing import cast

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.keeping import what_is_missing
from caspio_sync.engine.prepared import Prepared
from caspio_sync.kinds.deals.definition import DealSync
from caspio_sync.settings import Settings


async def examine(prepared: Prepared, _settings: Settings, _caspio: CaspioClient) -> list[Finding]:
    """Pipelines, stages and fields there, held against the mapping; and where a deal begins that has no stage."""
    definition = cast("DealSync", prepared.definition)
    found = await what_is_missing(prepared)
    if definition.stage is None:
        found.append(Finding("ok", "no stage is mapped: a new deal begins at the first stage of its pipeline"))
    return found
