"""The definitions of syncs of `kind: events` and `kind: purchases`: what their files may say."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from caspio_sync.caspio.query import and_
from caspio_sync.kinds.events.gate_definition import EventGate
from caspio_sync.kinds.events.lines_definition import Lines, Name, NegativeEvent
from caspio_sync.mapping.consent import Consent
from caspio_sync.mapping.definition import Claim, Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import AsTuple, FieldMapping, FieldName, Shortened, ValueMap
from caspio_sync.mapping.identity import Identity

TIME, EVENT_NAME = "time", "event_name"
PRODUCT_ID, CURRENCY, PRICE, QUANTITY = "product_id", "currency", "price", "quantity"
ORDER_KEY, LINE_COUNT = "order_key", "line_count"


class EventName(Shortened):
    """What the event is called; may be written as the bare name.

    Args:
        name: one name for all rows.
        source_field: `from`: the Caspio field that tells it.
        map: the field's words, compared trimmed and without case, and the names they stand for; null: the row is held.
        names: names that the field may hold as they are. With those of `map` they are the taxonomy: a row with any
            other is held.
    """

    short = ("name", "the event's name")
    name: Name | None = None
    source_field: FieldName | None = Field(default=None, alias="from")
    map: ValueMap | None = None
    names: Annotated[tuple[Name, ...], AsTuple] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.name is None) == (self.source_field is None):
            raise ValueError("needs exactly one of `name` and `from`")
        if self.source_field is not None and not self.taxonomy:
            raise ValueError("every word of the field would become an event; declare the names, with `map` or `names`")
        if self.source_field is None and (self.map or self.names):
            raise ValueError("`map` and `names` are about a field; they need `from`")
        return self

    @property
    def taxonomy(self) -> tuple[str, ...]:
        """The names that events may have."""
        told = (str(each) for each in (self.map or {}).values() if each is not None)
        return tuple(dict.fromkeys([*([] if self.name is None else [self.name]), *told, *self.names]))


class Quantity(Shortened):
    """How many pieces a purchase is of.

    Args:
        source_field: `from`: the Caspio field, a whole number.
        above_most: what becomes of a row with more pieces than the destination takes: it is held, it becomes several
            purchases, or one of a single piece at the price of all, with the number as the property `units`.
    """

    source_field: FieldName = Field(alias="from")
    above_most: Literal["hold", "split", "property"] = "hold"


class Occurrences(Sync):
    """What syncs of events and of purchases share: a row is something that a person did at a time.

    Args:
        identity: what names the person.
        time: when it happened.
        fields: `properties`: the property → where it comes from, in the order of the file.
        when: a condition in Caspio's SQL: which rows are events. A row that meets it later is one from then on.
        on_update: what a row becomes that was sent and is edited: nothing; an event of its own, one a version; or held.
        when_lost: what becomes of an event whose answer was lost: it is held as unknown until a person settles it, or
            the next run sends it again, perhaps a second time.
        trust: whether a row that was added is sent as its message tells it, or read again; None: from the message where
            nothing but the row itself has to be looked at.
        gate: limits and expectations.
    """

    properties_word: ClassVar[str] = "properties"
    takes_posts: ClassVar[bool] = True
    identity: Identity
    time: FieldMapping
    fields: Mapping[str, FieldMapping] = Field(default_factory=dict, alias="properties")
    when: Annotated[str, Field(min_length=1)] | None = None
    on_update: Literal["ignore", "new_event", "hold"] = "ignore"
    when_lost: Literal["hold", "resend"] = "hold"
    trust: Literal["payload", "row"] | None = None
    gate: EventGate = EventGate()
    on_missing: Literal["keep"] = "keep"

    @model_validator(mode="before")
    @classmethod
    def _when_is_a_condition(cls, given: Any) -> Any:
        """What is read is what is an event; `when` says it of the event, `source.where` of the table."""
        told = [each for each in (_said(given, "when"), _said(given, "lines", "complete", "when")) if each]
        source = _said(given, "source")
        if not told or not isinstance(source, dict) or not isinstance(source.get("where"), str | None):
            return given
        if not all(isinstance(each, str) for each in told):
            return given
        return given | {"source": source | {"where": and_(source.get("where"), *told)}}

    @model_validator(mode="after")
    def _parts_are_values(self) -> Self:
        for name, mapping in self.own_fields().items():
            if mapping.object is not None or mapping.array is not None:
                raise ValueError(f"`{name}` is a single value; use `from`")
            if mapping.on_bad == "skip":
                raise ValueError(f"`{name}` is part of every event and cannot be left out; remove `on_bad`")
            if name in {TIME, PRICE, QUANTITY} and mapping.constant is not None:
                raise ValueError(f"`{name}` differs from row to row; use `from`")
        return self

    @property
    def taxonomy(self) -> tuple[str, ...]:
        """The names that its events may have."""
        raise NotImplementedError

    @property
    def returned_as(self) -> str | None:
        """Name of the event that a purchase of less than nothing becomes; None where it is held."""
        return None

    @property
    def counted_there(self) -> bool:
        """Whether the destination tells of a person how many of these there are."""
        return True

    @property
    def known_again_seconds(self) -> float | None:
        """How long the destination knows again what is sent once more; None where it takes it for another one."""
        return None

    @property
    def order_lines(self) -> Lines | None:
        """Where the lines of an order are that an event is made of; None where a row is all there is."""
        return None

    def constants(self) -> dict[str, str | int]:
        """Parts of the event that are the same for all rows, by column of the mapped frame."""
        return {}

    @property
    def own_parts(self) -> frozenset[str]:
        """Columns of the mapped frame that are parts of the event itself, and none of its properties."""
        return frozenset({*self.constants(), *self.own_fields()})

    @property
    def happenings(self) -> dict[str, str]:
        """What it makes, by a name of its own, and how a person calls it."""
        raise NotImplementedError

    @property
    def key_place(self) -> Location:
        """As `Sync.key_place`."""
        return ("identity", self.identity.kind)

    @property
    def people(self) -> Identity:
        """As `Sync.people`."""
        return self.identity

    @property
    def present_where(self) -> None:
        """As `Sync.present_where`: what happened has happened, whatever becomes of its row."""
        return

    @property
    def one_row_a_key(self) -> bool:
        """As `Sync.one_row_a_key`: a person does many things."""
        return False

    @property
    def grows(self) -> bool:
        """As `Sync.grows`: not where a row may become an event, or another one, after it was written."""
        at_once = self.when is None and (self.order_lines is None or self.order_lines.complete.when is None)
        return self.source.cursor is None and self.on_update == "ignore" and at_once

    @property
    def tables_beside(self) -> tuple[str, ...]:
        """As `Sync.tables_beside`: a line that comes, or changes, is a matter of its order."""
        return () if self.order_lines is None else (self.order_lines.table,)

    @property
    def trusts_payload(self) -> bool:
        """As `Sync.trusts_payload`: versions only where the file says so: two spellings of a cell are two."""
        wanted = "row" if self.compares_versions or any(self._read_besides()) else "payload"
        return (self.trust or wanted) == "payload"

    @property
    def compares_versions(self) -> bool:
        """As `Sync.compares_versions`."""
        return self.on_update != "ignore"

    def _read_besides(self) -> Iterator[str]:
        """What says that a row has to be read, whatever its message tells, for people."""
        if self.source.posts is not None:
            yield "no webhook of Caspio announces a post"
        if self.source.where is not None:
            yield "only Caspio can judge a condition (`source.where`, `when`, `lines.complete.when`)"
        if self.order_lines is not None:
            yield "the lines of an order are read in any case"

    @property
    def consent(self) -> Consent:
        """Events have none."""
        return Consent()

    @property
    def erasure(self) -> None:
        """Whom to erase, a profile sync says; nothing of an erased person is sent here either."""
        return

    def claims(self) -> dict[Claim, str]:
        """As `Sync.claims`: its events, of the rows of its table: two syncs would send each of them twice.

        Events that purchases of less than nothing become are events as well: both kinds claim in one place.
        """
        place = ("events", self.destination, self.source.name.lower())
        return {(*place, name): f"{said} of the rows of {self.source.name}" for name, said in self.happenings.items()}

    def without(self, names: Collection[str]) -> Self:  # noqa: ARG002
        """As `Sync.without`: an event is sent as a whole."""
        return self

    def roles(self) -> dict[str, str]:
        """As `Sync.roles`."""
        own = {str(each.source_field): name for name, each in self.own_fields().items() if each.source_field}
        return own | self._sent("person")

    def own_fields(self) -> dict[str, FieldMapping]:
        """What an event is besides its properties, by column of the mapped frame."""
        return {TIME: self.time}

    def needed_fields(self) -> Iterator[tuple[str, str]]:
        """As `Sync.needed_fields`: all of them, for what was sent without one is never sent again with it."""
        region = self.identity.region
        if region is not None and region.source_field is not None:
            yield region.source_field, "the country of the key (identity.region)"
        for name, mapping in {**self.own_fields(), **self.fields}.items():
            yield from ((field, f"part of every event ({name})") for field in read_by(mapping))

    def only(self, field: str) -> Self:
        """As `Sync.only`."""
        return self.model_copy(update={"fields": {field: self.fields[field]}})

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """As `Sync.contradictions`."""
        if self.identity.on_new == "identify_by_email":
            text = "gives ids to profiles, which is a profile sync's work; write `create` or `update_only`"
            yield ("identity", "on_new"), f"identify_by_email {text}"
        if self.trust == "payload":
            yield from ((("trust",), f"{why}; write `trust: row`, or leave it out") for why in self._read_besides())
        if self.source.posts is not None and self.on_update != "ignore":
            yield ("on_update",), "a post is never edited; remove it"
        if self.source.posts is not None and self.order_lines is not None:
            yield ("lines",), "lines are read from a table of Caspio, and a post has none there; remove it"

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its properties: what makes keys alone, from the identity's field or from another one."""
        identity = self.identity if field is None else self.identity.of_field(field)
        return self.model_copy(update={"identity": identity, "fields": {}})

    def where(self, *location: str | int) -> str:
        """As `Sync.where`; the file calls its fields properties, and an event's name its event."""
        words = {"fields": self.properties_word, EVENT_NAME: "event", ORDER_KEY: "lines", LINE_COUNT: "lines"}
        return super().where(*(words.get(str(each), each) for each in location[:1]), *location[1:])


