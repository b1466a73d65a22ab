"""The webhook of a sync in Caspio: made, repaired, looked at, taken away; found by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from caspio_sync.caspio.client import CaspioClient, RefusedError
from caspio_sync.caspio.webhooks import EVENT_TYPES, SOURCES, HookEvent, OutgoingWebhooks, Webhook
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.hinted import can_be_hinted
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.sealed import KEYS_VARIABLE
from caspio_sync.wire.http import is_loopback

_PREFIX = "caspio-sync "
_PATIENCE = timedelta(minutes=10)  # of a row that was announced


def name_of(sync: str) -> str:
    """What the webhook of a sync is called in Caspio."""
    return f"{_PREFIX}{sync}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The webhook that a sync is to have.

    Args:
        sync: name of the sync.
        table: that it hears of.
        urls: the receivers' addresses for this sync.
        throttling: calls a second; None: what the plan allows.
        sources: whose changes it hears.
        payload: whether rows that are added are kept as its messages tell them.
        beside: other tables that it hears of.
    """

    sync: str
    table: str
    urls: tuple[str, ...]
    throttling: int | None = None
    sources: tuple[str, ...] = SOURCES
    payload: bool = False
    beside: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """The webhook of a sync as it is.

    Args:
        webhook: with its counts; None where there is none of its name.
        events: what it hears.
    """

    webhook: Webhook | None = None
    events: list[HookEvent] = field(default_factory=list)


def wanted(definition: Sync, roots: Sequence[str], *, throttling: int | None, rest: bool = True) -> Wanted:
    """The webhook for a sync.

    Args:
        definition: the sync.
        roots: where receivers answer, such as https://hooks.example.com.
        throttling: calls a second; None: what the plan allows.
        rest: whether what REST writes is heard as well.

    Raises:
        ConfigurationError: no webhook can tell of its rows, or an address is none that Caspio calls.
    """
    if not can_be_hinted(definition):
        raise ConfigurationError(
            f"{definition.name}: Caspio's webhooks tell of tables, by PK_ID; this sync reads a view, or writes to "
            "Caspio. Its schedule finds what changed"
        )
    sources = SOURCES if rest else tuple(each for each in SOURCES if each != "RESTAPIs")
    urls = tuple(_address(root, definition.name) for root in roots)
    table = str(definition.source.table)
    return Wanted(
        *(definition.name, table, urls, throttling, sources), definition.trusts_payload, definition.tables_beside
    )


def _address(root: str, sync: str) -> str:
    parts = urlsplit(root.strip())
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(root))
    if not secure or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(
            "--url: Caspio calls https:// alone; give the receiver's public address, such as https://hooks.example.com"
        )
    path = f"/caspio/{quote(sync, safe='')}"
    bare = root.strip().rstrip("/")
    return bare if bare.endswith(path) else f"{bare}{path}"


async def look(webhooks: OutgoingWebhooks, sync: str) -> Found:
    """The webhook of a sync, by its name."""
    found = next((each for each in await webhooks.all() if each.name == name_of(sync)), None)
    if found is None:
        return Found()
    return Found(await webhooks.one(found.id), await webhooks.events(found.id))


async def make(webhooks: OutgoingWebhooks, want: Wanted) -> tuple[Webhook, SecretStr]:
    """Make the webhook, without events: it says nothing before its secret is where the receiver reads it.

    Raises:
        ConfigurationError: Caspio does not take it; says what the plan may lack.
    """
    try:
        return await webhooks.create(name_of(want.sync), want.urls, throttling=want.throttling)
    except RefusedError as error:
        more = ""
        if len(want.urls) > 1:
            more = ". Several addresses a webhook (multicast) are a matter of Caspio's plan: give one --url"
        elif want.throttling is not None:
            more = ". --throttle may be more than the plan's maximum: leave it out"
        raise ConfigurationError(f"{error}{more}") from error


