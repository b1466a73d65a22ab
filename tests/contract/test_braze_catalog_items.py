"""Catalog items of the Braze emulator, against sections 2.3, 9.1, 9.2 and 9.3 of the reference: writes, refusals, reading."""

import re
from typing import Any

import httpx
import pytest

from tests.contract.conftest import KEY, PRODUCT_FIELDS, CatalogWorkspace, refusals

BULK = ["POST", "PUT", "PATCH", "DELETE"]


# 9.2: asynchronous writes: validated and queued.


def test_a_202_is_a_promise_that_is_kept_later() -> None:
    shop = CatalogWorkspace()
    answer = shop.write("PUT", {"id": "a", "name": "Mug"})
    assert (answer.status_code, answer.json()["message"]) == (202, "success")
    shop.clock.advance(0.4)
    assert shop.ids == set()
    shop.clock.advance(0.2)
    assert shop.ids == {"a"}


def test_the_delay_of_writes_can_be_set() -> None:
    shop = CatalogWorkspace(catalog_delay_seconds=60)
    shop.write("PUT", {"id": "a"})
    shop.clock.advance(59)
    assert shop.ids == set()
    shop.clock.advance(1)
    assert shop.ids == {"a"}


def test_requests_may_overtake_each_other() -> None:
    last = set()
    for seed in range(8):
        shop = CatalogWorkspace(catalog_jitter_seconds=30, seed=seed)
        for price in (1, 2):
            shop.write("PUT", {"id": "a", "price": price})
        last.add(shop.items["a"]["price"])
    assert last == {1, 2}


def test_post_creates_and_leaves_what_is_there() -> None:
    shop = CatalogWorkspace()
    assert shop.write("POST", {"id": "a", "price": 1}).status_code == 202
    assert shop.write("POST", {"id": "a", "price": 2}, {"id": "b", "price": 2}).status_code == 202
    assert {key: item["price"] for key, item in shop.items.items()} == {"a": 1, "b": 2}


def test_put_replaces_or_creates_and_clears_what_was_not_sent() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "name": "Mug", "price": 1})
    shop.put({"id": "a", "price": 2}, {"id": "b", "price": None})
    assert shop.items == {"a": {"id": "a", "price": 2}, "b": {"id": "b"}}


def test_put_can_be_set_to_keep_what_was_not_sent() -> None:
    shop = CatalogWorkspace(catalog_put_clears=False)
    shop.put({"id": "a", "name": "Mug", "price": 1})
    shop.put({"id": "a", "price": 2})
    assert shop.items["a"] == {"id": "a", "name": "Mug", "price": 2}


def test_patch_edits_what_is_there_and_is_silent_about_what_is_not() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "name": "Mug", "price": 1})
    assert shop.write("PATCH", {"id": "a", "name": None, "price": 2}, {"id": "b", "price": 3}).status_code == 202
    assert shop.items == {"a": {"id": "a", "price": 2}}


def test_patch_alone_changes_elements_of_an_array() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "tags": ["x", "y"]})
    shop.write("PATCH", {"id": "a", "tags": {"$add": ["z", "x"], "$remove": ["y"]}})
    assert shop.items["a"]["tags"] == ["x", "z"]
    for method in ("POST", "PUT"):
        assert shop.refused(method, {"id": "a", "tags": {"$add": ["z"]}}) == [("unable-to-coerce-value", ["a"])]
    assert shop.refused("PATCH", {"id": "a", "tags": {"$push": ["z"]}}) == [("unable-to-coerce-value", ["a"])]


def test_an_edit_past_a_hundred_elements_fails_in_silence() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a", "tags": [str(number) for number in range(100)]})
    assert shop.write("PATCH", {"id": "a", "tags": {"$add": ["one more"]}}).status_code == 202
    assert len(shop.items["a"]["tags"]) == 100


def test_delete_takes_items_away_and_does_not_mind_missing_ones() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a"}, {"id": "b"})
    assert shop.write("DELETE", {"id": "a"}, {"id": "c"}).status_code == 202
    assert set(shop.items) == {"b"}


@pytest.mark.parametrize("fate", ["catalog", "field"])
def test_a_queued_write_is_lost_with_what_it_was_for(fate: str) -> None:
    shop = CatalogWorkspace(catalog_delay_seconds=10)
    if fate == "catalog":
        shop.write("PUT", {"id": "a"})
        assert shop.call("DELETE", "/catalogs/products").status_code == 200
        shop.create("products", PRODUCT_FIELDS)
        assert shop.items == {}
    else:
        assert shop.call("DELETE", "/catalogs/products/fields/price").status_code == 202
        shop.write("PUT", {"id": "a", "name": "Mug", "price": 1})
        assert shop.items == {"a": {"id": "a", "name": "Mug"}}


