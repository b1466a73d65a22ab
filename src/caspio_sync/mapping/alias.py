"""A user alias, by which a sync file may name people."""

from typing import Self

from pydantic import Field, model_validator

from caspio_sync.mapping.field import FieldName, Strict

ALIAS_BYTES = 236


class Alias(Strict):
    """A user alias as identity: `name` is the Caspio field, `label` the fixed label (≤ 236 bytes)."""

    name: FieldName
    label: str = Field(min_length=1)

    @model_validator(mode="after")
    def _label_fits(self) -> Self:
        if len(self.label.encode()) > ALIAS_BYTES:
            raise ValueError(f"the label is over {ALIAS_BYTES} bytes; shorten it")
        return self
