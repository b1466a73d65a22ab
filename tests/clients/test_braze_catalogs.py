import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.braze.catalog_answers import (
    CATALOGS_LIMIT,
    FIELDS_LIMIT,
    ITEMS_READ_LIMIT,
    ITEMS_WRITE_LIMIT,
    CatalogRefusedError,
)
from caspio_sync.destinations.braze.catalog_client import CatalogClient
from caspio_sync.errors import ConfigurationError, PermanentError, TransientError
from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.schemas import CatalogField
from caspio_sync.wire.http import UnavailableError
from caspio_sync.wire.taken import ObjectError, Taken
from tests.virtual_clock import VirtualClock

T = TypeVar("T")
FIELDS = [CatalogField("id", "string"), CatalogField("name", "string"), CatalogField("price", "number")]
NEEDED = {
    "catalogs.get", "catalogs.create", "catalogs.create_fields", "catalogs.replace_items", "catalogs.update_items",
    "catalogs.delete_items", "catalogs.get_items", "catalogs.get_item",
}  # fmt: skip


class Shop:
    """The emulator with a catalog `products`, and the client in front of it; both by one virtual clock."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock()
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)

    def ask(self, call: Callable[[CatalogClient], Awaitable[T]]) -> T:
        return ask(httpx.ASGITransport(self.sandbox.app), call, self.clock)

    def made(self) -> "Shop":
        self.ask(lambda client: client.create_catalog("products", "What we sell", FIELDS))
        return self

    def put(self, *items: Any) -> "Shop":
        self.ask(lambda client: client.write_items("PUT", "products", body(*items)))
        self.sandbox.settle()
        return self

    def refused(self, call: Callable[[CatalogClient], Awaitable[object]]) -> CatalogRefusedError:
        with pytest.raises(CatalogRefusedError) as caught:
            self.ask(call)
        return caught.value


def ask(
    transport: httpx.AsyncBaseTransport,
    call: Callable[[CatalogClient], Awaitable[T]],
    clock: VirtualClock | None = None,
) -> T:
    async def run() -> T:
        async with CatalogClient(
            endpoint="http://braze", api_key=SecretStr(SANDBOX_KEY), clock=clock or VirtualClock(), transport=transport
        ) as client:
            return await call(client)

    return asyncio.run(run())


def answered(answer: httpx.Response, call: Callable[[CatalogClient], Awaitable[T]]) -> T:
    return ask(httpx.MockTransport(lambda _request: answer), call)


def write(client: CatalogClient) -> Awaitable[Taken]:
    return client.write_items("PUT", "products", body({"id": "a"}))


def body(*items: Any) -> bytes:
    return json.dumps({"items": items}).encode()


# Writing.


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_is_the_body_as_given(method: Literal["PUT", "PATCH", "DELETE"]) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json={"message": "success"}, headers={"x-ratelimit-limit": "16000"})

    content = body({"id": "a", "name": "Tasse für Ü"})
    answer = ask(httpx.MockTransport(handler), lambda client: client.write_items(method, "products", content))
    (request,) = seen
    address = "http://braze/catalogs/products/items"
    assert (request.method, str(request.url), request.content) == (method, address, content)
    assert request.headers["authorization"] == f"Bearer {SANDBOX_KEY}"
    assert request.headers["content-type"] == "application/json"
    assert (answer.status, answer.errors, answer.rate.limit) == (202, (), 16000)


def test_items_are_replaced_edited_and_deleted() -> None:
    shop = Shop().made().put({"id": "a", "name": "Mug", "price": 1}, {"id": "b"})
    shop.ask(lambda client: client.write_items("PATCH", "products", body({"id": "a", "price": 2})))
    shop.ask(lambda client: client.write_items("DELETE", "products", body({"id": "b"})))
    assert shop.sandbox.catalogs["products"].items == {"a": {"id": "a", "name": "Mug", "price": 2}}


def test_the_write_pool_comes_with_the_answer() -> None:
    answer = Shop().made().ask(write)
    assert (answer.rate.limit, answer.rate.remaining) == (ITEMS_WRITE_LIMIT[0], 15_999)
    assert 0 < answer.rate.reset_seconds <= ITEMS_WRITE_LIMIT[1]


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_is_taken(status: int) -> None:
    assert answered(httpx.Response(status), write).status == status


def test_errors_in_a_2xx_against_what_is_documented_are_not_lost() -> None:
    entries = [{"id": "ids-too-large", "message": "Ids …"}]
    answer = answered(httpx.Response(202, json={"message": "success", "errors": entries}), write)
    assert answer.errors == (ObjectError(None, None, "ids-too-large: Ids …"),)


@pytest.mark.parametrize("content", [b"", b'{"message":"succ', b'{"message":"blocked by policy"}', b"<html>", b"{}"])
def test_a_2xx_that_is_not_brazes_own_leaves_open_what_was_taken(content: bytes) -> None:
    answer = answered(httpx.Response(202, content=content), write)
    assert "202 from PUT" in answer.doubt
    assert answer.errors == ()


# Refusals.


def test_a_refusal_names_its_items() -> None:
    shop = Shop().made()
    items = [{"id": "a"}, {"id": "b", "price": "dear"}, {"id": "c", "colour": "red"}]
    refused = shop.refused(lambda client: client.write_items("PUT", "products", body(*items)))
    assert (refused.status, refused.items) == (400, ("b", "c"))
    assert refused.ids == {"unable-to-coerce-value", "invalid-fields"}
    assert (refused.catalog_missing, refused.storage_full) == (False, False)
    assert refused.message_text == (
        "unable-to-coerce-value: Some of the values cannot be converted to the type of their field; "
        "invalid-fields: Some of the fields given do not exist in the catalog"
    )
    assert shop.sandbox.catalogs["products"].items == {}


def test_a_refusal_that_names_no_item() -> None:
    refused = (
        Shop(catalog_errors="unnamed")
        .made()
        .refused(lambda client: client.write_items("PUT", "products", body({"id": "a b"})))
    )
    assert (refused.ids, refused.items) == (frozenset({"invalid-ids"}), ())


@pytest.mark.parametrize(
    ("entry", "items"),
    [
        ({"id": "x", "parameters": ["id"], "parameter_values": ["a"]}, ("a",)),
        ({"id": "x", "parameters": ["id"], "parameter_values": ["a", "b"]}, ("a", "b")),
        ({"id": "x", "parameters": ["id"], "parameter_values": [["a", "b"]]}, ("a", "b")),
        ({"id": "x", "parameters": ["name", "id"], "parameter_values": ["n", "a"]}, ("a",)),
        ({"id": "x", "parameters": ["item_id"], "parameter_values": [7]}, ("7",)),
        ({"id": "x", "parameters": ["id"], "parameter_values": [None]}, ()),
        ({"id": "x", "parameters": ["catalog_name"], "parameter_values": ["products"]}, ()),
        ({"id": "x", "parameters": "id", "parameter_values": "a"}, ()),
        ({"id": "x"}, ()),
        ({}, ()),
        ("a text alone", ()),
        (None, ()),
    ],
)
def test_entries_are_read_as_far_as_they_go(entry: Any, items: Any) -> None:
    answer = httpx.Response(400, json={"message": "Invalid Request", "errors": [entry]})
    with pytest.raises(CatalogRefusedError) as caught:
        answered(answer, write)
    assert caught.value.items == items
    assert len(caught.value.errors) == 1


@pytest.mark.parametrize("content", [b"", b'{"message":"Bad Request"}', b'{"errors":"x"}'])
def test_a_refusal_without_entries_is_one_all_the_same(content: bytes) -> None:
    with pytest.raises(CatalogRefusedError) as caught:
        answered(httpx.Response(400, content=content), write)
    assert (caught.value.errors, caught.value.items) == ((), ())
    assert caught.value.message_text == ("Bad Request" if b"Bad" in content else "")


def test_values_stay_out_of_messages() -> None:
    entries = [
        {"id": "x", "message": "'dear' of ada@example.com", "parameters": ["id"], "parameter_values": ["sku-77"]}
    ]
    with pytest.raises(CatalogRefusedError) as caught:
        answered(httpx.Response(400, json={"message": "m", "errors": entries}), write)
    assert "ada@example.com" not in str(caught.value)
    assert "sku-77" not in str(caught.value)
    assert "sku-77" not in repr(caught.value.errors)
    assert caught.value.items == ("sku-77",)


def test_a_catalog_that_is_not_there_is_no_matter_of_configuration() -> None:
    refused = Shop().refused(write)
    assert (refused.status, refused.catalog_missing) == (404, True)
    assert "Could not find catalog" in str(refused)


def test_a_404_that_says_nothing_is_the_wrong_address() -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        answered(httpx.Response(404, json={"message": "Not Found"}), write)


@pytest.mark.parametrize("stored", [950, 1000])
def test_storage_that_is_used_up(stored: Any) -> None:
    shop = Shop(catalog_storage=1000).made()
    shop.put({"id": "a", "name": "x" * (stored - len('{"id":"a","name":""}'))})
    refused = shop.refused(lambda client: client.write_items("PUT", "products", body({"id": "b", "name": "x" * 100})))
    assert refused.storage_full
    assert refused.items == ()


def test_a_body_that_is_too_large_is_refused_for_good() -> None:
    refused = (
        Shop(body_limit=300)
        .made()
        .refused(lambda client: client.write_items("PUT", "products", body({"id": "a", "name": "x" * 400})))
    )
    assert (refused.status, refused.errors) == (413, ())


def test_a_429_carries_the_wait() -> None:
    shop = Shop(catalog_writes_per_minute=1).made()
    shop.ask(write)
    with pytest.raises(UnavailableError) as caught:
        shop.ask(write)
    assert caught.value.rate_limited
    assert 0 < caught.value.retry_after <= 60


@pytest.mark.parametrize(("status", "remedy"), [(401, "instance"), (403, r"catalogs\.replace_items"), (415, "proxy")])
def test_what_a_person_has_to_mend_is_said(status: int, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        answered(httpx.Response(status), write)


# Catalogs and fields.


def test_a_catalog_is_created_and_read() -> None:
    shop = Shop().made().put({"id": "a"}, {"id": "b"})
    answer = shop.ask(lambda client: client.catalogs())
    (catalog,) = answer.catalogs
    assert (catalog.name, catalog.description, catalog.num_items) == ("products", "What we sell", 2)
    assert catalog.fields == tuple(FIELDS)
    assert answer.named("products") is catalog
    assert answer.named("Products") is None
    assert answer.rate.limit == CATALOGS_LIMIT[0]


def test_a_name_that_is_taken() -> None:
    refused = Shop().made().refused(lambda client: client.create_catalog("products", "", FIELDS[:1]))
    assert refused.ids == {"catalog-name-already-exists"}


def test_fields_come_and_go() -> None:
    shop = Shop().made()
    answer = shop.ask(lambda client: client.add_fields("products", [CatalogField("tags", "array")]))
    assert (answer.status, answer.rate.limit) == (202, FIELDS_LIMIT[0])
    assert shop.sandbox.catalogs["products"].fields["tags"] == "array"
    shop.ask(lambda client: client.delete_field("products", "tags"))
    assert "tags" not in shop.sandbox.catalogs["products"].fields


def test_more_than_fifty_fields_are_refused_before_they_are_sent() -> None:
    shop = Shop().made()
    requests = shop.sandbox.requests
    with pytest.raises(PermanentError, match="50 at most"):
        shop.ask(lambda client: client.add_fields("products", [CatalogField("x", "string")] * 51))
    assert shop.sandbox.requests == requests


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b"no json",
        b'{"catalogs":[1]}',
        b'{"catalogs":[{"name":"a"}]}',
        b'{"catalogs":[{"name":"a","fields":[1]}]}',
    ],
)
def test_catalogs_that_cannot_be_read_may_be_asked_for_again(content: bytes) -> None:
    with pytest.raises(TransientError):
        answered(httpx.Response(200, content=content), lambda client: client.catalogs())


def test_what_is_not_told_of_a_catalog_is_empty() -> None:
    listed = {"catalogs": [{"name": "a", "fields": []}]}
    (catalog,) = answered(httpx.Response(200, json=listed), lambda client: client.catalogs()).catalogs
    assert (catalog.description, catalog.num_items) == ("", 0)


# Reading back.


def test_an_item_or_none() -> None:
    shop = Shop().made().put({"id": "a", "price": 1})
    assert shop.ask(lambda client: client.item("products", "a")).item == {"id": "a", "price": 1}
    assert shop.ask(lambda client: client.item("products", "b")).item is None
    assert shop.refused(lambda client: client.item("products", "a?b")).items == ("a?b",)


def test_pages_are_followed_by_their_cursor() -> None:
    shop = Shop().made()
    for start in (0, 50, 100):
        shop.put(*({"id": f"i{number:03}"} for number in range(start, min(120, start + 50))))

    async def all_pages(client: CatalogClient) -> list[list[str]]:
        pages: list[list[str]] = []
        cursor = None
        while not pages or cursor is not None:
            page = await client.items("products", cursor)
            assert page.rate.limit == ITEMS_READ_LIMIT[0]
            pages.append([item["id"] for item in page.items])
            cursor = page.next_cursor
        return pages

    pages = shop.ask(all_pages)
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [one for page in pages for one in page] == [f"i{number:03}" for number in range(120)]


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ('</catalogs/c/items?cursor=X%3D>; rel="prev",</catalogs/c/items?cursor=Y%2B%3D%3D>; rel="next"', "Y+=="),
        ('<https://rest.iad-01.braze.com/catalogs/c/items?cursor=Y>; rel="next"', "Y"),
        ('</catalogs/c/items?cursor=X>; rel="prev"', None),
        ("nonsense", None),
    ],
)
def test_the_cursor_is_read_from_the_link(link: str, cursor: str | None) -> None:
    answer = httpx.Response(200, json={"items": []}, headers={"Link": link})
    assert answered(answer, lambda client: client.items("c", None)).next_cursor == cursor


def test_a_page_that_leads_to_itself_is_an_error() -> None:
    answer = httpx.Response(200, json={"items": []}, headers={"Link": '</catalogs/c/items?cursor=X>; rel="next"'})
    with pytest.raises(PermanentError, match="same page"):
        answered(answer, lambda client: client.items("c", "X"))


def test_a_cursor_that_is_none_is_refused() -> None:
    assert Shop().made().refused(lambda client: client.items("products", "nonsense")).ids == {"invalid-cursor"}


# The key.


def test_the_probe_is_content_with_a_sound_key_and_changes_nothing() -> None:
    shop = Shop().made().put({"id": "a"})
    written = len(shop.sandbox.catalog_log)
    shop.ask(lambda client: client.probe_catalogs())
    assert len(shop.sandbox.catalog_log) == written
    assert set(shop.sandbox.catalogs) == {"products"}


def test_the_probe_names_every_permission_that_is_missing() -> None:
    for missing in ({"catalogs.get"}, {"catalogs.replace_items", "catalogs.get_item"}, NEEDED):
        shop = Shop(keys={SANDBOX_KEY: PERMISSIONS - missing})
        with pytest.raises(ConfigurationError) as caught:
            shop.ask(lambda client: client.probe_catalogs())
        assert set(re.findall(r"catalogs\.\w+", str(caught.value))) == missing


def test_the_probe_finds_a_key_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="REST API key"):
        Shop(inactive_keys={SANDBOX_KEY}).ask(lambda client: client.probe_catalogs())
