"""How a run reaches Caspio, Braze and its ledger."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from caspio_sync.clients.braze import BrazeClient
from caspio_sync.clients.braze_catalog_answers import ITEMS_WRITE_LIMIT
from caspio_sync.clients.braze_catalogs import CatalogClient
from caspio_sync.clients.braze_engagement import BrazeEngagementClient
from caspio_sync.clients.caspio import CaspioClient
from caspio_sync.clock import Clock, SystemClock
from caspio_sync.delivery.endpoints import endpoint_of
from caspio_sync.delivery.process import ProcessSender
from caspio_sync.delivery.sender import InlineSender, Sender, SenderLimits
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.store import Ledger
from caspio_sync.mapping.catalog_sync import CatalogSync
from caspio_sync.mapping.definition import Sync
from caspio_sync.receiver.inbox import Inbox
from caspio_sync.run.context import Opening
from caspio_sync.run.engagement.source import Engagement
from caspio_sync.run.report import RunReport
from caspio_sync.run.writes import envelopes
from caspio_sync.settings import LocalSettings, Settings
from caspio_sync.sync_files import bare_name

# From this many rows on, a second process for the sender pays for its start.
PROCESS_ROWS = 20_000

Observer = Callable[[RunReport], None]

_Client = TypeVar("_Client", BrazeClient, CatalogClient, BrazeEngagementClient)


def caspio_client(settings: Settings, clock: Clock) -> CaspioClient:
    """A client for the account in the settings."""
    return CaspioClient(
        integration_url=settings.caspio_integration_url,
        client_id=settings.caspio_client_id,
        client_secret=settings.caspio_client_secret,
        clock=clock,
        connections=settings.caspio_connections,
        calls_per_second=settings.caspio_calls_per_second,
        calls_per_window=settings.caspio_calls_per_window,
    )


def _of_workspace(kind: type[_Client], settings: Settings, clock: Clock) -> _Client:
    return kind(
        endpoint=settings.braze_endpoint,
        api_key=settings.braze_api_key,
        clock=clock,
        clients=settings.braze_connections,
    )


def braze_client(settings: Settings, clock: Clock) -> BrazeClient:
    """A client for the workspace in the settings."""
    return _of_workspace(BrazeClient, settings, clock)


def catalog_client(settings: Settings, clock: Clock) -> CatalogClient:
    """A client for the catalogs of the workspace in the settings."""
    return _of_workspace(CatalogClient, settings, clock)


def sender_limits(settings: Settings, definition: Sync) -> SenderLimits:
    """How fast the sender of a sync may go, until an answer says otherwise."""
    if isinstance(definition, CatalogSync):
        requests, window_seconds = ITEMS_WRITE_LIMIT
        return SenderLimits(settings.braze_connections, requests, window_seconds)
    return SenderLimits(connections=settings.braze_connections, requests=settings.braze_track_limit)


def braze_sender(settings: Settings, clock: Clock, definition: Sync, rows: int) -> Sender:
    """The sender for a run that reads so many rows: in this process, or in one of its own."""
    limits = sender_limits(settings, definition)
    if settings.sender == "process" or (settings.sender == "auto" and rows >= PROCESS_ROWS):
        return ProcessSender(
            endpoint=settings.braze_endpoint,
            api_key=settings.braze_api_key,
            limits=limits,
            envelopes=envelopes(definition),
        )
    client = catalog_client if isinstance(definition, CatalogSync) else braze_client
    return InlineSender(endpoint_of(client(settings, clock)), limits=limits, clock=clock)


def open_ledger(settings: LocalSettings, clock: Clock) -> Ledger:
    """The ledger in the settings, made where there is none; each sync has its state under the name it goes by."""
    ledger = Ledger.open(settings.ledger_url, clock=clock)
    try:
        formers: dict[str, list[str]] = {}
        for former in ledger.path_names():
            if (name := _sync_meant(settings, former)) is not None:
                formers.setdefault(name, []).append(former)
        for name, paths in formers.items():
            ledger.take_over(name, paths)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _sync_meant(settings: LocalSettings, path: str) -> str | None:
    """The sync whose file a path names, as far as can be told: it may have been written in another folder."""
    name, written = bare_name(path), Path(path)
    try:
        file = settings.sync_file(name)
    except ConfigurationError:  # of two files of one name: `check` says so
        return None
    if not file.exists():
        return None
    same = written.exists() and written.samefile(file)
    return name if same or written.parent.name == file.absolute().parent.name else None


def engagement_client(settings: Settings, clock: Clock) -> BrazeEngagementClient:
    """A client for what the workspace in the settings tells of engagement."""
    return _of_workspace(BrazeEngagementClient, settings, clock)


def open_inbox(settings: LocalSettings, clock: Clock) -> Inbox:
    """The inbox in the settings, made where there is none."""
    return Inbox.open(settings.inbox_url, clock=clock)


@dataclass(frozen=True, slots=True)
class Connect:
    """How a run reaches the two APIs and its ledger; tests hand in their own."""

    clock: Clock = field(default_factory=SystemClock)
    caspio: Callable[[Settings, Clock], CaspioClient] = caspio_client
    sender: Callable[[Settings, Clock, Sync, int], Sender] = braze_sender
    braze: Callable[[Settings, Clock], BrazeClient] = braze_client
    catalogs: Callable[[Settings, Clock], CatalogClient] = catalog_client
    polled: Callable[[Settings, Clock], BrazeEngagementClient] = engagement_client
    ledger: Callable[[LocalSettings, Clock], Ledger] = open_ledger
    inbox: Callable[[LocalSettings, Clock], Inbox] = open_inbox
    engagement: Callable[[Opening], Engagement] | None = None
    observer: Observer | None = None


CONNECT: ContextVar[Connect] = ContextVar("connect", default=Connect())  # noqa: B039 - frozen
