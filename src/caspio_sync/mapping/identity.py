"""What names a person at a destination, as the sync file says it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from caspio_sync.mapping.alias import Alias
from caspio_sync.mapping.field import FieldName, PhoneRegion, Strict


def _region(given: Any) -> Any:
    return {"region": given} if isinstance(given, str) else given


_REGION_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"from": {"type": "string"}}}]}


class Identity(Strict):
    """What names a profile: exactly one identifier.

    Args:
        external_id: the Caspio field with the id.
        user_alias: a field and a fixed label.
        email: the field with the address.
        phone: the field with the number; `region` says how numbers without a country code are read.
        region: a region code, or `{from: Field}`; only with `phone`.
        on_new: "create" makes profiles that are not known there, "update_only" leaves them; "identify_by_email" gives
            the external id to the profile that is known by the row's address alone, and makes one where there is none.
    """

    external_id: FieldName | None = None
    user_alias: Alias | None = None
    email: FieldName | None = None
    phone: FieldName | None = None
    region: Annotated[PhoneRegion | None, BeforeValidator(_region), WithJsonSchema(_REGION_SCHEMA)] = None
    on_new: Literal["create", "identify_by_email", "update_only"] = "create"

    @model_validator(mode="after")
    def _one_identifier(self) -> Self:
        if sum(one is not None for one in (self.external_id, self.user_alias, self.email, self.phone)) != 1:
            raise ValueError("needs exactly one of `external_id`, `user_alias`, `email` and `phone`")
        if self.region is not None and self.phone is None:
            raise ValueError("`region` says how phone numbers are read; it needs `phone`")
        return self

    @property
    def kind(self) -> Literal["external_id", "user_alias", "email", "phone"]:
        """Name of the identifier."""
        if self.external_id is not None:
            return "external_id"
        if self.user_alias is not None:
            return "user_alias"
        return "email" if self.email is not None else "phone"

    @property
    def source_field(self) -> str:
        """The Caspio field that holds the key."""
        return self.external_id or (self.user_alias.name if self.user_alias else None) or self.email or self.phone or ""

    @property
    def label(self) -> str | None:
        """The alias label; None for the other kinds."""
        return self.user_alias.label if self.user_alias else None

    def of_field(self, field: str) -> Self:
        """The same identifier, read from another field."""
        # A region read from a field of the source is in no other table: numbers there carry their country.
        at = {"user_alias": Alias(name=field, label=self.label or "")} if self.user_alias else {}
        region = self.region.model_copy(update={"source_field": None}) if self.region else None
        return self.model_copy(update={self.kind: field, "region": region, **at})
