"""Catalogs, their fields and selections in the Braze emulator, against sections 1.3, 2.1, 2.2, 9.1, 9.2 and 9.3."""

from typing import Any

import httpx
import orjson
import pytest

from caspio_sync.sandbox.braze.behaviour import PERMISSIONS
from tests.contract.conftest import KEY, PRODUCT_FIELDS, CatalogWorkspace, refusals

ID = {"id": "string"}
ENDPOINTS = {
    "catalogs.get": ("GET", "/catalogs", None),
    "catalogs.create": (
        "POST",
        "/catalogs",
        {"catalogs": [{"name": "n", "fields": [{"name": "id", "type": "string"}]}]},
    ),
    "catalogs.delete": ("DELETE", "/catalogs/products", None),
    "catalogs.get_items": ("GET", "/catalogs/products/items", None),
    "catalogs.add_items": ("POST", "/catalogs/products/items", {"items": [{"id": "z"}]}),
    "catalogs.replace_items": ("PUT", "/catalogs/products/items", {"items": [{"id": "z"}]}),
    "catalogs.update_items": ("PATCH", "/catalogs/products/items", {"items": [{"id": "z"}]}),
    "catalogs.delete_items": ("DELETE", "/catalogs/products/items", {"items": [{"id": "z"}]}),
    "catalogs.get_item": ("GET", "/catalogs/products/items/a", None),
    "catalogs.create_item": ("POST", "/catalogs/products/items/z", {"items": [{"price": 1}]}),
    "catalogs.replace_item": ("PUT", "/catalogs/products/items/z", {"items": [{"price": 1}]}),
    "catalogs.update_item": ("PATCH", "/catalogs/products/items/a", {"items": [{"price": 1}]}),
    "catalogs.delete_item": ("DELETE", "/catalogs/products/items/a", None),
    "catalogs.create_fields": ("POST", "/catalogs/products/fields", {"fields": [{"name": "n", "type": "geo"}]}),
    "catalogs.delete_fields": ("DELETE", "/catalogs/products/fields/price", None),
    "catalogs.create_selection": (
        "POST",
        "/catalogs/products/selections",
        {"selection": {"name": "n", "external_id": "n", "source": "Shopify"}},
    ),
    "catalogs.delete_selection": ("DELETE", "/catalogs/products/selections/s", None),
}
STATUS = {"GET": 200, "POST": 202, "PUT": 202, "PATCH": 202, "DELETE": 202} | {
    "catalogs.create": 201, "catalogs.create_item": 201, "catalogs.delete": 200, "catalogs.replace_item": 200,
    "catalogs.update_item": 200,
}  # fmt: skip
POOLS = {
    "catalogs_per_minute": {"get", "create", "delete"},
    "catalog_writes_per_minute": {"add_items", "replace_items", "update_items", "delete_items"},
    "catalog_reads_per_minute": {"get_items", "get_item", "create_item", "replace_item", "update_item", "delete_item"},
    "catalog_fields_per_minute": {"create_fields", "delete_fields", "create_selection", "delete_selection"},
}


def a_shop(**behaviour: Any) -> CatalogWorkspace:
    """A workspace that has something for every endpoint."""
    shop = CatalogWorkspace(**behaviour)
    shop.put({"id": "a", "price": 1})
    assert select(shop, name="s").status_code == 202
    shop.sandbox.settle()
    return shop


def select(shop: CatalogWorkspace, **selection: Any) -> httpx.Response:
    whole = {"name": "n", "external_id": "n", "source": "custom"} | selection
    return shop.call("POST", "/catalogs/products/selections", json={"selection": whole})


def ask(shop: CatalogWorkspace, permission: str, **request: Any) -> httpx.Response:
    method, path, body = ENDPOINTS[permission]
    return shop.call(method, path, **({} if body is None else {"json": body}), **request)


# 1.3: a permission an endpoint; 9.2: its status.


@pytest.mark.parametrize("permission", ENDPOINTS)
def test_every_endpoint_has_its_permission_and_its_status(permission: str) -> None:
    shop = a_shop(keys={"sandbox-key": PERMISSIONS, "other": PERMISSIONS - {permission}})
    refused = ask(shop, permission, headers={"Authorization": "Bearer other"})
    assert (refused.status_code, refused.json()) == (403, {"message": "Access Denied"})
    taken = ask(shop, permission)
    assert taken.status_code == STATUS.get(permission, STATUS[ENDPOINTS[permission][0]])
    assert taken.json()["message"] == "success"


