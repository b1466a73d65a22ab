"""How a run reaches Caspio, a destination and its ledger."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caspio_sync.caspio.client import CaspioClient
from caspio_sync.clock import Clock, SystemClock
from caspio_sync.delivery.process import ProcessSender
from caspio_sync.delivery.sender import InlineSender, Sender
from caspio_sync.engine.destination import Account, Destination, Sink
from caspio_sync.errors import ConfigurationError
from caspio_sync.hints import Hints
from caspio_sync.inbox import Inbox
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import RunReport
from caspio_sync.posts import Posts
from caspio_sync.settings import LocalSettings, Settings, destination_settings
from caspio_sync.sync_files import bare_name

# From this many rows on, a second process for the sender pays for its start.
PROCESS_ROWS = 20_000

Observer = Callable[[RunReport], None]


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


def account_of(destination: Destination, clock: Clock) -> Account:
    """The destination's account in the settings.

    Raises:
        ConfigurationError: its settings are not complete.
    """
    return destination.account(destination_settings(destination.name), clock)


def sender_of(settings: Settings, clock: Clock, sink: Sink[Any], account: Account, rows: int) -> Sender:
    """The sender for a run that reads so many rows: in this process, or in one of its own where the sink has one."""
    limits = sink.limits(account)
    apart = settings.sender == "process" or (settings.sender == "auto" and rows >= PROCESS_ROWS)
    if apart and sink.endpoint_place:
        return ProcessSender(
            sink.endpoint_place, account.arguments, limits=limits, envelopes=sink.envelopes, repeats=sink.repeats
        )
    return InlineSender(sink.endpoint(account), limits=limits, clock=clock, repeats=sink.repeats)


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


def open_inbox(settings: LocalSettings, clock: Clock) -> Inbox:
    """The inbox in the settings, made where there is none."""
    return Inbox.open(settings.inbox_url, clock=clock)


def open_hints(settings: LocalSettings, clock: Clock) -> Hints:
    """What webhooks told, made where there is none."""
    return Hints.open(settings.inbox_url, clock=clock)


def open_posts(settings: LocalSettings, clock: Clock) -> Posts:
    """What any system posted, made where there is none."""
    return Posts.open(settings.inbox_url, clock=clock)


@dataclass(frozen=True, slots=True)
class Connect:
    """How a run reaches Caspio, a destination and its ledger; tests hand in their own."""

    clock: Clock = field(default_factory=SystemClock)
    caspio: Callable[[Settings, Clock], CaspioClient] = caspio_client
    account: Callable[[Destination, Clock], Account] = account_of
    sender: Callable[[Settings, Clock, Sink[Any], Account, int], Sender] = sender_of
    ledger: Callable[[LocalSettings, Clock], Ledger] = open_ledger
    inbox: Callable[[LocalSettings, Clock], Inbox] = open_inbox
    hints: Callable[[LocalSettings, Clock], Hints] = open_hints
    posts: Callable[[LocalSettings, Clock], Posts] = open_posts
    told: Callable[[Any], Any] | None = None  # of an `Opening`: what a destination tells of people, not its own word
    observer: Observer | None = None


CONNECT: ContextVar[Connect] = ContextVar("connect", default=Connect())  # noqa: B039 - frozen
