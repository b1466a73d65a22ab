"""`caspio-sync receive`: the service that Braze Currents, webhooks and any other system post to."""

import contextlib
import gc
import logging
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from caspio_sync import signals
from caspio_sync.cli.show import OUT
from caspio_sync.errors import ConfigurationError
from caspio_sync.settings import receiver_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspio_sync.hints import Hints, Message
    from caspio_sync.inbox import Inbox
    from caspio_sync.receiver.webhooks import Keep

_RESERVE_BYTES = 100_000_000


def receive(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for a free one.", min=0, max=65535)] = 8780,
) -> None:
    """Take what is posted, until Ctrl-C: `/currents`, `/caspio/SYNC`, `/activecampaign/…`, `/in/…` of any system.

    A post is answered once it is on the disk, in the inbox beside the ledger; `/healthz` says whether it can be. All
    post over HTTPS, so a proxy that ends TLS stands in front. Only CASPIO_SYNC_RECEIVER_TOKEN (of Currents),
    CASPIO_SYNC_WEBHOOKS, CASPIO_SYNC_ACTIVECAMPAIGN_SECRET or CASPIO_SYNC_POSTS (with CASPIO_SYNC_PAYLOAD_KEYS) and the
    place of the inbox are needed: no key of an account is on a machine that is reached from outside. Currents is paid
    for apart; without it, polls bring bounces, unsubscribes and subscription states.

    Example: `caspio-sync receive --port 8780`
    """
    import uvicorn

    from caspio_sync.event_loop import run
    from caspio_sync.hints import Hints
    from caspio_sync.inbox import Inbox
    from caspio_sync.posts import Posts
    from caspio_sync.receiver.app import Receiver
    from caspio_sync.receiver.posts import PostsFeed, keeping
    from caspio_sync.receiver.protocol import GuardedProtocol
    from caspio_sync.receiver.webhooks import CaspioFeed
    from caspio_sync.sealed import Sealer

    settings = receiver_settings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with contextlib.ExitStack() as stack:
        inbox = stack.enter_context(Inbox.open(settings.inbox_url))
        inbox.reserve_bytes = _RESERVE_BYTES
        inbox.limit_bytes = int(settings.inbox_max_gb * 1e9)
        feed = None
        if settings.webhooks:
            hints = stack.enter_context(Hints.open(settings.inbox_url))
            feed = CaspioFeed(
                settings.webhooks,
                keep=_kept_in(inbox, hints),
                form=settings.signature,
                sealer=Sealer(settings.payload_keys) if settings.payload_keys else None,
            )
        posts = None
        if settings.posts:
            sealer, store = Sealer(settings.payload_keys), stack.enter_context(Posts.open(settings.inbox_url))
            posts = PostsFeed(settings.posts, keep=keeping(store, sealer, inbox.check))
        receiver = Receiver(
            inbox, tokens=settings.tokens, caspio=feed, activecampaign=settings.hook_secrets, posts=posts
        )
        if feed is not None:
            receiver.metrics.registry.register(feed.messages)
        if posts is not None:
            receiver.metrics.registry.register(posts.outcomes)
        listener = listen(host, port)
        config = uvicorn.Config(
            receiver.app,
            http=GuardedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=30,
        )
        OUT.print(
            f"listening on http://{host}:{listener.getsockname()[1]}/currents; inbox {inbox.location}", soft_wrap=True
        )
        gc.freeze()  # what is imported by now is never garbage, and looking through it takes as long as many posts
        # uvicorn raises the signal again when it has ended; the inbox is then still to be closed.
        signals.end_in_own_time()
        with contextlib.suppress(KeyboardInterrupt):
            run(uvicorn.Server(config).serve(sockets=[listener]))


def _kept_in(inbox: "Inbox", hints: "Hints") -> "Keep":
    """Keeps messages while the inbox has room: hints are in its database, on its disk."""

    def keep(messages: "Sequence[Message]") -> "Sequence[str]":
        inbox.check()
        return hints.add(messages)

    return keep


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigurationError: the address or port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's delay off.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); give another by --host and --port"
        ) from error
    return listener