def test_queued_writes_may_come_to_nothing_without_a_word() -> None:
    shop = CatalogWorkspace(catalog_silent_failures={"b"})
    shop.put({"id": "a", "price": 1}, {"id": "b", "price": 1})
    assert one(shop, "POST", "b", price=2).status_code == 201
    assert shop.write("PUT", {"id": "a", "price": 3}, {"id": "b", "price": 3}).status_code == 202
    assert shop.write("DELETE", {"id": "b"}).status_code == 202
    assert {key: item["price"] for key, item in shop.items.items()} == {"a": 3, "b": 2}


def test_accepted_writes_are_logged_as_they_came() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a"})
    shop.write("PUT", {"id": "a b"})
    shop.write("DELETE", {"id": "a"})
    log = [(entry.method, entry.path, entry.items) for entry in shop.sandbox.catalog_log]
    assert log == [
        ("POST", "", []),
        ("PUT", "products/items", [{"id": "a"}]),
        ("DELETE", "products/items", [{"id": "a"}]),
    ]


# 9.1 and 9.3: a request is refused as a whole.


def test_one_bad_item_refuses_the_request() -> None:
    shop = CatalogWorkspace()
    assert shop.refused("PUT", {"id": "a"}, {"id": "b", "price": "dear"}) == [("unable-to-coerce-value", ["b"])]
    assert shop.items == {}


def test_the_documented_sentences() -> None:
    shop = CatalogWorkspace()
    nameless = shop.write("PUT", {"id": "a"}, {"name": "x"}, {"id": None}).json()["errors"]
    unknown = shop.write("PUT", {"id": "a", "colour": "red"}).json()["errors"]
    elsewhere = shop.write("PUT", {"id": "a"}, catalog="nowhere")
    assert nameless == [
        {
            "id": "items-missing-ids",
            "message": "There are 2 item(s) that do not have ids",
            "parameters": [],
            "parameter_values": [],
        }
    ]
    assert unknown == [
        {
            "id": "invalid-fields",
            "message": "Some of the fields given do not exist in the catalog",
            "parameters": ["id"],
            "parameter_values": ["a"],
        }
    ]
    assert (elsewhere.status_code, elsewhere.json()["errors"]) == (
        404,
        [
            {
                "id": "catalog-not-found",
                "message": "Could not find catalog",
                "parameters": ["catalog_name"],
                "parameter_values": ["nowhere"],
            }
        ],
    )


@pytest.mark.parametrize("method", BULK)
@pytest.mark.parametrize(
    ("items", "errors"),
    [
        (["a"], [("item-array-invalid", [])]),
        ([], [("item-array-invalid", [])]),
        ([{"id": str(number)} for number in range(51)], [("request-includes-too-many-items", [])]),
        ([{"id": "x" * 251}], [("ids-too-large", ["x" * 251])]),
        ([{"id": "a b"}, {"id": "a/b"}], [("invalid-ids", ["a b"]), ("invalid-ids", ["a/b"])]),
        ([{"id": "ä"}], [("invalid-ids", ["ä"])]),
        ([{"id": ""}], [("invalid-ids", [""])]),
        ([{"id": "a\n"}], [("invalid-ids", ["a\n"])]),
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": "a"}], [("ids-not-unique", ["a"])]),
    ],
)
def test_what_every_verb_refuses(method: str, items: list[Any], errors: list[Any]) -> None:
    assert CatalogWorkspace().refused(method, *items) == errors


