"""What `caspio-sync check` finds in a sync file beside its table and the other syncs: what a run would do, unasked."""

from collections.abc import Iterator

from caspio_sync.caspio.windows_zones import stamped_zone
from caspio_sync.cli.look import open_ledger
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.prepared import Prepared
from caspio_sync.engine.sharing import refuse_met
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
    yield from _zone_findings(prepared)
    yield from (Finding("warning", note) for note in shares.notes)
    if shares.apart and settings.has_ledger:
        with open_ledger(settings) as ledger:
            refuse_met(ledger, shares)
    for other in shares.apart:
        yield Finding("ok", f"apart from {other.name}: no key was sent by both")


def _zone_findings(prepared: Prepared) -> Iterator[Finding]:
    """Wall clocks taken for UTC: seldom what the people mean who typed them."""
    clocks = [each.name for each in prepared.selected if each.type == "DATE/TIME"]
    source, stamped = prepared.definition.source, stamped_zone(prepared.fields.values())
    if not clocks or source.time_zone != "UTC" or stamped in {"UTC", "Etc/UTC"}:
        return
    place = prepared.definition.where("source", "time_zone")
    known = f", though the table's Timestamp field is in {stamped}" if stamped else ""
    yield Finding(
        "warning",
        f"{place}: source.time_zone: {', '.join(clocks)} are read as wall clocks of UTC{known}",
        f"write `time_zone: {stamped or 'Europe/London'}` under source, or whichever zone these clocks show",
    )