async def repair(webhooks: OutgoingWebhooks, want: Wanted, found: Found) -> list[str]:
    """Set right what differs: addresses, calls a second, events that are missing, switched off or otherwise.

    Returns:
        What was done, for people; empty where it was as wanted.
    """
    hook = found.webhook
    assert hook is not None
    done: list[str] = []
    urls = want.urls if set(hook.urls) != set(want.urls) else None
    slower = want.throttling if want.throttling not in {None, hook.throttling} else None
    paused = not hook.active or any(not each.active for each in found.events)
    tables = (want.table, *want.beside)
    for table, kind in product(tables, EVENT_TYPES):
        own = [each for each in found.events if each.type == kind and each.table.lower() == table.lower()]
        right = [each for each in own if each.plain and not each.fields and set(each.sources) == set(want.sources)]
        for each in own:
            if each not in right[:1]:
                await webhooks.forget(hook.id, each.id)
        if not right:
            await webhooks.hear(hook.id, kind, table, want.sources)
            done.append(f"hears {kind} of {table}")
    for other in found.events:
        if other.table.lower() not in {each.lower() for each in tables} or other.type not in EVENT_TYPES:
            await webhooks.forget(hook.id, other.id)
            done.append(f"hears {other.type} of {other.table} no more")
    if urls is not None or slower is not None or paused:
        await webhooks.change(hook.id, urls=urls, throttling=slower)
        done += [f"posts to {', '.join(urls)}"] if urls is not None else []
        done += [f"{slower} calls a second"] if slower is not None else []
        done += ["switched on again"] if paused else []
    return done


async def trouble_of(caspio: CaspioClient, sync: str, table: str) -> str | None:
    """What is wrong with the webhook of a sync, with what to do; None where nothing is, or Caspio does not say now."""
    try:
        told = findings(sync, table, await look(OutgoingWebhooks(caspio), sync))
    except ConfigurationError as error:
        return str(error)
    except CaspioSyncError:
        return None
    return next((f"{each.what}; {each.remedy}" for each in told if each.level != "ok"), None)


def waiting(sync: str, count: int, since: datetime | None, now: datetime) -> list[Finding]:
    """Whether announced rows wait for somebody to read them.

    Args:
        sync: name of the sync.
        count: of rows that no run has read.
        since: when the oldest was announced.
        now: the present instant.
    """
    if since is None or now - since < _PATIENCE:
        return []
    what = (
        f"{count:,} announced rows wait since {since:%Y-%m-%d %H:%M} UTC: nobody listens, or another run holds the sync"
    )
    remedy = (
        f"`caspio-sync deploy` and a worker, or `caspio-sync run {sync} --hints`; the schedule finds them all the same"
    )
    return [Finding("warning", what, remedy)]


def payload_findings(definition: Sync, *, kept: bool, has_key: bool) -> list[Finding]:
    """Whether rows that are added are taken from their messages, and what keeps them from it.

    Args:
        definition: the sync, which has a feed.
        kept: whether its feed keeps them.
        has_key: whether there is a key to encrypt them with.
    """
    sync = definition.name
    again = f"`caspio-sync webhooks install {sync} --url …`, and start the receiver again"
    if not definition.trusts_payload:
        if kept:
            return [Finding("warning", "rows are kept as messages tell them, and read all the same", again)]
        return [Finding("ok", "webhook: announced rows are read again")]
    if kept and has_key:
        return [Finding("ok", "webhook: rows that are added are sent as their messages tell them (trust: payload)")]
    lacks = "its feed does not keep them" if not kept else f"{KEYS_VARIABLE} is not set, here or for the receiver"
    what = f"rows that are added are read again, though their messages tell them: {lacks}"
    return [Finding("warning", what, f"{again}; or write `trust: row`")]


def findings(sync: str, table: str, found: Found, beside: Sequence[str] = ()) -> list[Finding]:
    """What is wrong with the webhook of a sync that has a feed; `beside`: other tables that it is to hear of."""
    hook, again = found.webhook, f"`caspio-sync webhooks install {sync} --url …` sets it right; the schedule finds"
    if hook is None:
        return [
            Finding("warning", f"its webhook '{name_of(sync)}' is gone from Caspio", f"{again} what changed meanwhile")
        ]
    heard = {each.type for each in found.events if each.active and each.table.lower() == table.lower()}
    if not hook.active or (found.events and not any(each.active for each in found.events)):
        return [Finding("warning", "its webhook is switched off in Caspio", f"{again} what changed meanwhile")]
    if missing := [each for each in EVENT_TYPES if each not in heard]:
        deaf = f"its webhook does not hear {', '.join(missing)}"
        return [Finding("warning", deaf, f"{again} what changed meanwhile")]
    told_of = {each.table.lower() for each in found.events if each.active}
    if unheard := [each for each in beside if each.lower() not in told_of]:
        return [Finding("warning", f"its webhook does not hear of {', '.join(unheard)}", f"{again} what changed there")]
    counted = hook.counted or {}
    told = f"{counted.get('Messages', 0):,} messages, {counted.get('Errors', 0):,} errors in 30 days"
    return [Finding("ok", f"webhook: on; {told}")]