@pytest.mark.parametrize("method", BULK)
def test_fifty_items_with_the_longest_ids_are_taken(method: str) -> None:
    items = [{"id": f"{number:02}" + "_-" * 124} for number in range(50)]
    assert CatalogWorkspace().write(method, *items).status_code == 202


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b'{"items":[],}'])
def test_a_body_that_is_no_document_is_400(content: bytes) -> None:
    headers = KEY | {"Content-Type": "application/json"}
    answer = CatalogWorkspace().call("PUT", "/catalogs/products/items", content=content, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("method", BULK)
def test_a_body_of_another_type_is_415(method: str) -> None:
    answer = CatalogWorkspace().call(method, "/catalogs/products/items", content=b'{"items":[{"id":"a"}]}')
    assert answer.status_code == 415


def test_a_body_over_4_mb_is_413() -> None:
    shop = CatalogWorkspace()
    assert shop.write("PUT", {"id": "a", "name": "x" * 4_000_000}).status_code == 413


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("PUT", "ids-not-string"),
        ("POST", "ids-not-strings"),
        ("PATCH", "ids-not-strings"),
        ("DELETE", "ids-not-strings"),
    ],
)
def test_the_page_of_put_spells_an_id_of_its_own(method: str, error: str) -> None:
    assert CatalogWorkspace().refused(method, {"id": 7}) == [(error, [7])]
    assert CatalogWorkspace(catalog_put_ids_error="ids-not-strings").refused("PUT", {"id": 7}) == [
        ("ids-not-strings", [7])
    ]


def test_case_tells_ids_apart_unless_set_otherwise() -> None:
    shop = CatalogWorkspace()
    shop.put({"id": "a"}, {"id": "A"})
    assert shop.ids == {"a", "A"}
    blind = CatalogWorkspace(catalog_ids_ignore_case=True)
    assert blind.refused("PUT", {"id": "a"}, {"id": "A"}) == [("ids-not-unique", ["a"])]
    blind.put({"id": "a", "price": 1})
    blind.put({"id": "A", "price": 2})
    assert [item["price"] for item in blind.items.values()] == [2]


@pytest.mark.parametrize(
    ("form", "errors"),
    [
        ("each", [("ids-too-large", ["x" * 251]), ("invalid-ids", ["a b"]), ("invalid-ids", ["c d"])]),
        ("first", [("ids-too-large", ["x" * 251])]),
        ("unnamed", [("ids-too-large", []), ("invalid-ids", [])]),
    ],
)
def test_which_items_an_error_names_is_documented_for_some_only(form: str, errors: list[Any]) -> None:
    shop = CatalogWorkspace(catalog_errors=form)
    assert shop.refused("PUT", {"id": "x" * 251}, {"id": "a b"}, {"id": "c d"}, {"id": "e"}) == errors
    assert shop.refused("PUT", {"id": "a", "colour": "red"}) == [("invalid-fields", ["a"])]
    assert shop.refused("PUT", {"id": "a"}, {"id": "a"}) == [("ids-not-unique", ["a"])]


# 9.2: items read back, 50 a page.


def pages(shop: CatalogWorkspace) -> list[tuple[list[str], dict[str, str]]]:
    """Ids and links of each page, followed by `next`."""
    found, path = [], "/catalogs/products/items"
    while path:
        answer = shop.call("GET", path)
        assert answer.status_code == 200
        found.append(([item["id"] for item in answer.json()["items"]], _links(answer)))
        path = found[-1][1].get("next", "")
    return found


def _links(answer: httpx.Response) -> dict[str, str]:
    return {rel: path for path, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers.get("link", ""))}


@pytest.mark.parametrize("count", [0, 1, 50])
def test_up_to_fifty_items_are_one_page_without_links(count: int) -> None:
    shop = CatalogWorkspace()
    if count:
        shop.put(*({"id": f"i{number:03}"} for number in range(count)))
    answer = shop.call("GET", "/catalogs/products/items")
    assert (answer.status_code, answer.json()["message"], len(answer.json()["items"])) == (200, "success", count)
    assert "link" not in answer.headers


def test_pages_lead_forth_and_back() -> None:
    shop = CatalogWorkspace()
    for start in (0, 50, 100):
        shop.put(*({"id": f"i{number:03}"} for number in range(start, min(start + 50, 120))))
    (first, links_1), (second, links_2), (third, links_3) = pages(shop)
    assert [len(first), len(second), len(third)] == [50, 50, 20]
    assert sorted(first + second + third) == sorted(shop.items)
    assert [set(links_1), set(links_2), set(links_3)] == [{"next"}, {"prev", "next"}, {"prev"}]
    assert links_1["next"].startswith("/catalogs/products/items?cursor=")
    for page, links in ((first, links_2), (second, links_3)):
        assert [item["id"] for item in shop.call("GET", links["prev"]).json()["items"]] == page


