"""What `caspio-sync check` finds in a sync file beside its table and the other syncs: what a run would do, unasked."""

from collections.abc import Iterator
from contextlib import closing

from caspio_sync.cli.findings import Finding
from caspio_sync.run.connect import CONNECT
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.sharing import refuse_met
from caspio_sync.settings import Settings


def file_findings(prepared: Prepared, settings: Settings) -> Iterator[Finding]:
    """Whether schedules run it, and what it shares with others.

    Raises:
        ConfigurationError: as `refuse_met`.
    """
    definition, shares = prepared.definition, prepared.shares
    if not definition.enabled:
        place = definition.where("enabled")
        yield Finding("warning", f"{place}: enabled: false: it runs by hand alone", "remove the line once it is right")
    yield from (Finding("warning", note) for note in shares.notes)
    if shares.apart and settings.has_ledger:
        connect = CONNECT.get()
        with closing(connect.ledger(settings, connect.clock)) as ledger:
            refuse_met(ledger, shares)
    for other in shares.apart:
        yield Finding("ok", f"apart from {other.name}: no key was sent by both")
