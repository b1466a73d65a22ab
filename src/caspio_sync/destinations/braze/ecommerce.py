"""Braze's recommended eCommerce events: six names, each with a schema of its own (Braze, 3.10).

Braze drops an event that is not as its schema says, one property too many included; what else is to be told goes under
`metadata`. They consume no data points.
"""

from collections.abc import Mapping
from types import MappingProxyType

from caspio_sync.mapping.event_schema import ARRAY, OBJECT, EventSchema

PREFIX = "ecommerce."
_PRODUCT_PARTS = {
    "product_id": "product_id",
    "product_name": "text",
    "variant_id": "product_id",
    "quantity": "integer",
    "price": "number",
    "image_url": "text",
    "product_url": "text",
    "metadata": OBJECT,
}
_PRODUCT = EventSchema(
    MappingProxyType(_PRODUCT_PARTS), frozenset({"product_id", "product_name", "variant_id", "quantity", "price"})
)
_ALWAYS = {"currency": "text", "source": "text", "metadata": OBJECT}
_TOTAL = {"total_value": "number"}
_DISCOUNTS = {"total_discounts": "number", "discounts": ARRAY}


def _of_products(required: str, optional: Mapping[str, str], *, words: Mapping[str, str]) -> EventSchema:
    """An event about products; `required` and its like are identifiers, `words` plain text that there must be."""
    parts = {**dict.fromkeys(required.split(), "product_id"), **words, **_ALWAYS, **_TOTAL, **optional}
    needed = {*required.split(), *words, "currency", "source", "total_value"}
    return EventSchema(MappingProxyType(parts), frozenset(needed), _PRODUCT, "total_value")


_VIEWED = {name: meaning for name, meaning in _PRODUCT_PARTS.items() if name != "quantity"}
_CART = {"cart_id": "product_id"}
ECOMMERCE: Mapping[str, EventSchema] = MappingProxyType(
    {
        "ecommerce.product_viewed": EventSchema(
            MappingProxyType({**_VIEWED, **_ALWAYS}),
            frozenset({"product_id", "product_name", "variant_id", "price", "currency", "source"}),
        ),
        # Its total may be left out beside `action: add` or `remove`; here the lines tell it.
        "ecommerce.cart_updated": _of_products("cart_id", {"action": "text"}, words={}),
        "ecommerce.checkout_started": _of_products("checkout_id", _CART, words={}),
        "ecommerce.order_placed": _of_products("order_id", {**_CART, **_DISCOUNTS}, words={}),
        "ecommerce.order_cancelled": _of_products("order_id", _DISCOUNTS, words={"cancel_reason": "text"}),
        "ecommerce.order_refunded": _of_products("order_id", _DISCOUNTS, words={}),
    }
)
