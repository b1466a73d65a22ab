"""Messages by Apprise, for those who do not look at the screen of a cron job: what goes wrong, and when it is over.

They hold the sync, the run, its state and counts, and what to do: no text that could name a row, no value, no key.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Literal

MessageType = Literal["failure", "warning", "success"]

# Apprise gives a connection 4 s and an answer 4 s; a run does not wait longer than this for a slow place.
PATIENCE_SECONDS = 20.0
UNDELIVERED = "the notification could not be delivered; check CASPIO_SYNC_NOTIFY_URL and the place it names"


async def delivered(url: str, title: str, body: str, kind: MessageType) -> bool:
    """Whether Apprise delivered it in time. A thread that nobody waits for at the end: a dead place holds up no run."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def deliver() -> None:
        sent = _notify(url, title, body, kind)
        with contextlib.suppress(RuntimeError):  # the loop is closed: it was too late
            loop.call_soon_threadsafe(_settle(answer, sent))

    threading.Thread(target=deliver, name="notification", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, PATIENCE_SECONDS)
    except TimeoutError:
        return False


def place_of(url: str) -> str | None:
    """What Apprise calls the kind of place that a URL names, such as "Slack"; None where it knows none.

    Nothing is sent, and nothing else of the URL is told: it is a secret, its host and user may be.
    """
    import apprise  # noqa: PLC0415 - 0.3 s

    _quieten()
    try:
        place = apprise.Apprise.instantiate(url)
        return str(place.service_name) if isinstance(place, apprise.NotifyBase) else None
    except Exception:  # noqa: BLE001 - whatever a plugin raises
        return None


def _settle(answer: asyncio.Future[bool], sent: bool) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_result(sent)


def _notify(url: str, title: str, body: str, kind: MessageType) -> bool:
    import apprise  # noqa: PLC0415 - 0.3 s, for what goes wrong alone

    _quieten()
    try:
        place = apprise.Apprise()
        return bool(place.add(url) and place.notify(body=body, title=title, notify_type=apprise.NotifyType(kind)))
    except Exception:  # noqa: BLE001 - whatever a plugin raises, the run's result stands
        return False


def _quieten() -> None:
    """Both tell of addresses, and an address of this kind is a secret."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
