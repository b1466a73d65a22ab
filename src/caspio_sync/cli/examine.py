"""The looking behind `caspio-sync check`: accounts, sync files, tables, gates. Reads only, the write test apart."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

from caspio_sync import registry
from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.caspio.webhooks import OutgoingWebhooks
from caspio_sync.caspio.windows_zones import zone
from caspio_sync.cli.examine_rows import row_findings
from caspio_sync.cli.file_findings import file_findings
from caspio_sync.cli.findings import refuse_missing
from caspio_sync.cli.look import open_ledger
from caspio_sync.clock import Clock
from caspio_sync.deployed import webhook
from caspio_sync.engine.connect import CONNECT, Connect
from caspio_sync.engine.destination import destination_named
from caspio_sync.engine.finding import Finding, findings_of
from caspio_sync.engine.kind import kind_of
from caspio_sync.engine.prepared import Prepared, prepare, source_of
from caspio_sync.engine.workspace import known_accounts
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.feeds import feeds_named, feeds_with_payload
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.notification import place_of
from caspio_sync.settings import Settings
from caspio_sync.spans import duration, seconds_of

_Look = Callable[[Prepared, Settings, CaspioClient], Awaitable[list[Finding]]]


@dataclass(slots=True)
class Examined:
    """Findings about one sync; about the accounts and the ledger where `sync` is None."""

    sync: str | None
    findings: list[Finding] = field(default_factory=list)
    kind: str | None = None  # of a sync whose file could be read
    destination: str = registry.DEFAULT_DESTINATION

    @property
    def sound(self) -> bool:
        """Whether nothing stands in the way of a run."""
        return all(finding.level != "error" for finding in self.findings)


async def examine(settings: Settings, names: Sequence[str], *, write_test: str | None = None) -> list[Examined]:
    """Look at everything a run needs; no error ends the looking.

    Args:
        settings: accounts, limits, places.
        names: the syncs to look at.
        write_test: external id of the profile to write a test attribute to; None writes nothing.

    Returns:
        The accounts first, then each sync.
    """
    connect = CONNECT.get()
    accounts = Examined(None, [Finding("ok", "settings: complete")])
    syncs = [Examined(name, destination=settings.destination(name)) for name in names]
    try:
        async with connect.caspio(settings, connect.clock) as caspio:
            reached = await _examine_caspio(accounts, caspio)
            for sync in syncs:
                await _examine_sync(sync, settings, caspio if reached else None, connect.clock)
    except CaspioSyncError as error:  # an address that no client can be made for
        accounts.findings += findings_of(error)
        for sync in syncs:
            await _examine_sync(sync, settings, None, connect.clock)
    await _examine_destinations(accounts, syncs, connect, write_test)
    _examine_ledger(accounts, settings)
    accounts.findings += _notification_findings(settings)
    return [accounts, *syncs]


async def _examine_caspio(accounts: Examined, caspio: CaspioClient) -> bool:
    """Whether Caspio gives a token and answers with it."""
    try:
        tables = await caspio.tables()
    except CaspioSyncError as error:
        accounts.findings += findings_of(error)
        return False
    accounts.findings.append(Finding("ok", f"Caspio: token given, {len(tables)} tables can be read"))
    return True


async def _examine_destinations(
    accounts: Examined, syncs: Sequence[Examined], connect: Connect, write_test: str | None
) -> None:
    """Whether each destination takes the key, and lets it do what rows of these kinds need."""
    usual = (registry.DEFAULT_DESTINATION, "profiles")
    asked = {(sync.destination, sync.kind or "profiles") for sync in syncs}
    if write_test is not None or not syncs:
        asked.add(usual)
    for name in registry.DESTINATIONS:
        destination = destination_named(name)
        for kind in (each for each in destination.sinks if (name, each) in asked):
            try:
                async with connect.account(destination, connect.clock) as account:
                    if told := await destination.sinks[kind].probe(account):
                        accounts.findings.append(Finding("ok", f"{destination.title}: {account.address} {told}"))
                    if write_test is not None and (name, kind) == usual:
                        what, remedy = await destination.sinks[kind].write_test(account, write_test)
                        accounts.findings.append(Finding("ok", what, remedy))
            except CaspioSyncError as error:
                accounts.findings += findings_of(error)


def _examine_ledger(accounts: Examined, settings: Settings) -> None:
    try:
        with open_ledger(settings) as ledger:
            accounts.findings.append(Finding("ok", f"ledger: {ledger.location} opens"))
    except CaspioSyncError as error:
        accounts.findings += findings_of(error)


def _notification_findings(settings: Settings) -> list[Finding]:
    """Where messages go, in a word; nothing is sent, and the address, which is a secret, is not shown."""
    if settings.notify_url is None:
        return [Finding("ok", "notifications: none (CASPIO_SYNC_NOTIFY_URL is not set)")]
    if (place := place_of(settings.notify_url.get_secret_value())) is not None:
        return [Finding("ok", f"notifications: by {place}; `caspio-sync notify --test` sends one")]
    remedy = "write one such as mailtos://…, slack://… or json://…; the forms are on Apprise's wiki"
    return [Finding("error", "notifications: CASPIO_SYNC_NOTIFY_URL is no address that Apprise knows", remedy)]


def _freshness_findings(definition: Sync, now: datetime) -> Iterator[Finding]:
    """Whether the sync's own schedule leaves it a chance."""
    target = seconds_of(definition.freshness)
    if target is None or definition.schedule is None:
        return
    due = list(islice(CronSim(definition.schedule.cron, now.astimezone(ZoneInfo(definition.schedule.time_zone))), 50))
    longest = max((later - earlier for earlier, later in pairwise(due)), default=timedelta())
    if longest.total_seconds() > target:
        yield Finding(
            "warning",
            f"freshness {definition.freshness}: the schedule leaves up to {duration(longest)} between two runs",
            "let it run more often, or allow more time",
        )


