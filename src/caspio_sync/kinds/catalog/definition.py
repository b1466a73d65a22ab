"""The definition of a catalog sync: what `syncs/<name>.yaml` of `kind: catalog` may say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints

from caspio_sync.mapping.consent import Consent
from caspio_sync.mapping.definition import Claim, Gate, Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.field import FieldMapping, FieldName, Shortened, Strict
from caspio_sync.schemas import CatalogType

NAME_CHARS = 250  # of catalogs, fields and item ids; descriptions alike (Braze, 9.1)
CatalogName = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{NAME_CHARS}}}$")]
IdTransform = Literal["strict", "slug"]


class Geo(Strict):
    """A place: two Caspio fields with degrees."""

    longitude: FieldName
    latitude: FieldName


class CatalogField(FieldMapping):
    """Where a catalog field's value comes from, and how.

    Args:
        type: the catalog's type of the field; by default what Caspio declares.
        geo: the fields with the degrees of a place; half a place is none.
        object: keys and the mapping of each value.
        array: a Caspio list field, or a list of mappings; items are text.
        on_null: an emptied cell empties the field.
    """

    # Catalogs know other types than attributes, inside objects and arrays too.
    type: CatalogType | None = None  # type: ignore[assignment]
    geo: Geo | None = None
    object: dict[str, "CatalogField"] | None = None  # type: ignore[assignment]
    array: "FieldName | tuple[CatalogField, ...] | None" = None
    on_null: Literal["clear"] = "clear"

    def _origins(self) -> dict[str, Any]:
        return super()._origins() | {"geo": self.geo}


class ItemId(Shortened):
    """What names an item.

    Args:
        source_field: `from`: the Caspio field.
        id_transform: "strict" takes the id as it is, and holds a row whose id would be refused; "slug" makes one that
            is taken: marks off the letters, small letters, every run of other signs one hyphen.
    """

    source_field: FieldName = Field(alias="from")
    id_transform: IdTransform = "strict"


class Catalog(Strict):
    """The catalog that the items are of.

    Args:
        name: at most 250 letters, digits, hyphens and underscores.
        description: at most 250 characters.
        on_extra_field: what becomes of fields that the catalog has and the mapping lacks: they are kept, or deleted.
    """

    name: CatalogName
    description: str = Field(default="", max_length=NAME_CHARS)
    on_extra_field: Literal["keep", "delete"] = "keep"


class CatalogGate(Gate):
    """When items are held, besides what holds for every kind of sync.

    Args:
        price: the field with the price; by default the one called `price`, where there is one.
        currency: the field with its currency; by default the one called `currency`.
        max_price_factor: a price that grows or falls by more than this factor is held until a person has looked.
        min_share_of_last: fewer rows than this share of the last whole read block the run.
        max_deleted_share: more vanished items than this share are deleted only with --allow-deletes.
    """

    price: str | None = None
    currency: str | None = None
    max_price_factor: float = Field(default=5.0, gt=1)
    min_share_of_last: float = Field(default=0.5, ge=0, le=1)
    max_deleted_share: float = Field(default=0.2, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class ItemIdentity:
    """The `Named` of catalog items.

    Args:
        source_field: the Caspio field.
        id_transform: as in `ItemId`.
        label: the catalog: an item of another one is another item.
    """

    source_field: str
    id_transform: IdTransform
    label: str
    kind: Literal["item_id"] = "item_id"
    on_new: Literal["create"] = "create"


class CatalogSync(Sync):
    """A sync of Caspio rows to the items of a catalog.

    Args:
        kind: always "catalog".
        catalog: the catalog.
        item_id: what names an item.
        fields: catalog field → where it comes from, in the order of the file.
        gate: limits and expectations.
        on_missing: what becomes of items whose row is gone: they are deleted, or kept.
    """

    kind: Literal["catalog"]
    catalog: Catalog
    item_id: ItemId
    fields: Mapping[str, CatalogField] = Field(min_length=1)
    gate: CatalogGate = CatalogGate()
    on_missing: Literal["delete", "keep"] = "delete"

    @property
    def identity(self) -> ItemIdentity:
        """What names the rows there."""
        return ItemIdentity(self.item_id.source_field, self.item_id.id_transform, self.catalog.name)

    @property
    def key_place(self) -> Location:
        """As `Sync.key_place`."""
        return ("item_id",)

    @property
    def present_where(self) -> str | None:
        """As `Sync.present_where`: the item of a row that the condition leaves out is deleted, and its id is free."""
        return self.source.where

    def claims(self) -> dict[Claim, str]:
        """As `Sync.claims`: the catalog; names that differ only by case are one."""
        return {("catalog", self.destination, self.catalog.name.lower()): f"catalog {self.catalog.name}"}

    def without(self, names: Collection[str]) -> Self:  # noqa: ARG002
        """As `Sync.without`: a catalog is written as a whole."""
        return self

    def roles(self) -> dict[str, str]:
        """As `Sync.roles`."""
        return self._sent("item")

    @property
    def consent(self) -> Consent:
        """Items have none."""
        return Consent()

    @property
    def erasure(self) -> None:
        """Items are no persons: nobody asks for theirs to be erased."""
        return

    @property
    def price(self) -> str | None:
        """The field that the gate takes for the price."""
        return self._judged("price")

    @property
    def currency(self) -> str | None:
        """The field that the gate takes for the price's currency."""
        return self._judged("currency")

    def judged_fields(self) -> Iterator[tuple[str, str]]:
        """As `Sync.judged_fields`."""
        yield from super().judged_fields()
        yield from (
            (name, f"gate.{word}") for word in ("price", "currency") if (name := self._judged(word)) is not None
        )

    def contradictions(self) -> Iterator[tuple[Location, str]]:
        """As `Sync.contradictions`."""
        for word in ("price", "currency"):
            name = getattr(self.gate, word)
            if name is not None and name not in self.fields:
                yield ("gate", word), f"names '{name}', which is not mapped; name one of {', '.join(self.fields)}"

    def of_keys(self, field: str | None = None) -> Self:
        """The sync without its fields: what makes ids alone, from the id's field or from another one."""
        item_id = self.item_id if field is None else self.item_id.model_copy(update={"source_field": field})
        return self.model_copy(update={"item_id": item_id, "fields": {}, "gate": CatalogGate()})

    def _judged(self, word: Literal["price", "currency"]) -> str | None:
        named: str | None = getattr(self.gate, word)
        return named or (word if word in self.fields else None)