def test_every_permission_of_catalogs_is_asked_for() -> None:
    assert {name for name in PERMISSIONS if name.startswith("catalogs.")} == set(ENDPOINTS)


@pytest.mark.parametrize("path", ["/catalogs/", "/catalogs/products/", "/catalogs/products/things", "/catalogs//items"])
def test_other_addresses_are_404_without_an_id(path: str) -> None:
    answer = CatalogWorkspace().call("GET", path)
    assert (answer.status_code, answer.json()) == (404, {"message": "Invalid URL"})


# 2.1 and 2.2: four pools, told in the headers.


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("permission", ENDPOINTS)
def test_an_endpoint_draws_from_its_pool_alone(pool: str, permission: str) -> None:
    shop = a_shop()
    shop.clock.advance(60)
    before = int(ask(shop, permission).headers["x-ratelimit-remaining"])
    others = [f"catalogs.{name}" for name in POOLS[pool]]
    # A refused request counts as well: what it names may be gone by now.
    spent = sum(ask(shop, name).status_code != 429 for name in others)
    after = int(ask(shop, permission).headers["x-ratelimit-remaining"])
    shares = permission.removeprefix("catalogs.") in POOLS[pool]
    assert before - after == 1 + (spent if shares else 0)


def test_the_pools_have_the_documented_sizes() -> None:
    shop = a_shop()
    limits = {
        pool: {ask(shop, f"catalogs.{name}").headers["x-ratelimit-limit"] for name in names}
        for pool, names in POOLS.items()
    }
    assert limits == {
        "catalogs_per_minute": {"50"},
        "catalog_writes_per_minute": {"16000"},
        "catalog_reads_per_minute": {"50"},
        "catalog_fields_per_minute": {"50"},
    }


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_that_is_used_up_refuses_until_the_minute_turns(pool: str) -> None:
    shop = a_shop(**{pool: 3})
    shop.clock.advance(61)
    permission = "catalogs.get_items" if pool == "catalog_reads_per_minute" else f"catalogs.{min(POOLS[pool])}"
    statuses = [ask(shop, permission).status_code for _ in range(4)]
    assert 429 not in statuses[:3]
    answer = ask(shop, permission)
    assert (statuses[3], answer.status_code, answer.json()["message"]) == (429, 429, "Rate Limited")
    now = shop.clock.now().timestamp()
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - now <= 60
    shop.clock.advance(60)
    assert ask(shop, permission).status_code != 429


def test_a_refused_request_tells_its_window_too() -> None:
    assert CatalogWorkspace().write("PUT", {"id": "a b"}).headers["x-ratelimit-remaining"] == "15999"


# 9.2: catalogs.


def test_a_catalog_is_there_with_the_answer() -> None:
    shop = CatalogWorkspace()
    answer = shop.create("Books-2_0", {"id": "string", "title": "string"}, description="What we read")
    described = {
        "name": "Books-2_0",
        "description": "What we read",
        "fields": [{"name": "id", "token": "-1", "type": "string"}, {"name": "title", "token": "0", "type": "string"}],
        "source": "Braze",
        "num_items": 0,
        "storage_size": 0,
        "selections": [],
        "selections_size": 0,
        "updated_at": "2026-01-01T00:00:00.000+00:00",
    }
    assert (answer.status_code, answer.json()) == (201, {"catalogs": [described], "message": "success"})
    listed = shop.call("GET", "/catalogs").json()
    assert (listed["message"], [each["name"] for each in listed["catalogs"]]) == ("success", ["products", "Books-2_0"])
    assert listed["catalogs"][1] == described


def test_items_are_counted_once_they_are_there() -> None:
    shop = CatalogWorkspace()
    shop.clock.advance(100)
    shop.write("PUT", {"id": "a"}, {"id": "b"})

    def told() -> tuple[int, str]:
        (catalog,) = shop.call("GET", "/catalogs").json()["catalogs"]
        return catalog["num_items"], catalog["updated_at"]

    assert told() == (0, "2026-01-01T00:00:00.000+00:00")
    shop.clock.advance(1)
    assert told() == (2, "2026-01-01T00:01:40.500+00:00")


def test_a_catalog_goes_with_its_items() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a"})
    assert shop.call("DELETE", "/catalogs/products").status_code == 200
    assert refusals(shop.call("DELETE", "/catalogs/products"), 404) == [("catalog-not-found", ["products"])]
    shop.create("products", ID)
    assert shop.items == {}


LONG = "x" * 251


