"""Any endpoint as a destination: where it is, its sync files say."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from caspio_sync.clock import Clock
from caspio_sync.destinations.http.account import HttpAccount
from caspio_sync.destinations.http.consent import CONSENT
from caspio_sync.destinations.http.definition import HttpSync
from caspio_sync.destinations.http.identifiers import NAMING
from caspio_sync.destinations.http.people import PeopleSink
from caspio_sync.destinations.http.settings import HttpSettings
from caspio_sync.engine.destination import Destination
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.definition import Sync
from caspio_sync.settings import on_this_machine
from caspio_sync.wire.http import Transport, is_in_clear


def _account(
    settings: HttpSettings,
    clock: Clock,
    *,
    sync: Sync | None = None,
    transport: Callable[[], Transport] | None = None,
) -> HttpAccount:
    """The endpoint of a sync.

    Raises:
        ConfigurationError: everybody on the way could read along, or it is no sandbox though one is meant.
    """
    if sync is None:
        return HttpAccount(address="", sync=None, place="", secrets=settings.secrets, clock=clock)
    said = cast("HttpSync", cast("Any", sync))
    for origin in said.origins:
        if is_in_clear(origin) and not settings.allow_http:
            raise ConfigurationError(
                f"{sync.where('request', 'url')}: {origin}: everybody on the way could read the secrets and the rows; "
                "write https://, or set CASPIO_SYNC_ALLOW_HTTP=true where the whole way is your own"
            )
        try:
            on_this_machine(origin, sandbox=settings.sandbox)
        except ValueError as error:
            raise ConfigurationError(f"{sync.where('request', 'url')}: {origin}: {error}") from None
    return HttpAccount(
        address=said.origin,
        sync=said,
        place=sync.where("auth"),
        secrets=settings.secrets,
        clock=clock,
        transport=transport,
    )


def _of_sync(sync: Sync) -> Destination:
    """The destination by the host that a sync names, as people know it."""
    host = cast("HttpSync", cast("Any", sync)).origin.partition("://")[2]
    return replace(HTTP, title=host, account=partial(_account, sync=sync))


HTTP = Destination(
    name="http",
    title="an HTTP endpoint",
    consent=CONSENT,
    naming=NAMING,
    settings=HttpSettings,
    account=_account,
    sinks=MappingProxyType({"profiles": PeopleSink}),
    of_sync=_of_sync,
)
