"""What Currents posts, through the receiver's own application into an inbox: some of it twice, and in disorder."""

from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import SecretStr

from caspio_sync.clock import Clock
from caspio_sync.inbox import Inbox
from caspio_sync.receiver.app import Receiver
from caspio_sync.sandbox.braze.currents import CurrentsBehaviour, CurrentsConnector

_TOKEN = "a-token-of-sixteen"


async def posted(outbox: Sequence[Any], inbox: Inbox, clock: Clock, *, events_a_post: int) -> Any:
    """Post all that waits; the receiver's answers."""
    receiver = Receiver(inbox, tokens=[SecretStr(_TOKEN)]).app
    async with receiver.router.lifespan_context(receiver):
        connector = CurrentsConnector(
            "http://receiver.test/currents",
            token=_TOKEN,
            behaviour=CurrentsBehaviour(events_a_post=events_a_post, duplicates=0.5),
            clock=clock,
            transport=httpx.ASGITransport(receiver),
        )
        connector.queue(list(outbox))
        await connector.deliver()
        return connector.answers