@pytest.mark.parametrize(
    ("name", "fields", "more", "error", "values"),
    [
        ("products", ID, {}, "catalog-name-already-exists", ["products"]),
        (LONG, ID, {}, "catalog-name-too-large", [LONG]),
        ("my books", ID, {}, "invalid-catalog-name", ["my books"]),
        ("bücher", ID, {}, "invalid-catalog-name", ["bücher"]),
        ("", ID, {}, "invalid-catalog-name", [""]),
        (None, ID, {}, "invalid-catalog-name", [None]),
        ("new", ID, {"description": LONG}, "description-too-long", [LONG]),
        ("new", {"title": "string", "id": "string"}, {}, "id-not-first-column", ["title"]),
        ("new", {"id": "number"}, {}, "invalid-field-types", ["id"]),
        ("new", ID | {"title": "text"}, {}, "invalid-field-types", ["title"]),
        ("new", ID | {"a b": "string"}, {}, "invalid-field-names", ["a b"]),
        ("new", ID | {LONG: "string"}, {}, "field-names-too-large", [LONG]),
        ("new", ID | {f"f{number}": "string" for number in range(500)}, {}, "too-many-fields", []),
        ("new", {}, {}, "invalid-fields", [[]]),
    ],
)
def test_catalogs_that_are_refused(name: Any, fields: Any, more: Any, error: str, values: list[Any]) -> None:
    shop = CatalogWorkspace()
    assert refusals(shop.create(name, fields, **more)) == [(error, values)]
    assert set(shop.sandbox.catalogs) == {"products"}


def test_a_name_that_is_taken_is_said_in_the_documented_words() -> None:
    (entry,) = CatalogWorkspace().create("products", ID).json()["errors"]
    assert (entry["message"], entry["parameters"]) == ("A catalog with that name already exists", ["name"])


def test_names_and_numbers_at_their_limits_are_taken() -> None:
    shop = CatalogWorkspace()
    fields = ID | {f"f{number}": "string" for number in range(498)} | {"x" * 250: "geo"}
    assert shop.create("n" * 250, fields, description="d" * 250).status_code == 201


@pytest.mark.parametrize(
    ("catalogs", "error"),
    [
        (None, "catalog-array-invalid"),
        ([], "catalog-array-invalid"),
        (["new"], "catalog-array-invalid"),
        ([{"name": "a"}, {"name": "b"}], "too-many-catalog-atoms"),
        ([{"name": "a"}], "invalid-fields"),
        ([{"name": "a", "fields": [{"name": "id"}]}], "invalid-fields"),
        ([{"name": "a", "fields": [{"name": "id", "type": "string"}] * 2}], "field-names-not-unique"),
    ],
)
def test_bodies_that_are_refused(catalogs: Any, error: str) -> None:
    answer = CatalogWorkspace().call("POST", "/catalogs", json={"catalogs": catalogs})
    assert [found for found, _ in refusals(answer)] == [error]


# 9.2 and 9.3: fields.


def add(shop: CatalogWorkspace, *fields: Any) -> httpx.Response:
    listed = [{"name": name, "type": "string"} if isinstance(name, str) else name for name in fields]
    return shop.call("POST", "/catalogs/products/fields", json={"fields": listed})


def test_a_field_can_be_written_once_it_is_there() -> None:
    shop = CatalogWorkspace()
    assert add(shop, {"name": "colour", "type": "string"}).status_code == 202
    assert shop.refused("PUT", {"id": "a", "colour": "red"}) == [("invalid-fields", ["a"])]
    shop.clock.advance(0.5)
    shop.put({"id": "a", "colour": "red"})
    assert shop.sandbox.catalogs["products"].fields == PRODUCT_FIELDS | {"colour": "string"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ([f"f{number}" for number in range(51)], "request-includes-too-many-fields"),
        (["price"], "invalid-field-name"),
        (["a b"], "invalid-field-name"),
        ([LONG], "invalid-field-name"),
        (["a", "a"], "invalid-field-name"),
        ([{"name": "a", "type": "text"}], "arbitrary-error"),
        ([{"name": "a"}], "arbitrary-error"),
        ([], "arbitrary-error"),
    ],
)
def test_fields_that_are_refused(fields: list[Any], error: str) -> None:
    shop = CatalogWorkspace()
    assert [found for found, _ in refusals(add(shop, *fields))] == [error]
    assert shop.sandbox.catalogs["products"].fields == PRODUCT_FIELDS


def test_a_catalog_has_five_hundred_fields_at_most() -> None:
    shop = CatalogWorkspace()
    shop.create("wide", ID | {f"f{number}": "string" for number in range(499)})
    answer = shop.call("POST", "/catalogs/wide/fields", json={"fields": [{"name": "more", "type": "string"}]})
    assert refusals(answer) == [("catalog-exceeds-fields-limit", [])]