async def _examine_sync(sync: Examined, settings: Settings, caspio: CaspioClient | None, clock: Clock) -> None:
    assert sync.sync is not None
    path = settings.sync_file(sync.sync)
    try:
        definition = load_sync(path)
        sync.kind, sync.destination = definition.kind, definition.destination
        sync.findings.append(Finding("ok", f"{path}: {len(definition.fields)} fields mapped, no mistake in itself"))
        if settings.has_ledger:
            with open_ledger(settings) as ledger:
                await known_accounts(sync.sync, settings, ledger, CONNECT.get())
        if caspio is None:
            untried = f"{definition.source.name} was not looked at: Caspio did not let us in"
            sync.findings.append(Finding("warning", untried, "correct what stands under accounts, then check again"))
            return
        if definition.source.posts is None:
            await refuse_missing(caspio, source_of(definition.source))
        if definition.erasure is not None and definition.erasure.table is not None:
            await refuse_missing(caspio, Source(definition.erasure.table))
        prepared = await prepare(settings, sync.sync, caspio)
        sync.findings.append(
            Finding("ok", f"{prepared.source}: {len(prepared.fields)} fields, every mapped one exists and fits")
        )
        sync.findings += file_findings(prepared, settings)
        sync.findings += _cursor_findings(prepared)
        sync.findings += _freshness_findings(definition, clock.now())
        sync.findings += _identity_findings(prepared)
        look: _Look = registry.found(kind_of(definition).examine)
        sync.findings += await look(prepared, settings, caspio)
        sync.findings += await row_findings(prepared, caspio, clock)
        sync.findings += await _hook_findings(prepared, settings, caspio)
        sync.findings += _gate_findings(sync.sync, definition, prepared.mapping)
    except CaspioSyncError as error:
        sync.findings += findings_of(error)


async def _hook_findings(prepared: Prepared, settings: Settings, caspio: CaspioClient) -> list[Finding]:
    """The webhook of a sync that has a feed, and what it announced."""
    name, connect = prepared.definition.name, CONNECT.get()
    if name not in feeds_named():
        return []
    try:
        with connect.hints(settings, connect.clock) as hints:
            late = webhook.waiting(name, *hints.count_waiting(name), hints.now())
        found = await webhook.look(OutgoingWebhooks(caspio), name)
        told = webhook.payload_findings(
            prepared.definition, kept=name in feeds_with_payload(), has_key=settings.payload_keys is not None
        )
        return [*webhook.findings(name, prepared.source.name, found, prepared.definition.tables_beside), *told, *late]
    except CaspioSyncError as error:
        return findings_of(error)


def _cursor_findings(prepared: Prepared) -> Iterator[Finding]:
    """What `prepare` leaves open: it refuses a cursor that is not stamped on update."""
    cursor = prepared.definition.source.cursor
    if cursor is None and prepared.definition.grows:
        return
    if cursor is None:
        stamped = [each.name for each in prepared.fields.values() if each.type == "TIMESTAMP" and each.on_update]
        if stamped and not kind_of(prepared.definition).returns:  # what comes back is stamped nowhere
            yield Finding("warning", "no cursor: every run reads all rows", f"add `cursor: {stamped[0]}` under source")
        else:
            yield Finding("ok", "no cursor: every run reads all rows")
        return
    name = prepared.fields[cursor].time_zone
    if not name or not name.strip():
        yield Finding(
            "warning",
            f"cursor {cursor}: stamped on update; Caspio declares no time zone for it, so runs read up to a day twice",
            "set the time zone of the Timestamp field in Caspio",
        )
        return
    try:
        zone(name)
    except ConfigurationError as error:
        yield from findings_of(error)
    else:
        yield Finding("ok", f"cursor {cursor}: stamped on update, in {name}")


def _identity_findings(prepared: Prepared) -> Iterator[Finding]:
    identity = prepared.mapping.identity
    source_field = prepared.fields[identity.source_field]
    if source_field.unique:
        yield Finding("ok", f"identity {source_field.name}: unique in Caspio, sent as {identity.kind}")
        return
    if not prepared.definition.one_row_a_key:
        yield Finding("ok", f"identity {source_field.name}: names the person of each row, sent as {identity.kind}")
        return
    yield Finding(
        "warning",
        f"identity {source_field.name}: Caspio does not keep it unique; of rows that share a value only one is sent",
        "tick Unique on the field in Caspio, or watch `caspio-sync quarantine list`",
    )


def _gate_findings(name: str, definition: Sync, mapping: RowMapping) -> list[Finding]:
    from expectations.rules import try_expectations
    from expectations.suites import gate_of, suite_of

    try:
        gate_of(name, definition, mapping)
        try_expectations(definition, mapping)
    except CaspioSyncError as error:
        return findings_of(error)
    count = len(suite_of(definition, mapping)) + len(definition.gate.expectations)
    return [Finding("ok", f"gate: {count} expectations stand before every send")]
