"""What a run knows of where its rows go: the destination's word on everything that is its own law."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import polars as pl

from caspio_sync import registry
from caspio_sync.clock import Clock
from caspio_sync.consent import ConsentRules
from caspio_sync.delivery.endpoints import Endpoint
from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.erasure import Naming
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import AnySync
from caspio_sync.run.prepared import Prepared
from caspio_sync.run.verification.reading_back import ReadBack
from caspio_sync.run.writes import Write
from caspio_sync.schemas import MappedColumn
from caspio_sync.settings import DestinationSettings

# What becomes of rows whose answer was lost. "repeat": the request is sent again, which is harmless where objects are
# whole values.
WhenLost = Literal["repeat"]


class Account(AbstractAsyncContextManager[Any, None], Protocol):
    """An account at a destination, by its settings; its connections are made when they are needed."""

    address: str

    @property
    def secret(self) -> str:
        """Its key, by which it is told from others at the same address."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class Sink(Protocol):
    """What stands at the other end of one sync: what its rows may be, how they travel, what is there of them.

    Attributes:
        envelopes: every call by which it takes rows.
        when_lost: what becomes of rows whose answer was lost.
        endpoint_place: `module:function` that makes the endpoint in a process of its own.
    """

    envelopes: Sequence[Envelope]
    when_lost: WhenLost
    endpoint_place: str

    def limits(self, account: Any) -> SenderLimits:
        """How fast rows may be sent, until an answer says otherwise."""
        ...

    def endpoint(self, account: Any) -> Endpoint:
        """Where requests go; whoever asked for it closes it."""
        ...

    def endpoint_arguments(self, account: Any) -> Mapping[str, Any]:
        """What the function at `endpoint_place` takes; secrets are among it."""
        ...

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:
        """How changes travel; together the writes hold all of the rows.

        Args:
            rows: changes.
            mapping: of their columns.
            whole: whether what is there may be replaced; else it holds what the sync does not know, and is edited.
        """
        ...

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """How rows leave of which nothing but consent may."""
        ...

    def deletes(self, rows: pl.DataFrame) -> list[Write]:
        """How what is there under these rows' `key` is deleted."""
        ...

    def price(
        self, rows: pl.DataFrame, columns: Sequence[MappedColumn], travels: Callable[[str], str] | None
    ) -> pl.Expr:
        """Billed units of each row.

        Args:
            rows: changes, or mapped rows.
            columns: the mapping's.
            travels: gives the boolean column that says whether a column travels; None: all do.
        """
        ...

    async def known(self, account: Any, keys: Sequence[str]) -> int:
        """How many of these keys are known there.

        Raises:
            TransientError, PermanentError, ConfigurationError: as the destination says.
        """
        ...

    async def read_back(self, account: Any, prepared: Prepared) -> ReadBack:
        """Reads back what rows became.

        Raises:
            ConfigurationError: what rows of this kind became is not read back.
        """
        ...


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that takes rows.

    Args:
        name: as `destination:` in a sync file says it.
        title: as people say it.
        consent: what it makes of consent states.
        naming: how it is told whom a deletion is about.
        settings: its own, which are asked for where a sync names it.
        account: makes the account that its settings name.
        sinks: what stands at its end of a sync, by the sync's kind.
    """

    name: str
    title: str
    consent: ConsentRules
    naming: Naming
    settings: type[DestinationSettings]
    account: Callable[[Any, Clock], Account]
    sinks: Mapping[str, Callable[[Any], Any]]

    def sink(self, sync: AnySync) -> Sink:
        """What stands at its end of a sync.

        Raises:
            ConfigurationError: it takes no rows of this kind; the message names the kinds it takes.
        """
        if sync.kind not in self.sinks:
            raise ConfigurationError(
                f"{sync.where('destination')}: {self.title} takes no {sync.kind}; it takes: {', '.join(self.sinks)}"
            )
        sink: Sink = self.sinks[sync.kind](sync)
        return sink


def destination_named(name: str) -> Destination:
    """The destination of a name.

    Raises:
        ConfigurationError: there is none; the message names those there are.
    """
    found: Destination = registry.load(registry.DESTINATIONS, name, "destination")
    return found


def destination_of(sync: AnySync) -> Destination:
    """Where the rows of a sync go; as `destination_named`."""
    return destination_named(sync.destination)
