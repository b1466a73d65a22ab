"""Events, purchases and data points of the Braze emulator, against sections 3.6 to 3.10 and 15 of the reference."""

from typing import Any

import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP
from tests.contract.conftest import a_user, a_workspace, call, track


def group() -> list[dict[str, Any]]:
    return [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed"}]


# Sections 3.6, 3.7 and 3.10: events and purchases.


def an_event(**fields: Any) -> dict[str, Any]:
    return {"external_id": "c-1", "name": "visited", "time": "2025-12-31T10:00:00Z"} | fields


def a_purchase(**fields: Any) -> dict[str, Any]:
    return {
        "external_id": "c-1",
        "product_id": "p",
        "currency": "EUR",
        "price": 9.5,
        "time": "2025-12-31T10:00:00Z",
    } | fields


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": None},
        {"time": None},
        {"time": "yesterday"},
        {"properties": {"time": 1}},
        {"properties": {"event_name": 1}},
        {"properties": {"$x": 1}},
        {"properties": {"x": "y" * 256}},
        {"properties": {"x": [0] * 60_000}},
        {"name": "ecommerce.order_placed", "properties": {"order_id": "1"}},
    ],
)
def test_unsound_event_is_rejected(fields: dict[str, Any]) -> None:
    answer = track(a_workspace(), events=[an_event(**fields), an_event()]).json()
    assert answer["events_processed"] == 1
    assert (answer["errors"][0]["input_array"], answer["errors"][0]["index"]) == ("events", 0)


AN_ORDER: dict[str, Any] = {
    "order_id": "o-1",
    "total_value": 7.5,
    "currency": "EUR",
    "source": "shop",
    "products": [{"product_id": "p", "product_name": "Cup", "variant_id": "p-1", "quantity": 3, "price": 2.5}],
}


def an_order(**more: Any) -> dict[str, Any]:
    properties = {name: value for name, value in {**AN_ORDER, **more}.items() if value is not None}
    return an_event(name="ecommerce.order_placed", properties=properties)


def a_product(**more: Any) -> list[dict[str, Any]]:
    product = {**AN_ORDER["products"][0], **more}
    return [{name: value for name, value in product.items() if value is not None}]


@pytest.mark.parametrize(
    "more", [{}, {"metadata": {"store": 4}}, {"cart_id": "k"}, {"total_discounts": 1, "discounts": []}]
)
def test_an_order_is_taken_and_costs_nothing(more: dict[str, Any]) -> None:
    sandbox = a_workspace()
    answer = track(sandbox, events=[an_order(**more)]).json()
    assert (answer["events_processed"], "errors" in answer, sandbox.data_points) == (1, False, 0)


@pytest.mark.parametrize(
    "more",
    [
        *({name: None} for name in AN_ORDER),
        {"store": 4},
        {"cancel_reason": "late"},
        {"order_id": 7},
        {"order_id": ""},
        {"total_value": -1},
        {"total_value": "7.5"},
        {"currency": "euro"},
        {"currency": 1},
        {"source": 3},
        {"metadata": "x"},
        {"products": []},
        {"products": {}},
        *({"products": a_product(**{name: None})} for name in AN_ORDER["products"][0]),
        {"products": a_product(quantity=0)},
        {"products": a_product(quantity=-1)},
        {"products": a_product(quantity=1.5)},
        {"products": a_product(price=-1)},
        {"products": a_product(price="2.5")},
        {"products": a_product(product_id=7)},
        {"products": a_product(colour="red")},
        {"products": a_product(metadata=1)},
        {"metadata": {"note": "x" * 103_000}},
    ],
)
def test_an_order_that_is_not_as_its_schema_says_is_dropped(more: dict[str, Any]) -> None:
    answer = track(a_workspace(), events=[an_order(**more)]).json()
    assert answer["events_processed"] == 0
    assert answer["errors"][0]["input_array"] == "events"


@pytest.mark.parametrize(
    ("name", "properties", "taken"),
    [
        ("order_refunded", AN_ORDER, True),
        ("order_refunded", {**AN_ORDER, "cart_id": "k"}, False),
        ("order_cancelled", AN_ORDER, False),
        ("order_cancelled", {**AN_ORDER, "cancel_reason": "late"}, True),
        ("checkout_started", {**AN_ORDER, "checkout_id": "k"}, False),
        ("cart_updated", {"cart_id": "k", "currency": "EUR", "source": "s", "products": AN_ORDER["products"]}, False),
        (
            "cart_updated",
            {"cart_id": "k", "currency": "EUR", "source": "s", "products": AN_ORDER["products"], "action": "add"},
            True,
        ),
        (
            "product_viewed",
            {"product_id": "p", "product_name": "Cup", "variant_id": "v", "price": 2, "currency": "EUR", "source": "s"},
            True,
        ),
        ("Order_placed", {"anything": 1}, True),  # another spelling is an ordinary event
    ],
)
def test_each_recommended_event_has_its_own_schema(name: str, properties: dict[str, Any], *, taken: bool) -> None:
    answer = track(a_workspace(), events=[an_event(name=f"ecommerce.{name}", properties=properties)]).json()
    assert answer["events_processed"] == int(taken)