def test_a_field_goes_with_its_values() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "name": "Mug", "price": 1})
    assert shop.call("DELETE", "/catalogs/products/fields/price").status_code == 202
    assert shop.call("GET", "/catalogs/products/items/a").json()["items"] == [{"id": "a", "name": "Mug", "price": 1}]
    shop.clock.advance(0.5)
    assert shop.call("GET", "/catalogs/products/items/a").json()["items"] == [{"id": "a", "name": "Mug"}]


def test_a_field_in_use_is_not_deleted() -> None:
    shop = CatalogWorkspace(catalog_inventory_fields={"products/active"})
    select(shop, filters=[{"field": "price", "operator": "is"}], sort_field="since", sort_order="asc")
    shop.sandbox.settle()
    found = {}
    for name in ("price", "since", "active", "id", "nothing"):
        ((found[name], _),) = refusals(shop.call("DELETE", f"/catalogs/products/fields/{name}"))
    assert found == {
        "price": "field-referenced-by-selection",
        "since": "field-referenced-by-selection",
        "active": "field-is-inventory",
        "id": "invalid-field-name",
        "nothing": "invalid-field-name",
    }


@pytest.mark.parametrize("path", ["fields", "selections"])
def test_fields_and_selections_of_a_catalog_that_is_not_there(path: str) -> None:
    for method, rest in (("POST", ""), ("DELETE", "/x")):
        answer = CatalogWorkspace().call(method, f"/catalogs/nowhere/{path}{rest}", json={})
        assert refusals(answer, 404) == [("catalog-not-found", ["nowhere"])]


# 9.1 and 9.3: selections.


PRICE = {"field": "price", "operator": "greater_than", "value": 1}


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        ({"name": ""}, "invalid-selection"),
        ({"source": "elsewhere"}, "invalid-selection"),
        ({"external_id": None}, "invalid-selection"),
        ({"name": "s"}, "selection-name-already-exists"),
        ({"filters": [PRICE] * 5}, "too-many-filters"),
        ({"filters": [{**PRICE, "field": "colour"}]}, "selection-has-invalid-filter"),
        ({"filters": ["price"]}, "selection-has-invalid-filter"),
        ({"filters": {"field": "price"}}, "selection-has-invalid-filter"),
        ({"filters": [{**PRICE, "field": "tags"}] * 2}, "selection-contains-too-many-arrays"),
        ({"results_limit": 0}, "selection-invalid-results-limit"),
        ({"results_limit": 51}, "selection-invalid-results-limit"),
        ({"sort_field": "price"}, "invalid-sorting"),
        ({"sort_order": "asc"}, "invalid-sorting"),
        ({"sort_field": "colour", "sort_order": "asc"}, "invalid-sort-field"),
        ({"sort_field": "price", "sort_order": "up"}, "invalid-sort-order"),
    ],
)
def test_selections_that_are_refused(selection: dict[str, Any], error: str) -> None:
    assert [found for found, _ in refusals(select(a_shop(), **selection))] == [error]


def test_a_selection_comes_and_goes_later() -> None:
    shop = CatalogWorkspace()
    assert select(shop, filters=[PRICE] * 4, results_limit=50, sort_field="price", sort_order="desc").status_code == 202
    assert refusals(shop.call("DELETE", "/catalogs/products/selections/n")) == [("invalid-selection", ["n"])]
    shop.clock.advance(0.5)
    assert shop.call("DELETE", "/catalogs/products/selections/n").status_code == 202
    assert shop.sandbox.catalogs["products"].selections == {}


def test_a_catalog_has_thirty_selections_at_most() -> None:
    shop = CatalogWorkspace()
    for number in range(30):
        select(shop, name=f"n{number}")
    shop.sandbox.settle()
    assert refusals(select(shop)) == [("selection-limit-reached", [])]


# The emulator's own pages.


def test_the_sandbox_shows_its_catalogs_without_a_key() -> None:
    shop = CatalogWorkspace()
    shop.write("PUT", {"id": "a", "price": 1}, {"id": "b"})
    assert shop.call("GET", "/sandbox/state", headers={}).json()["catalogs"] == {"products": 2}
    lines = shop.call("GET", "/sandbox/catalogs/products", headers={}).content.splitlines()
    assert [orjson.loads(line) for line in lines] == [{"id": "a", "price": 1}, {"id": "b"}]
    assert shop.call("GET", "/sandbox/catalogs/nowhere", headers=KEY).status_code == 404
