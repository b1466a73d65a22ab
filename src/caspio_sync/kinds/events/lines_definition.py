"""`lines:` of a sync of events: the table that holds an order's lines, and when they are all there."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from caspio_sync.mapping.field import FieldMapping, FieldName, Shortened, Strict
from caspio_sync.spans import seconds_of, span

Name = Annotated[str, Field(min_length=1, max_length=255)]
PATIENCE_SECONDS = 600.0  # an order that is not complete by then is held, and named


class NegativeEvent(Strict):
    """What a line of less than nothing becomes.

    Args:
        event: name of the event that it is sent as, with its product, price and quantity among the properties.
    """

    event: Name


class LineKey(Shortened):
    """What says of which order a line is; may be written as the bare name of a field of both tables.

    Args:
        order: the order's field.
        line: the line's field; by default it has the same name.
    """

    short = ("order", "a field of both tables")
    order: FieldName
    line: FieldName | None = None

    @property
    def of_line(self) -> str:
        """The line's field."""
        return self.line or self.order


class Complete(Strict):
    """How it is known that all lines of an order are there; exactly one of the three.

    Args:
        count: the order's field that tells how many there are.
        when: a condition in Caspio's SQL on the order, which it meets once they are; before, it is no event.
        quiet: they were the same in two looks so far apart, such as 60s.
    """

    count: FieldName | None = None
    when: Annotated[str, Field(min_length=1)] | None = None
    quiet: Annotated[str, AfterValidator(span)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(each is not None for each in (self.count, self.when, self.quiet)) != 1:
            raise ValueError("needs exactly one of `count`, `when` and `quiet`")
        return self

    @property
    def patience(self) -> float:
        """Seconds after which an order that stayed as it was is looked at as it is."""
        return seconds_of(self.quiet) or PATIENCE_SECONDS


class Lines(Strict):
    """Where an order's products are.

    Args:
        table: of the lines, one a product.
        key: of which order a line is.
        complete: when they are all there.
        products: the part of a product → where it comes from in a line: product_id, product_name, variant_id, quantity,
            price, and what else the destination knows of one.
        where: a condition in Caspio's SQL: which lines are products.
        negative: what lines of a negative quantity become: their order is held, or an event of its own tells of them.
    """

    table: FieldName
    key: LineKey
    complete: Complete
    products: Mapping[str, FieldMapping]
    where: Annotated[str, Field(min_length=1)] | None = None
    negative: Literal["hold"] | NegativeEvent = "hold"

    @property
    def returned_as(self) -> str | None:
        """Name of the event that lines of less than nothing become; None where their order is held."""
        return None if isinstance(self.negative, str) else self.negative.event