@pytest.mark.parametrize(
    "fields",
    [
        {"product_id": ""},
        {"price": "9.5"},
        {"quantity": 101},
        {"quantity": 0},
        {"quantity": 1.5},
        {"time": "?"},
        {"properties": {"price": 1}},
    ],
)
def test_unsound_purchase_is_rejected(fields: dict[str, Any]) -> None:
    assert track(a_workspace(), purchases=[a_purchase(**fields)]).json()["purchases_processed"] == 0


@pytest.mark.parametrize("currency", ["eur", "EURO", "XXZ", None])
def test_currency_that_is_not_iso_4217_has_the_documented_text(currency: str | None) -> None:
    errors = track(a_workspace(), purchases=[a_purchase(currency=currency)]).json()["errors"]
    assert errors[0]["type"] == "'currency' must be an ISO 4217 currency"


def test_equal_events_are_not_deduplicated() -> None:
    sandbox = a_workspace()
    for _ in range(2):
        track(sandbox, events=[an_event(), an_event()])
    assert sandbox.profiles()["c-1"]["custom_events"][0]["count"] == 4


def test_future_event_is_dated_now() -> None:
    sandbox = a_workspace()
    track(sandbox, events=[an_event(time="2999-01-01T00:00:00Z")])
    assert sandbox.profiles()["c-1"]["custom_events"][0]["last"] == "2026-01-01T00:00:00.000Z"


def test_quantity_counts_as_that_many_purchases() -> None:
    sandbox = a_workspace()
    track(sandbox, purchases=[a_purchase(quantity=3)])
    profile = sandbox.profiles()["c-1"]
    assert profile["purchases"][0]["count"] == 3
    assert profile["total_revenue"] == 28.5


# Section 15: data points.


@pytest.mark.parametrize(
    ("fields", "points"),
    [
        ({"first_name": "Ada", "spend": 1, "gone": None}, 3),
        ({"email_subscribe": "opted_in", "push_subscribe": "subscribed", "subscription_groups": group()}, 0),
        ({"_update_existing_only": False, "email": "a@example.com"}, 1),
        ({"interests": ["a", "b", "c"]}, 1),
        ({"interests": {"add": ["a", "b"], "remove": ["c"]}}, 3),
        ({"address": {"street": "x", "city": "y"}}, 2),
        ({"pets": [{"name": "x", "age": 1}, {"name": "y"}]}, 3),
        ({"visits": {"inc": 1}}, 1),
    ],
)
def test_each_attribute_sent_is_billed(fields: dict[str, Any], points: int) -> None:
    sandbox = a_workspace()
    track(sandbox, a_user(**fields))
    assert sandbox.data_points == points


def test_same_value_bills_again_and_looking_does_not() -> None:
    sandbox = a_workspace()
    track(sandbox, a_user(spend=1))
    sandbox.settle()
    track(sandbox, a_user(spend=1))
    assert (sandbox.data_points, sandbox.data_points) == (2, 2)


def test_rejected_objects_bill_nothing() -> None:
    sandbox = a_workspace()
    track(sandbox, a_user(1, spend=1), a_user(2, email="nobody", spend=1))
    assert sandbox.data_points == 1


def test_names_that_were_not_active_for_90_days_are_in_no_export_and_the_others_count_all_time() -> None:
    """Section 6.1."""
    sandbox = a_workspace()
    old, late = {"time": "2025-10-01T10:00:00Z"}, {"time": "2025-10-05T10:00:00Z"}
    track(
        sandbox, events=[an_event(name="gone", **old), an_event(**old), an_event(**late)], purchases=[a_purchase(**old)]
    )

    asked = {"external_ids": ["c-1"], "fields_to_export": ["custom_events", "purchases"]}
    (user,) = call(sandbox, path="/users/export/ids", json=asked).json()["users"]
    (shown,) = user["custom_events"]
    assert (shown["name"], shown["count"], shown["first"]) == ("visited", 2, "2025-10-01T10:00:00.000Z")
    assert "purchases" not in user
