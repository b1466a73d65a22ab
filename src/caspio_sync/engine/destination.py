"""What a run knows of where its rows go: the destination's word on everything that is its own law."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import polars as pl

from caspio_sync import registry
from caspio_sync.consent import ConsentRules
from caspio_sync.delivery.endpoints import Endpoint
from caspio_sync.delivery.requests import Envelope
from caspio_sync.delivery.sender import SenderLimits
from caspio_sync.engine.finding import Finding
from caspio_sync.engine.read_back import ReadBack
from caspio_sync.engine.writes import Write
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.erasure import Identifier, Naming
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.field import Strict
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules
from caspio_sync.schemas import MappedColumn
from caspio_sync.settings import DestinationSettings

LOST = "_lost"  # of rows that are counted: whether the answer was lost (`Sink.arrived`)

A = TypeVar("A")  # an account
T = TypeVar("T")

# What becomes of rows whose answer was lost. "repeat": the request is sent again, which is harmless where objects are
# whole values. Where each is an occurrence of its own, "hold": they are unknown until a person settles them; "resend":
# they are unknown, and the next run sends them again. "look": the endpoint repeats what is harmless by itself; what it
# calls unsettled is unknown, and the next run has it looked for before it is sent.
WhenLost = Literal["repeat", "hold", "resend", "look"]


class Account(AbstractAsyncContextManager[Any, None], Protocol):
    """An account at a destination, by its settings; its connections are made when they are needed."""

    address: str

    @property
    def secret(self) -> str:
        """Its key, by which it is told from others at the same address."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """By which a process of its own reaches it, secrets among them; as JSON takes them."""

    def take_share(self, share: float) -> None:
        """From now on use this part of the limits that its calls share, nothing while it is 0; at first the whole."""

    async def aclose(self) -> None:
        """Close every connection."""


class Eraser(Protocol):
    """Deletes people, and looks whether they are gone.

    Attributes:
        most: identifiers that one request deletes.
        proves: whether it can look if somebody is gone; where it cannot, nobody's deletion is ever proven.
    """

    most: int
    proves: bool

    async def delete(
        self, people: Sequence[tuple[T, Identifier]]
    ) -> tuple[list[tuple[Sequence[tuple[T, Identifier]], dict[str, Any]]], list[str]]:
        """Ask for the deletion of some, at most `most`; halved until what is refused stands alone.

        Returns:
            Those of each request that was taken, with what its answer told; and the words of every refusal.

        Raises:
            ConfigurationError, TransientError: as the destination says.
        """

    async def left(self, identifiers: Sequence[Identifier]) -> list[Identifier]:
        """Those that are still there, or cannot be looked for; as `delete` raises."""

    async def probe(self) -> str:
        """By which right the key may delete; nobody is, and `delete` raises alike where it may not."""


class KnownByAddress(Protocol):
    """Finds whom the destination knows by an address alone, and gives them their keys."""

    @property
    def requests(self) -> int:
        """Requests made so far."""

    async def unknown(self, keys: pl.Series) -> pl.Series:
        """Whether nobody there has this key."""

    async def bearers(self, address: str) -> list[bool]:
        """Of each who has this address there: whether they have a key."""

    async def identify(self, rows: pl.DataFrame) -> list[tuple[str, str]]:
        """Give the key of each row to whoever has its address and no key; key and reason of the rows refused.

        Args:
            rows: `key` and `email`, each address once.
        """


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing at a destination.

    Args:
        lines: what would be made, for people; empty where nothing is.
    """

    lines: tuple[str, ...] = ()


class Keeper(Protocol):
    """Makes there what rows need before they can be sent."""

    async def look(self) -> Any:
        """What is missing, of the type that the kind declares, else `Missing`; nothing is made.

        Raises:
            ConfigurationError: what is there does not go together with the mapping.
        """

    async def keep(self, expected: Any) -> Any:
        """Make it; harmless where it is repeated.

        Args:
            expected: what `look` said when the run was opened: what went missing since was not asked for.
        """


class OwnHooks(Protocol):
    """The webhook by which a destination tells a sync what happens there."""

    @property
    def name(self) -> str:
        """What it is called there."""

    def check(self, root: str) -> None:
        """Raise ConfigurationError where the destination calls no such address."""

    async def install(self, root: str, secret: str) -> Sequence[str]:
        """Make it, or set right what differs; what was done, for people."""

    async def uninstall(self) -> tuple[bool, bool]:
        """Take it away: whether there was one, and whether another sync has one there."""

    async def findings(self, secret: str) -> Sequence[Finding]:
        """Whether it is as it should be, for a receiver with this secret; "" for none."""


