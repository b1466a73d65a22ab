"""What every sync file says, whatever it moves: where rows come from, what they are mapped to, when they are held."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from caspio_sync import registry
from caspio_sync.characters import trimmed
from caspio_sync.mapping.consent import Consent
from caspio_sync.mapping.document import Document, Location
from caspio_sync.mapping.erasure import Erasure
from caspio_sync.mapping.field import AsTuple, FieldMapping, FieldName, Shortened, Strict, TimeZone
from caspio_sync.mapping.posted import PostedFields, PostedWords, PostsPath
from caspio_sync.spans import span
from caspio_sync.sync_files import bare_name

BATCH_ROWS = (1_000, 200_000)
# Of an expectation, each with one column.
COLUMN_ARGUMENTS = ("column", "column_A", "column_B")
_CRON = re.compile(r"^\s*(?:\S+\s+){4}\S+\s*$")


def _cron(text: str) -> str:
    if not _CRON.match(text):
        raise ValueError(f"schedule '{text}' is no cron line; write five words, such as \"*/5 * * * *\"")
    try:
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"schedule '{text}' is no cron line: {error}; such as \"*/5 * * * *\"") from None
    return text


class CronSchedule(Shortened):
    """When schedules run a sync; may be written as the bare cron line.

    Args:
        cron: five words, such as "*/5 * * * *".
        time_zone: IANA zone in which the line is meant, summer time included.
    """

    short = ("cron", "a cron line, in UTC")
    cron: Annotated[str, AfterValidator(_cron)]
    time_zone: TimeZone = "UTC"

    def __str__(self) -> str:
        return self.cron if self.time_zone == "UTC" else f"{self.cron} ({self.time_zone})"


def _destination(name: str) -> str:
    if name not in registry.DESTINATIONS:
        raise ValueError(f"'{name}' is no destination; there are: {', '.join(registry.DESTINATIONS)}")
    return name


def _destinations(schema: dict[str, Any]) -> None:
    schema["enum"] = list(registry.DESTINATIONS)


OtherSync = Annotated[str, Field(min_length=1), AfterValidator(bare_name)]


class Source(Strict):
    """Where the rows come from.

    Args:
        table: name of the table; exactly one of table, view and posts is given.
        view: name of the view; it needs `page_by`.
        page_by: a unique whole-number field of the view; tables are paged by PK_ID.
        cursor: a TIMESTAMP field stamped on every update; without one every run reads all rows.
        where: a condition in Caspio's SQL that limits the rows.
        time_zone: IANA zone of the wall clocks in Date/Time cells, and of times in posts that name no offset.
        posts: path at which the receiver takes JSON, such as /in/orders; each post is a row. It needs `fields`.
        fields: where in a post each field stands, by the name under which the rest of the file has it.
        only: texts that a field of a post has to be, sign by sign; a post that says otherwise is none of the sync's.
    """

    table: FieldName | None = None
    view: FieldName | None = None
    page_by: FieldName | None = None
    cursor: FieldName | None = None
    where: str | None = None
    time_zone: TimeZone = "UTC"
    posts: PostsPath | None = None
    fields: PostedFields = Field(default_factory=dict)
    only: PostedWords = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(each is not None for each in (self.table, self.view, self.posts)) != 1:
            raise ValueError("names no table or view, or both; write one of `table:`, `view:` and `posts:`")
        if (self.posts is None) == bool(self.fields):
            raise ValueError("`fields` says where in a post each field stands: `posts` needs it, a table has its own")
        if wrong := [name for name in self.only if name not in self.fields or self.fields[name].type != "text"]:
            raise ValueError(f"`only` compares texts, and '{wrong[0]}' is no field of a post whose type is text")
        if self.posts is not None and any((self.page_by, self.cursor, self.where)):
            raise ValueError(
                "posts are read in their order, each of them; remove `cursor`, `page_by`, `where` and `when`"
            )
        if self.view is not None and self.page_by is None:
            raise ValueError("a view has no PK_ID to page by; name a unique whole-number field with `page_by:`")
        if self.table is not None and self.page_by is not None:
            raise ValueError("a table is paged by its PK_ID; remove `page_by`")
        return self

    @property
    def name(self) -> str:
        """Name of the table or view, or the path of posts."""
        return self.table or self.view or self.posts or ""

    @property
    def title(self) -> str:
        """The same for people."""
        return f"Caspio's {self.name}" if self.posts is None else f"What is posted to {self.posts}"


class Expectation(Strict):
    """An expectation of the user's own, in Great Expectations' form.

    Args:
        type: its name, such as expect_column_values_to_be_between.
        kwargs: its arguments.
        severity: "critical" keeps a row (or batch) from leaving, "warning" is only reported.
        meta: anything worth keeping beside it; `why` is told where it blocks a batch.
    """

    type: Annotated[str, Field(pattern=r"^expect_[a-z0-9_]+$")]
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Literal["critical", "warning"] = "critical"
    meta: dict[str, Any] = Field(default_factory=dict)

    @property
    def why(self) -> str:
        """`meta.why`, else what is expected, without the words of its arguments: they may be values of people."""
        said = self.meta.get("why")
        if isinstance(said, str) and trimmed(said):
            return trimmed(said)
        of = " and ".join(str(self.kwargs[each]) for each in COLUMN_ARGUMENTS if each in self.kwargs) or "the batch"
        numbers = [
            f"{name} {value}"
            for name, value in self.kwargs.items()
            if name not in COLUMN_ARGUMENTS and isinstance(value, int | float)
        ]
        expected = self.type.removeprefix("expect_").replace("_", " ")
        bounds = f" ({', '.join(numbers)})" if numbers else ""
        return f"the sync file expects of {of}: {expected}{bounds}"


class Gate(Strict):
    """When a batch is held as a whole, and what is expected of rows besides the shipped suite.

    Args:
        max_quarantined_share: share of a batch's rows, from `min_rows` on.
        min_rows: rows from which shares and batch expectations count.
        max_quarantined_rows: the limit in rows for smaller batches.
        great_expectations: "where_needed": an expectation that surely passes is not asked of it, any other is;
            "always": all are.
        expectations: more expectations.
    """

    max_quarantined_share: float = Field(default=0.1, ge=0, le=1)
    min_rows: int = Field(default=200, ge=1)
    max_quarantined_rows: int = Field(default=20, ge=0)
    great_expectations: Literal["where_needed", "always"] = "where_needed"
    expectations: Annotated[tuple[Expectation, ...], AsTuple] = ()


class Named(Protocol):
    """What names the rows of a sync where they go: the identity of profiles, the id of catalog items."""

    @property
    def kind(self) -> str:
        """Name of the identifier."""

    @property
    def source_field(self) -> str:
        """The Caspio field that holds the key."""

    @property
    def label(self) -> str | None:
        """What else a key needs to be one of its own: the label of a user alias, the name of a catalog."""

    @property
    def on_new(self) -> str:
        """What becomes of a key that is not known there, such as "create"."""


Claim = tuple[str, ...]  # one thing that a sync writes outside


class Sync(Strict):
    """What syncs of every kind share.

    Args:
        source: table or view, paging, cursor, condition, time zone.
        destination: where its rows go; of an engagement return, where what it returns comes from.
        fields: the name there → where it comes from, in the order of the file.
        batch_size: rows extracted, compared, gated and sent together.
        gate: limits and expectations.
        schedule: when deployments run it: a cron line in UTC, or `cron:` and `time_zone:`; by default that of its kind.
            The nightly whole read goes by the same zone.
        freshness: how long a change may take to arrive, such as 5m; a miss is told, and fails no run.
        enabled: whether schedules run it. By hand it runs all the same, and `check` and `plan` look at it.
        owner: another sync, which owns what both write (attributes, consent, columns): this one leaves that out.
        apart_from: other syncs that write the same things, of other people or items; a run refuses where the ledger
            knows a key that both have sent.
    """

    takes_posts: ClassVar[bool] = False  # whether its rows may be posts
    source: Source
    destination: Annotated[str, AfterValidator(_destination), Field(json_schema_extra=_destinations)] = (
        registry.DEFAULT_DESTINATION
    )
    fields: Mapping[str, FieldMapping] = Field(default_factory=dict)
    batch_size: int = Field(default=25_000, ge=BATCH_ROWS[0], le=BATCH_ROWS[1])
    gate: Gate = Gate()
    schedule: CronSchedule | None = None
    freshness: Annotated[str, AfterValidator(span)] | None = None
    enabled: bool = True
    owner: OtherSync | None = None
    apart_from: Annotated[tuple[OtherSync, ...], AsTuple] = ()
    _document: Document | None = PrivateAttr(default=None)

    # A key of the file in some kinds, a property in others; pydantic lets neither stand here in place of the other.
    if TYPE_CHECKING:

        @property
        def kind(self) -> str:
            """Name of the kind, as the registry has it."""

        @property
        def identity(self) -> Named:
            """What names the rows where they go."""

        @property
        def consent(self) -> Consent:
            """Subscription states that are sent."""

        @property
        def on_missing(self) -> str:
            """What becomes of what was sent of a row that is gone: "keep" or "delete"."""

        @property
        def erasure(self) -> Erasure | None:
            """Whom to erase; None where the file does not say."""

    @property
    def key_place(self) -> Location:
        """Where the file says what names a row."""
        raise NotImplementedError

    @property
    def people(self) -> Named | None:
        """What names the people whom it sends; None where it sends none."""
        return None

    @property
    def present_where(self) -> str | None:
        """A condition without which a row counts as gone; None where it is there whatever `source.where` says."""
        raise NotImplementedError

    @property
    def one_row_a_key(self) -> bool:
        """Whether of several rows with one key only one is sent."""
        return True

    @property
    def tables_beside(self) -> tuple[str, ...]:
        """Other tables of whose rows a webhook tells, because rows of the sync are made of them (`Kind.announced`)."""
        return ()

    @property
    def trusts_payload(self) -> bool:
        """Whether a row that was added may be taken from the message that announced it, instead of being read."""
        return False

    @property
    def compares_versions(self) -> bool:
        """Whether another version of a row that was sent is of interest."""
        return True

    @property
    def grows(self) -> bool:
        """Whether rows are only added to its source, so that what is above the last PK_ID is all there is to read."""
        return False

    @property
    def reads_changes(self) -> bool:
        """Whether its usual run reads what is new or changed, and not everything."""
        return self.source.cursor is not None or self.grows

    def claims(self) -> dict[Claim, str]:
        """Everything it writes outside, and how a person calls it. Two syncs that write one thing overwrite it in turn.

        They are attributes, consent, a catalog, columns of a table.
        """
        raise NotImplementedError

    def without(self, names: Collection[str]) -> Self:
        """The sync without some of what it writes, where that comes in parts."""
        raise NotImplementedError

    def columns_back(self) -> dict[str, str]:
        """The columns of its own table that it writes, and what they hold."""
        return {}

    def roles(self) -> dict[str, str]:
        """What each Caspio field is for, in words."""
        raise NotImplementedError

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its fields: what makes keys alone, from the key's field or from another one."""
        raise NotImplementedError

    @property
    def required_states(self) -> tuple[str, ...]:
        """The consent columns without which no row may leave."""
        return self.consent.required

    @property
    def decided_states(self) -> tuple[str, ...]:
        """Scopes of states there that a condition decides, and no person's word."""
        return ()

    def shared(self, other: "Sync") -> list[str]:
        """What both write, as a person calls it, in its own order."""
        theirs = other.claims()
        return [name for claim, name in self.claims().items() if claim in theirs]

    def needed_fields(self) -> Iterator[tuple[str, str]]:
        """Caspio fields that rows of this kind cannot do without, besides those every kind needs, and what for."""
        yield from ()

    def judged_fields(self) -> Iterator[tuple[str, str]]:
        """Mapped fields that the gate judges by name, and where the file says so."""
        for each in self.gate.expectations:
            asked = " ".join(_texts(each.kwargs))
            yield from ((name, "gate.expectations") for name in self.fields if names(asked, name))

    def only(self, field: str) -> Self:
        """The sync of one mapped field and nothing else."""
        return self.model_copy(update={"fields": {field: self.fields[field]}})

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """What only the whole file shows: places that do not go together."""
        yield from ()

    def _sent(self, named: str) -> dict[str, str]:
        """`roles` of a sync whose rows are sent; `named`: what a row is there."""
        cursor = {} if self.source.cursor is None else {self.source.cursor: "cursor (tells what changed)"}
        fields = {str(each.source_field): name for name, each in self.fields.items()}
        return fields | {self.identity.source_field: f"{self.identity.kind} (names the {named})"} | cursor

    @property
    def name(self) -> str:
        """The sync's name: that of its file."""
        return self._document.path.stem if self._document else "unnamed"

    def where(self, *location: str | int) -> str:
        """`file:line` of a place in the sync file, such as `where("source", "cursor")`."""
        return self._document.where(location) if self._document else self.name


def names(text: str, name: str) -> bool:
    """Whether a text names a field, as a word of its own and in any case."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)
