"""The definition of a sync of `kind: deals`: what its file may say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from caspio_sync.mapping.consent import Consent
from caspio_sync.mapping.definition import Claim, Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping, FieldName

CONTACT, TITLE, VALUE, CURRENCY = "contact", "title", "value", "currency"
PIPELINE, STAGE, OWNER, STATUS, DESCRIPTION = "pipeline", "stage", "deal_owner", "status", "description"
STATES = ("open", "won", "lost")
OWN = (CONTACT, TITLE, VALUE, CURRENCY, PIPELINE, STAGE, OWNER, STATUS, DESCRIPTION)


@dataclass(frozen=True, slots=True)
class DealIdentity:
    """The `Named` of deals.

    Args:
        source_field: the Caspio field.
    """

    source_field: str
    kind: Literal["deal"] = "deal"
    label: None = None
    on_new: Literal["create"] = "create"


class DealSync(Sync):
    """A sync of Caspio rows to deals.

    Args:
        kind: always "deals".
        deal: the field that names a deal, such as an order number: by it a deal is found again, and never made twice.
        contact: whose deal it is: an address. People are made by a profile sync, not here.
        title: what it is called.
        value: what it is worth, in units of its currency, such as 12.99.
        currency: a code of ISO 4217; `{constant: GBP}` where all rows have one.
        pipeline: its pipeline, by its title there.
        stage: its stage, by its title there; without it a new deal begins at the pipeline's first.
        deal_owner: id of the user whose deal it is; without it the pipeline has to assign one.
        status: "open", "won" or "lost"; without it a new deal is open.
        description: text that is kept with it.
        fields: the destination's own fields of deals, by their labels.
        on_missing: what becomes of deals whose row is gone: they are kept.
    """

    kind: Literal["deals"]
    deal: FieldName
    contact: FieldMapping
    title: FieldMapping
    value: FieldMapping
    currency: FieldMapping
    pipeline: FieldMapping
    stage: FieldMapping | None = None
    deal_owner: FieldMapping | None = None
    status: FieldMapping | None = None
    description: FieldMapping | None = None
    fields: Mapping[str, FieldMapping] = Field(default_factory=dict)
    on_missing: Literal["keep"] = "keep"

    @model_validator(mode="after")
    def _parts_are_values(self) -> Self:
        for name, mapping in self.own_fields().items():
            if mapping.object is not None or mapping.array is not None:
                raise ValueError(f"`{name}` is a single value; use `from`")
            if mapping.on_bad == "skip":
                raise ValueError(f"`{name}` is part of the deal and cannot be left out; remove `on_bad`")
            if mapping.on_null == "clear" and name != DESCRIPTION:
                raise ValueError(f"a deal always has its `{name}`, which cannot be emptied; remove `on_null`")
        if self.contact.constant is not None:
            raise ValueError("`contact` differs from row to row; use `from`")
        return self

    @property
    def identity(self) -> DealIdentity:
        """What names the rows there."""
        return DealIdentity(self.deal)

    @property
    def key_place(self) -> Location:
        """As `Sync.key_place`."""
        return ("deal",)

    @property
    def present_where(self) -> None:
        """As `Sync.present_where`: a deal stays whose row the condition leaves out."""
        return

    @property
    def consent(self) -> Consent:
        """Deals have none."""
        return Consent()

    @property
    def erasure(self) -> None:
        """Whom to erase, a profile sync says; the deals of an erased person go with the person."""
        return

    def own_fields(self) -> dict[str, FieldMapping]:
        """What a deal is besides the destination's own fields, by column of the mapped frame."""
        named = {name: getattr(self, name) for name in OWN}
        return {name: mapping for name, mapping in named.items() if mapping is not None}

    def claims(self) -> dict[Claim, str]:
        """As `Sync.claims`: the deals of the rows of its table: two syncs would make each of them twice."""
        name = self.source.name
        return {("deals", self.destination, name.lower()): f"deals of the rows of {name}"}

    def without(self, names: Collection[str]) -> Self:  # noqa: ARG002
        """As `Sync.without`: a deal is made as a whole."""
        return self

    def roles(self) -> dict[str, str]:
        """As `Sync.roles`."""
        own = {str(each.source_field): name for name, each in self.own_fields().items() if each.source_field}
        return own | self._sent("deal")

    def needed_fields(self) -> Iterator[tuple[str, str]]:
        """As `Sync.needed_fields`: a deal without one of them cannot be made."""
        for name, mapping in self.own_fields().items():
            if mapping.source_field is not None:
                yield mapping.source_field, f"part of every deal ({name})"

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its fields: what makes keys alone, from the key's field or from another one."""
        left = {name: None for name in OWN if type(self).model_fields[name].default is None}
        return self.model_copy(update={"deal": field or self.deal, "fields": {}, **left})

    def where(self, *location: str | int) -> str:
        """As `Sync.where`; a part of the deal stands by itself in the file."""
        own = len(location) > 1 and location[0] == "fields" and location[1] in OWN
        return super().where(*(location[1:] if own else location))