class EventSync(Occurrences):
    """A sync of Caspio rows to custom events.

    Args:
        kind: always "events".
        event: what they are called.
        lines: where the lines are of an order that an event is made of.
    """

    kind: Literal["events"]
    event: EventName
    lines: Lines | None = None

    @property
    def order_lines(self) -> Lines | None:
        """As `Occurrences.order_lines`."""
        return self.lines

    @property
    def returned_as(self) -> str | None:
        """As `Occurrences.returned_as`."""
        return None if self.lines is None else self.lines.returned_as

    @property
    def taxonomy(self) -> tuple[str, ...]:
        """As `Occurrences.taxonomy`."""
        returned = () if self.returned_as is None else (self.returned_as,)
        return tuple(dict.fromkeys([*self.event.taxonomy, *returned]))

    def constants(self) -> dict[str, str | int]:
        """As `Occurrences.constants`."""
        return {} if self.event.name is None else {EVENT_NAME: self.event.name}

    @property
    def happenings(self) -> dict[str, str]:
        """As `Occurrences.happenings`."""
        return {name: f"event {name}" for name in self.taxonomy}

    def own_fields(self) -> dict[str, FieldMapping]:
        """As `Occurrences.own_fields`."""
        own: dict[str, Any] = {}
        if self.event.source_field is not None:
            own[EVENT_NAME] = {"from": self.event.source_field, "map": self.event.map, "type": "string"}
        if self.lines is not None:
            own[ORDER_KEY] = {"from": self.lines.key.order}
            if self.lines.complete.count is not None:
                own[LINE_COUNT] = {"from": self.lines.complete.count}
        return {name: FieldMapping.model_validate(each) for name, each in own.items()} | super().own_fields()


