"""A kind of sync: what moves, whoever takes it. The registry says which ones there are."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.document import Fault
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.values import ValueRules, rules_for
from caspio_sync.observe.report import RunReport
from caspio_sync.registry import KINDS, load
from caspio_sync.schemas import CaspioField

S_contra = TypeVar("S_contra", bound=Sync, contravariant=True)
S = TypeVar("S", bound=Sync)


class MakeMapping(Protocol[S_contra]):
    """As `mapping_of`, for one kind's definitions."""

    def __call__(
        self, sync: S_contra, fields: Sequence[CaspioField], values: ValueRules, *, absent: Collection[str] = ()
    ) -> RowMapping:
        """The mapping, by what the destination takes."""


class Propose(Protocol):
    """Guesses a first sync file from the fields of a table; arguments and errors as of `propose_sync`."""

    def __call__(
        self,
        name: str,
        table: str,
        fields: Sequence[CaspioField],
        *,
        time_zone: str | None = None,
        returned: Mapping[str, str] = ...,
        destination: str = ...,
        alone: bool = ...,
    ) -> str:
        """YAML text that can be read as it is, with comments on what to look at."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a kind's rows are called, and what a run did with them, in tables and messages.

    Args:
        row: a row where it went, such as "item".
        who: whom or what two syncs may both have, such as "person".
        taker: who takes the rows and acknowledges them; None: the destination.
        part_ways: what to do where two syncs write one thing: `{sync}` and `{other}`, and `{apart}`, a way that is
            open to every kind.
        look_at: what to look at in a proposed file; `{title}` is the destination.
        own: the count that only this kind has: its name, rows or calls, and what it means.
        headline: that count and its like, at the end of a run's one line.
        free: why rows are billed nothing; None where they are billed.
        deletes: whether runs delete what was sent.
        lost: what becomes of a row whose answer was lost.
        of_several: what becomes of several rows with one key.
    """

    row: str
    who: str
    part_ways: str
    look_at: str
    own: Callable[[RunReport], tuple[str, int, str]]
    headline: Callable[[RunReport], str]
    free: str | None = None
    taker: str | None = None
    deletes: bool = False
    lost: str = "the next run sends it again"
    of_several: str = "Only one of them is sent; give the others another key."

    @property
    def billed(self) -> bool:
        """Whether rows cost data points."""
        return self.free is None


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """What is known of a kind. Its gates are `expectations.<name>`.

    Args:
        name: `kind:` in a sync file, in reports and in the ledger.
        definition: what its sync files may say.
        faults: what is wrong with a file besides: names and what they stand for, by what the destination takes.
        mapping: fits a definition to its table.
        words: see `Words`.
        work: address of what makes a run's `Work` of an `Opening`, a definition and its mapping (see `registry.found`).
        line: address of its `Line`.
        flow: its flow, as `module.function`.
        examine: address of what `check` looks at besides; takes a prepared sync, settings and the Caspio client.
        propose: for `init`.
        guess_back: columns of a table that by their names hold what this kind writes, and what that is.
        cron: when schedules run a sync that reads changes, unless its file says when.
        describe: what a deployment does; told whether it reads all rows, and the title of the destination.
        verify: address of what verifies its syncs, where they are not read back row by row; "" where they are.
        settle: address of what settles rows without an answer by what the destination counts; "" where nothing does.
        announced: address of what finds the rows that rows of `Sync.tables_beside` are a matter of; takes a prepared
            sync, the Caspio client and PK_IDs there, and gives PK_IDs; "" where there are no such tables.
        beside: address of what reads, for rows that are looked at alone, what belongs to them in other tables; takes a
            prepared sync, the Caspio client and a source frame, which it gives back joined; "" where nothing does.
        returns: whether it brings what destinations tell back into the rows it reads, instead of sending them.
    """

    name: str
    definition: type[S]
    faults: Callable[[Mapping[str, Any], ValueRules], Iterable[Fault]]
    mapping: MakeMapping[S]
    words: Words
    work: str
    line: str
    flow: str
    examine: str
    propose: Propose
    guess_back: Callable[[Sequence[CaspioField]], Mapping[str, str]]
    cron: str
    describe: Callable[[S, bool, str], str]
    verify: str = ""
    settle: str = ""
    announced: str = ""
    beside: str = ""
    returns: bool = False

    @property
    def flow_name(self) -> str:
        """Prefect's name of its flow, such as "profile-sync"."""
        return self.flow.rpartition(".")[2].replace("_", "-")


def kind_named(name: str) -> Kind[Any]:
    """The kind of that name.

    Raises:
        ConfigurationError: there is none; the message names those there are.
    """
    kind: Kind[Any] = load(KINDS, name, "kind of sync")
    return kind


def kind_of(sync: Sync) -> Kind[Any]:
    """The kind of a sync."""
    return kind_named(sync.kind)


def mapping_of(sync: Sync, fields: Sequence[CaspioField], *, absent: Collection[str] = ()) -> RowMapping:
    """The sync's mapping, fitted to the fields of its table.

    Args:
        sync: the definition.
        fields: the table's or view's fields, as Caspio declares them.
        absent: names of those that cannot be read for now (see `RowMapping`).

    Raises:
        ConfigurationError: a field is missing or cannot become what it is mapped to; all findings at once.
    """
    return kind_of(sync).mapping(sync, fields, rules_for(sync.kind, sync.destination), absent=absent)
