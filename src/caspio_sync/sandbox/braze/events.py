"""What `/users/track` refuses in event and purchase objects (reference, sections 3.6, 3.7, 3.10)."""

import re
from functools import cache
from typing import Any

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import NOT_AN_OBJECT, IdentityChecks, id_text
from caspio_sync.sandbox.braze.dates import parse_instant

EVENT_PROPERTIES_BYTES = 102_400
PURCHASE_PROPERTIES_BYTES = 51_200
NAME_CHARS = 255
BAD_PROPERTIES = "Invalid 'properties' field"
BAD_CURRENCY = "'currency' must be an ISO 4217 currency"

_EVENT_RESERVED = frozenset({"time", "event_name"})
_PURCHASE_RESERVED = frozenset({"time", "product_id", "quantity", "event_name", "price", "currency"})
_ALWAYS = frozenset({"currency", "source"})
_PRICED = frozenset({"products", "total_value"})
_DISCOUNTS = frozenset({"total_discounts", "discounts", "metadata"})
# Of each recommended event: the properties it must have, and those it may have besides; another one has it dropped.
_ECOMMERCE: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "ecommerce.product_viewed": (
        _ALWAYS | {"product_id", "product_name", "variant_id", "price"},
        frozenset({"image_url", "product_url", "metadata"}),
    ),
    "ecommerce.cart_updated": (_ALWAYS | {"cart_id", "products"}, frozenset({"total_value", "action", "metadata"})),
    "ecommerce.checkout_started": (_ALWAYS | _PRICED | {"checkout_id"}, frozenset({"cart_id", "metadata"})),
    "ecommerce.order_placed": (_ALWAYS | _PRICED | {"order_id"}, _DISCOUNTS | {"cart_id"}),
    "ecommerce.order_cancelled": (_ALWAYS | _PRICED | {"order_id", "cancel_reason"}, _DISCOUNTS),
    "ecommerce.order_refunded": (_ALWAYS | _PRICED | {"order_id"}, _DISCOUNTS),
}
_TEXTS = frozenset(
    {
        "product_id",
        "product_name",
        "variant_id",
        "cart_id",
        "checkout_id",
        "order_id",
        "cancel_reason",
        "source",
        "action",
    }
)
_MONEY = frozenset({"price", "total_value", "total_discounts"})
_PRODUCT = frozenset({"product_id", "product_name", "variant_id", "quantity", "price"})
_OF_A_PRODUCT = _PRODUCT | {"image_url", "product_url", "metadata"}
_CODE = re.compile("[A-Z]{3}")


@cache
def currencies() -> frozenset[str]:
    """The ISO 4217 codes."""
    import pycountry  # noqa: PLC0415 - 20 ms that a workspace without purchases never pays

    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


def is_ecommerce(name: str) -> bool:
    """Whether an event is one of the six recommended ones, which consume no data points."""
    return name in _ECOMMERCE


class EventChecks:
    """The checks of event and purchase objects; answers None or the `type` of the error entry."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._identity = IdentityChecks(behaviour)

    def event_problem(self, item: object) -> str | None:
        """Name and time are required; the recommended events follow their schema."""
        if type(item) is not dict:
            return NOT_AN_OBJECT
        name = item.get("name")
        if type(name) is not str or not name:
            return "'name' must be a non-empty string"
        problem = self._identity.problem(item) or _time_problem(item)
        if problem is not None:
            return problem
        properties = item.get("properties")
        if name in _ECOMMERCE:
            return _ecommerce_problem(name, properties)
        return _properties_problem(properties, _EVENT_RESERVED, EVENT_PROPERTIES_BYTES)

    def purchase_problem(self, item: object) -> str | None:
        """Product, currency, price and time are required; at most 100 pieces."""
        if type(item) is not dict:
            return NOT_AN_OBJECT
        product = id_text(item.get("product_id"), self._behaviour)
        if type(product) is not str or not 0 < len(product) <= NAME_CHARS:
            return "'product_id' must be a non-empty string of at most 255 characters"
        currency = item.get("currency")
        if type(currency) is not str or not _CODE.fullmatch(currency) or currency not in currencies():
            return BAD_CURRENCY
        if not _is_number(item.get("price")):
            return "'price' must be a number"
        quantity = item.get("quantity", 1)
        if type(quantity) is not int or not 1 <= quantity <= 100:
            return "'quantity' must be an integer from 1 to 100"
        return (
            self._identity.problem(item)
            or _time_problem(item)
            or _properties_problem(item.get("properties"), _PURCHASE_RESERVED, PURCHASE_PROPERTIES_BYTES)
        )


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _time_problem(item: dict[str, Any]) -> str | None:
    time = item.get("time")
    if type(time) is not str or parse_instant(time) is None:
        return "'time' must be a date and time"
    return None


def _properties_problem(properties: object, reserved: frozenset[str], limit: int) -> str | None:
    if properties is None:
        return None
    if type(properties) is not dict or not reserved.isdisjoint(properties):
        return BAD_PROPERTIES
    for name, value in properties.items():
        if not 0 < len(name) <= NAME_CHARS or name.startswith("$"):
            return BAD_PROPERTIES
        if type(value) is str and len(value) > NAME_CHARS:
            return BAD_PROPERTIES
    return BAD_PROPERTIES if len(orjson.dumps(properties)) > limit else None


def _ecommerce_problem(name: str, properties: object) -> str | None:
    required, optional = _ECOMMERCE[name]
    if type(properties) is not dict or not required <= properties.keys() <= required | optional:
        return BAD_PROPERTIES
    if (
        name == "ecommerce.cart_updated"
        and properties.get("action") not in {"add", "remove"}
        and "total_value" not in properties
    ):
        return BAD_PROPERTIES
    currency = properties["currency"]
    if type(currency) is not str or currency not in currencies():
        return BAD_CURRENCY
    if not _are_typed(properties) or len(orjson.dumps(properties)) > EVENT_PROPERTIES_BYTES:
        return BAD_PROPERTIES
    return _products_problem(properties["products"]) if "products" in required else None


def _are_typed(parts: dict[str, Any]) -> bool:
    """Whether names are text, amounts are money, and metadata is an object."""
    return (
        all(_is_name(parts[name]) for name in _TEXTS & parts.keys())
        and all(_is_money(parts[name]) for name in _MONEY & parts.keys())
        and type(parts.get("metadata", {})) is dict
    )


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= NAME_CHARS


def _is_money(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _products_problem(products: object) -> str | None:
    if type(products) is not list or not products:
        return BAD_PROPERTIES
    for product in products:
        sound = (
            type(product) is dict
            and _PRODUCT <= product.keys() <= _OF_A_PRODUCT
            and type(product["quantity"]) is int
            and product["quantity"] > 0
            and _are_typed(product)
        )
        if not sound:
            return BAD_PROPERTIES
    return None
