"""`caspio-sync webhooks` of an engagement return: the webhook is the destination's, and posts to the same receiver."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from rich.markup import escape

from caspio_sync.cli.show import OUT
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.destination import OwnHooks, destination_of
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.kind import kind_of
from caspio_sync.env_file import settings_file, write_variable
from caspio_sync.errors import ConfigurationError
from caspio_sync.feeds import HOOK_VARIABLE, hook_secret
from caspio_sync.mapping.definition import Sync

_SECRET_BYTES = 32
T = TypeVar("T")


def comes_back(definition: Sync) -> bool:
    """Whether the sync's webhook is its destination's, not Caspio's."""
    return kind_of(definition).returns


def install(definition: Sync, urls: Sequence[str]) -> None:
    """Make or repair the webhook at the sync's destination.

    Raises:
        ConfigurationError: it has none, or cannot post to this address.
    """
    if len(urls) != 1:
        raise ConfigurationError("--url: a webhook there posts to one address; give one")
    known = hook_secret()
    secret = known or secrets.token_urlsafe(_SECRET_BYTES)

    async def work(hooks: OwnHooks) -> Sequence[str]:
        hooks.check(urls[0])
        if not known:  # before anybody posts with it
            write_variable(settings_file(), HOOK_VARIABLE, secret)
        return await hooks.install(urls[0], secret)

    name, done = asyncio.run(_with_hooks(definition, work))
    for each in done or ["it is as it should be"]:
        OUT.print(f"{name}: {escape(each)}", soft_wrap=True)
    if not known:
        OUT.print(f"its secret is in {settings_file()}; next: start `caspio-sync receive` again", soft_wrap=True)


def uninstall(definition: Sync) -> None:
    """Delete the webhook at the sync's destination; its secret too, where no other sync's webhook posts with it."""

    async def work(hooks: OwnHooks) -> tuple[bool, bool]:
        return await hooks.uninstall()

    name, (gone, others) = asyncio.run(_with_hooks(definition, work))
    if not others and hook_secret() and not os.environ.get(HOOK_VARIABLE):
        write_variable(settings_file(), HOOK_VARIABLE, "")
    OUT.print(f"{name}: {'deleted' if gone else 'there was none'}")


def findings(definition: Sync) -> Sequence[Finding]:
    """How the webhook at the sync's destination stands."""

    async def work(hooks: OwnHooks) -> Sequence[Finding]:
        return await hooks.findings(hook_secret())

    return asyncio.run(_with_hooks(definition, work))[1]


async def _with_hooks(definition: Sync, work: Callable[[OwnHooks], Awaitable[T]]) -> tuple[str, T]:
    connect, destination = CONNECT.get(), destination_of(definition)
    async with connect.account(destination, connect.clock) as account:
        hooks = destination.sink(definition).hooks(account)
        if hooks is None:
            raise ConfigurationError(
                f"{definition.name}: {destination.title} has no webhook that this command could make; "
                "docs/engagement.md says how it posts"
            )
        return hooks.name, await work(hooks)
