"""The `erasure:` section of a sync file: who is to be forgotten."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from caspio_sync.caspio.query import condition
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.field import FieldName, Strict


def _condition(text: str) -> str:
    try:
        return condition(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


class Erasure(Strict):
    """Whose profiles are deleted and never made again (GDPR, CCPA): a table of requests, or a condition.

    Args:
        table: a table that lists the keys.
        key: the field of that table that holds the key.
        where: a condition in Caspio's SQL: on that table, or without one on the sync's own source; `source.where` does
            not limit it.
        max_keys: a run that would erase more people than these at once stops before it erases any.
    """

    table: FieldName | None = None
    key: FieldName | None = None
    where: Annotated[str, Field(min_length=1), AfterValidator(_condition)] | None = None
    max_keys: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.table is None and self.where is None:
            raise ValueError("names nobody; write `table:` and `key:`, or `where:` with a condition on the source")
        if self.table is not None and self.key is None:
            raise ValueError("does not say which field of the table holds the key; add `key:`")
        if self.table is None and self.key is not None:
            raise ValueError("`key` is a field of `table:`; a condition on the sync's own source needs none, remove it")
        return self