class PurchaseSync(Occurrences):
    """A sync of Caspio rows to purchases.

    Args:
        kind: always "purchases".
        product_id: what was bought.
        currency: a code of ISO 4217; `{constant: GBP}` where all rows have one.
        price: of one piece.
        quantity: how many pieces; one without it.
        negative: what a line of a negative price or quantity becomes, such as a return: held, or an event.
    """

    kind: Literal["purchases"]
    product_id: FieldMapping
    currency: FieldMapping
    price: FieldMapping
    quantity: Quantity | None = None
    negative: Literal["hold"] | NegativeEvent = "hold"

    @property
    def returned_as(self) -> str | None:
        """As `Occurrences.returned_as`."""
        return None if isinstance(self.negative, str) else self.negative.event

    @property
    def taxonomy(self) -> tuple[str, ...]:
        """As `Occurrences.taxonomy`."""
        return () if self.returned_as is None else (self.returned_as,)

    def constants(self) -> dict[str, str | int]:
        """As `Occurrences.constants`."""
        return {QUANTITY: 1} if self.quantity is None else {}

    @property
    def happenings(self) -> dict[str, str]:
        """As `Occurrences.happenings`."""
        returned = {} if self.returned_as is None else {self.returned_as: f"event {self.returned_as}"}
        return {"": "purchases"} | returned

    def own_fields(self) -> dict[str, FieldMapping]:
        """As `Occurrences.own_fields`."""
        pieces = {} if self.quantity is None else {"quantity": {"from": self.quantity.source_field}}
        counted = {name: FieldMapping.model_validate(each) for name, each in pieces.items()}
        own = {PRODUCT_ID: self.product_id, CURRENCY: self.currency, PRICE: self.price}
        return own | counted | super().own_fields()


def read_by(mapping: FieldMapping) -> Iterator[str]:
    """The Caspio fields that a mapping reads."""
    if mapping.source_field is not None:
        yield mapping.source_field
    if isinstance(mapping.array, str):
        yield mapping.array
    region = mapping.phone_region
    if region is not None and region.source_field is not None:
        yield region.source_field
    inside = [*(mapping.object or {}).values(), *(mapping.array if isinstance(mapping.array, tuple) else ())]
    for each in inside:
        yield from read_by(each)


def _said(given: Any, *place: str) -> Any:
    """What a file that nobody has checked yet says at a place; None where there is nothing."""
    for each in place:
        given = given.get(each) if isinstance(given, dict) else None
    return given