class Sink(Generic[A]):
    """What stands at the other end of one sync: what its rows may be, how they travel, what is there of them.

    What a sink does not say, rows of its kind never ask for.

    Attributes:
        values: what its rows may be: values, names, sizes.
        envelopes: every call by which it takes rows.
        when_lost: what becomes of rows whose answer was lost.
        options: its own section of the sync file, `options:`; None where it has none.
        keys: keys of the sync file that are its own, beside those of the kind; None where it has none.
        proposed: lines of a sync file that a proposal ends with, where rows cannot go there without.
        most_objects: objects that one request takes.
        properties_bytes: how large the properties of an event may be, as JSON text.
        endpoint_place: `module:function` that makes the endpoint in a process of its own, of `Account.arguments`; ""
            where it takes none: all calls of an account keep one pace there.
        keeps: whether rows need something made there first (`keeper`), which their kind does not ask for by itself.
        awaits_people: whether what people did is held until the destination knows them (`there`).
        ending: what the destination has announced of the end of such rows, for people; "" where they stay.
        runs_automations: whether what people enter is entered as well by those nobody waits for (`QUIET`).
        follows_keys: whether a person whose key changed is the same one there; else another key is another person.
    """

    values: ClassVar[ValueRules]
    envelopes: Sequence[Envelope] = ()
    when_lost: WhenLost = "repeat"
    options: ClassVar[type[Strict] | None] = None
    keys: ClassVar[type[Strict] | None] = None
    proposed: ClassVar[Sequence[str]] = ()
    most_objects: int = 0
    properties_bytes: int = 0
    endpoint_place: str = ""
    keeps: ClassVar[bool] = False
    awaits_people: bool = False
    ending: ClassVar[str] = ""
    follows_keys: ClassVar[bool] = False
    runs_automations: bool = False

    def __init__(self, sync: Any) -> None:
        self.sync = sync

    @classmethod
    async def probe(cls, account: A) -> str:  # noqa: ARG003 - of a sink that takes rows
        """What the key may do that rows of this kind need, in words; "" where they need nothing. Nothing is written.

        Raises:
            ConfigurationError, TransientError: it may not, or the destination does not answer.
        """
        return ""

    @classmethod
    async def write_test(cls, account: A, key: str) -> tuple[str, str]:
        """Write a test value under a key: what was written, and where to look.

        Raises:
            ConfigurationError, TransientError: as `probe`, or it was refused.
        """
        raise NotImplementedError

    def cautions(self) -> Sequence[str]:
        """What the sync cannot do there that people may take for granted, and what to do; for `check`."""
        return ()

    def limits(self, account: A) -> SenderLimits:
        """How fast rows may be sent, until an answer says otherwise."""
        raise NotImplementedError

    def endpoint(self, account: A) -> Endpoint:
        """Where requests go; whoever asked for it closes it."""
        raise NotImplementedError

    def writes(self, rows: pl.DataFrame, mapping: RowMapping, *, whole: bool) -> list[Write]:
        """How changes travel; together the writes hold all of the rows.

        Args:
            rows: changes.
            mapping: of their columns.
            whole: whether what is there may be replaced; else it holds what the sync does not know, and is edited.
        """
        raise NotImplementedError

    @property
    def repeats(self) -> bool:
        """Whether a request whose answer was lost is sent again at once."""
        return self.when_lost in {"repeat", "look"}

    @property
    def most_pieces(self) -> int:
        """How many pieces a purchase may be of."""
        return 0

    def parts(self) -> pl.Expr:
        """How many objects a row travels as, all in one request; of several, the text has commas between them."""
        return pl.lit(1)

    def opt_outs(self, rows: pl.DataFrame, mapping: RowMapping) -> list[Write]:
        """How rows leave of which nothing but consent may."""
        raise NotImplementedError

    def deletes(self, rows: pl.DataFrame) -> list[Write]:
        """How what is there under these rows' `key` is deleted."""
        raise NotImplementedError

    def price(
        self,
        rows: pl.DataFrame,  # noqa: ARG002 - of what is not free
        columns: Sequence[MappedColumn],  # noqa: ARG002
        travels: Callable[[str], str] | None,  # noqa: ARG002
    ) -> pl.Expr:
        """Billed units of each row; 0 where nothing is billed.

        Args:
            rows: changes, or mapped rows.
            columns: the mapping's.
            travels: gives the boolean column that says whether a column travels; None: all do.
        """
        return pl.lit(0)

    def calls(self, account: A, envelope: Envelope, requests: int) -> tuple[int, float] | None:  # noqa: ARG002
        """Calls that so many requests take, and the seconds; None where a request is a call, and takes no time."""
        return None

    def questions(self, account: A, people: int) -> tuple[int, float]:  # noqa: ARG002 - of who asks
        """Calls by which so many people are looked for (`there`), and the seconds."""
        return 0, 0.0

    async def there(self, account: A, keys: Sequence[str]) -> list[bool]:
        """Whether the destination knows each of these people, asked for one by one; as `known` raises."""
        raise NotImplementedError

    async def known(self, account: A, keys: Sequence[str]) -> int:
        """How many of these keys are known there.

        Raises:
            TransientError, PermanentError, ConfigurationError: as the destination says.
        """
        raise NotImplementedError

    async def read_back(self, account: A, mapping: RowMapping) -> ReadBack:
        """Reads back what rows became that were mapped so.

        Raises:
            ConfigurationError: what rows of this kind became is not read back.
        """
        raise NotImplementedError

    async def counted(self, account: A, keys: Sequence[str]) -> list[int | None]:
        """How many events of the sync's names each of these people has there; None where none is shown.

        Raises:
            TransientError, PermanentError, ConfigurationError: as the destination says.
        """
        raise NotImplementedError

    async def arrived(
        self,
        account: A,  # noqa: ARG002 - of a destination that counts by name
        mapping: RowMapping,  # noqa: ARG002
        rows: pl.DataFrame,  # noqa: ARG002
        sample: Sequence[str],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> dict[int, bool | str]:
        """Of rows whose answer was lost, by source_pk, whether each is there; a text says why that cannot be told.

        Args:
            account: is asked.
            mapping: of the rows.
            rows: mapped, everything of these people that was sent or may have been; LOST says which may have been.
            sample: other people of whom something was sent.
            now: aware.

        Raises:
            ConfigurationError: it does not count in a way that tells.
            TransientError, PermanentError: as the destination says.
        """
        raise ConfigurationError(
            f"{self.__class__.__name__.removesuffix('Sink').lower()}: the destination does not count by name and time, "
            "so that nothing follows from its counts; look the people up there, and settle the rows by hand"
        )

    def keeper(self, account: A, mapping: RowMapping) -> Keeper:
        """Makes there what rows need."""
        raise NotImplementedError

    def eraser(self, account: A) -> Eraser:
        """Deletes people there."""
        raise NotImplementedError

    def known_by_address(self, account: A) -> KnownByAddress:
        """Finds there whom it knows by an address alone."""
        raise NotImplementedError

    async def polled(self, account: A) -> list[str]:
        """What the key may ask for of that which the destination tells when it is asked; as `probe` raises."""
        raise NotImplementedError

    def hooks(self, account: A) -> OwnHooks | None:  # noqa: ARG002 - of who has some
        """The webhook by which the destination tells of people; None where no call makes one."""
        return None

    def told(self, opening: Any) -> Any:
        """What the destination tells of people, of the type that the kind declares, for one run."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that takes rows.

    Args:
        name: as `destination:` in a sync file says it.
        title: as people say it.
        consent: what it makes of consent states.
        naming: how it is told whom a deletion is about.
        settings: its own, which are asked for where a sync names it.
        account: makes the account that its settings name; takes the clock and, by name, a `transport` that makes what
            answers a client instead of the network.
        sinks: what stands at its end of a sync, by the sync's kind.
        of_sync: itself as one sync means it, where the sync file says where it is; None where settings alone do.
    """

    name: str
    title: str
    consent: ConsentRules
    naming: Naming
    settings: type[DestinationSettings]
    account: Callable[..., Account]
    sinks: Mapping[str, type[Sink[Any]]]
    of_sync: Callable[[Sync], "Destination"] | None = None

    def sink(self, sync: Sync) -> Sink[Any]:
        """What stands at its end of a sync.

        Raises:
            ConfigurationError: it takes no rows of this kind; the message names the kinds it takes.
        """
        if sync.kind not in self.sinks:
            raise ConfigurationError(
                f"{sync.where('destination')}: {self.title} takes no {sync.kind}; it takes: {', '.join(self.sinks)}"
            )
        return self.sinks[sync.kind](sync)


def destination_named(name: str) -> Destination:
    """The destination of a name.

    Raises:
        ConfigurationError: there is none; the message names those there are.
    """
    found: Destination = registry.load(registry.DESTINATIONS, name, "destination")
    return found


def title_of(name: str) -> str:
    """A destination as people say it; its name where there is none of that name any more."""
    return destination_named(name).title if name in registry.DESTINATIONS else name


def destination_of(sync: Sync) -> Destination:
    """Where the rows of a sync go; as `destination_named`."""
    named = destination_named(sync.destination)
    return named if named.of_sync is None else named.of_sync(sync)