def test_a_cursor_holds_while_items_come_and_go() -> None:
    shop = CatalogWorkspace()
    for start in (0, 50):
        shop.put(*({"id": f"i{number:03}"} for number in range(start, start + 50)))
    following = _links(shop.call("GET", "/catalogs/products/items"))["next"]
    shop.write("DELETE", {"id": "i000"}, {"id": "i049"})
    shop.put({"id": "a"})
    assert {item["id"] for item in shop.call("GET", following).json()["items"]} == {f"i{n:03}" for n in range(50, 100)}


@pytest.mark.parametrize("cursor", ["", "x", "nonsense!", "b3RoZXI+YQ==", "%FF"])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    answer = CatalogWorkspace().call("GET", f"/catalogs/products/items?cursor={cursor}")
    ((error, _),) = refusals(answer)
    (entry,) = answer.json()["errors"]
    assert (error, entry["message"], entry["parameters"]) == ("invalid-cursor", "'cursor' is not valid", ["cursor"])


@pytest.mark.parametrize(
    ("form", "read"), [("omitted", {"id": "a"}), ("null", dict.fromkeys(PRODUCT_FIELDS) | {"id": "a"})]
)
def test_how_a_field_without_a_value_is_read_can_be_set(form: str, read: dict[str, Any]) -> None:
    shop = CatalogWorkspace(catalog_empty_fields=form)
    shop.put({"id": "a"})
    assert shop.call("GET", "/catalogs/products/items/a").json() == {"items": [read], "message": "success"}


# 9.2 and 9.3: one item, at once.


def one(shop: CatalogWorkspace, method: str, item_id: str = "a", **values: Any) -> httpx.Response:
    body = {} if method in {"GET", "DELETE"} else {"json": {"items": [values]}}
    return shop.call(method, f"/catalogs/products/items/{item_id}", **body)


def test_a_single_item_is_written_at_once() -> None:
    shop = CatalogWorkspace(catalog_delay_seconds=1000)
    assert one(shop, "POST", price=1, name="Mug").status_code == 201
    assert one(shop, "PUT", price=2).status_code == 200
    assert one(shop, "PATCH", active=True).status_code == 200
    assert one(shop, "GET").json()["items"] == [{"id": "a", "price": 2, "active": True}]
    assert one(shop, "DELETE").status_code == 202
    assert shop.ids == set()


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("PATCH", 404), ("DELETE", 400)])
def test_an_item_that_is_not_there(method: str, status: int) -> None:
    answer = one(CatalogWorkspace(), method, price=1)
    assert refusals(answer, status) == [("item-not-found", ["a"])]
    (entry,) = answer.json()["errors"]
    assert (entry["message"], entry["parameters"]) == ("Could not find item", ["item_id"])


def test_what_the_single_item_endpoints_refuse_besides() -> None:
    shop = CatalogWorkspace(catalog_arbitrary_errors={"odd"}, catalog_filtered_chars=10)
    one(shop, "POST", price=1)
    selection = {"name": "s", "external_id": "s", "source": "custom", "filters": [{"field": "name", "operator": "is"}]}
    assert shop.call("POST", "/catalogs/products/selections", json={"selection": selection}).status_code == 202
    shop.sandbox.settle()
    assert refusals(one(shop, "POST", price=1)) == [("item-already-exists", ["a"])]
    assert refusals(one(shop, "PUT", id="a")) == [("id-in-body", ["a"])]
    assert refusals(one(shop, "PUT", "odd", price=1)) == [("arbitrary-error", ["odd"])]
    assert refusals(one(shop, "PUT", name="x" * 11)) == [("filtered-set-field-too-long", ["a"])]
    assert refusals(one(shop, "PUT", "a b", price=1)) == [("invalid-ids", ["a b"])]
    assert refusals(one(shop, "GET", "x" * 251)) == [("ids-too-large", ["x" * 251])]
    assert refusals(one(shop, "PUT", colour="red")) == [("invalid-fields", ["a"])]
    assert refusals(one(shop, "PATCH", price="dear")) == [("unable-to-coerce-value", ["a"])]
    two = shop.call("PUT", "/catalogs/products/items/a", json={"items": [{}, {}]})
    assert refusals(two) == [("request-includes-too-many-items", [])]
    assert refusals(shop.call("PUT", "/catalogs/products/items/a", json={"items": {}})) == [("item-array-invalid", [])]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_single_item_of_a_catalog_that_is_not_there(method: str) -> None:
    answer = CatalogWorkspace().call(method, "/catalogs/nowhere/items/a", json={"items": [{}]})
    assert refusals(answer, 404) == [("catalog-not-found", ["nowhere"])]
