"""Consent in a sync file: global subscription states and subscription groups, and where each comes from."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from caspio_sync.mapping.field import AsTuple, FieldName, Shortened, Strict, folded
from caspio_sync.schemas import Channel

GlobalState = Literal["opted_in", "subscribed", "unsubscribed"]
GroupState = Literal["subscribed", "unsubscribed"]
GROUP_PREFIX = "subscription_groups."
LIST_PREFIX = "lists."


def is_consent(column: str) -> bool:
    """Whether a column of the mapped frame holds a consent state; no attribute may bear such a name."""
    return column in {"email_subscribe", "push_subscribe"} or column.startswith((GROUP_PREFIX, LIST_PREFIX))


def group_id(text: str) -> str:
    """A subscription group's id, as a UUID is usually written.

    Raises:
        ValueError: it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        text = "is no subscription group id; copy the id (a UUID) from the destination's page Subscription Groups"
        raise ValueError(text) from None


class ConsentMapping(Shortened):
    """A global subscription state.

    Args:
        source_field: `from`: a Yes/No or text field.
        map: the field's words and the states they stand for; null stands for unknown. Yes/No fields need none.
    """

    source_field: FieldName = Field(alias="from")
    map: Annotated[dict[str, GlobalState | None], BeforeValidator(folded)] | None = None


class SubscriptionGroup(Strict):
    """A subscription group and the field with its state."""

    id: Annotated[str, AfterValidator(group_id)]
    channel: Channel
    source_field: FieldName = Field(alias="from")
    map: Annotated[dict[str, GroupState | None], BeforeValidator(folded)] | None = None

    @property
    def column(self) -> str:
        """Name of its column in the mapped frame."""
        return f"{GROUP_PREFIX}{self.id}"


class ListState(Shortened):
    """The state of a person on one list, and the field that tells it.

    Args:
        source_field: `from`: a Yes/No or text field.
        map: the field's words and the states they stand for; null stands for unknown. Yes/No fields need none.
        required: whether a row without a state is kept back.
    """

    source_field: FieldName = Field(alias="from")
    map: Annotated[dict[str, GroupState | None], BeforeValidator(folded)] | None = None
    required: bool = False


class Consent(Strict):
    """Subscription states, and which of them must be known before a row may leave."""

    email_subscribe: ConsentMapping | None = None
    push_subscribe: ConsentMapping | None = None
    subscription_groups: Annotated[tuple[SubscriptionGroup, ...], AsTuple] = ()
    require: Annotated[tuple[str, ...], AsTuple] = ()

    @property
    def columns(self) -> dict[str, ConsentMapping | SubscriptionGroup]:
        """Columns of the mapped frame and where each state comes from."""
        states = {"email_subscribe": self.email_subscribe, "push_subscribe": self.push_subscribe}
        return {name: state for name, state in states.items() if state is not None} | {
            group.column: group for group in self.subscription_groups
        }

    @property
    def required(self) -> tuple[str, ...]:
        """The columns of `require`; a group may be named by its id alone."""
        return tuple(name if name in self.columns else f"{GROUP_PREFIX}{name}" for name in self.require)

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        if len({group.id for group in self.subscription_groups}) < len(self.subscription_groups):
            raise ValueError("a subscription group stands twice; keep one")
        for name in self.required:
            if name not in self.columns:
                raise ValueError(
                    f"`require` names '{name}', which is not mapped here; there are: {', '.join(self.columns)}"
                )
        return self
