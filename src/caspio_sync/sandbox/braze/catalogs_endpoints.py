"""The catalog endpoints: addresses, permissions, pools, answers (reference, sections 1.3, 2.1 and 9.2)."""

from collections import deque
from functools import partial
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, quote

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.catalogs import Catalog, Catalogs
from caspio_sync.sandbox.braze.catalogs_errors import refuse
from caspio_sync.sandbox.braze.catalogs_items import Item, ItemChecks, Verb
from caspio_sync.sandbox.braze.catalogs_schema import check_deletable, new_catalog, new_fields, new_selection
from caspio_sync.sandbox.braze.rate import PoolLimit


class CatalogWrite(NamedTuple):
    """An accepted write: its verb, its path after `/catalogs/`, its body as it came."""

    method: str
    path: str
    body: bytes

    @property
    def items(self) -> list[Item]:
        """The items it held."""
        items: list[Item] = orjson.loads(self.body).get("items", []) if self.body else []
        return items


class CatalogEndpoints:
    """Answers requests; `catalogs` is the state, `log` the last accepted writes, oldest first."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._checks = ItemChecks(behaviour)
        self.catalogs = Catalogs(behaviour)
        self.log: deque[CatalogWrite] = deque(maxlen=behaviour.logged_requests)
        whole = PoolLimit(behaviour, behaviour.catalogs_per_minute, 60)
        writes = PoolLimit(behaviour, behaviour.catalog_writes_per_minute, 60)
        reads = PoolLimit(behaviour, behaviour.catalog_reads_per_minute, 60)
        fields = PoolLimit(behaviour, behaviour.catalog_fields_per_minute, 60)
        # By verb and the form of the path: the name of a catalog and of what is in it left out.
        self._routes = {
            ("GET", ""): ("get", whole, self._list),
            ("POST", ""): ("create", whole, self._create),
            ("DELETE", "*"): ("delete", whole, self._delete),
            ("GET", "*/items"): ("get_items", reads, self._list_items),
            ("POST", "*/items"): ("add_items", writes, self._write_items),
            ("PUT", "*/items"): ("replace_items", writes, self._write_items),
            ("PATCH", "*/items"): ("update_items", writes, self._write_items),
            ("DELETE", "*/items"): ("delete_items", writes, self._write_items),
            ("GET", "*/items/*"): ("get_item", reads, self._get_item),
            ("POST", "*/items/*"): ("create_item", reads, self._write_item),
            ("PUT", "*/items/*"): ("replace_item", reads, self._write_item),
            ("PATCH", "*/items/*"): ("update_item", reads, self._write_item),
            ("DELETE", "*/items/*"): ("delete_item", reads, self._delete_item),
            ("POST", "*/fields"): ("create_fields", fields, self._add_fields),
            ("DELETE", "*/fields/*"): ("delete_fields", fields, self._delete_field),
            ("POST", "*/selections"): ("create_selection", fields, self._add_selection),
            ("DELETE", "*/selections/*"): ("delete_selection", fields, self._delete_selection),
        }

    def route(self, method: str, path: str) -> Endpoint | None:
        """The endpoint at this address, None where there is none."""
        start, *parts = path.removeprefix("/").split("/")
        if start != "catalogs" or not all(parts):
            return None
        form = "/".join("*" if place % 2 == 0 else part for place, part in enumerate(parts))
        found = self._routes.get((method, form))
        if found is None:
            return None
        right, pool, answer = found
        return Endpoint(f"catalogs.{right}", lambda call: pool.admit(call.now), answer)

    # Catalogs.

    def _list(self, call: Call) -> Reply:
        self.catalogs.settle(call.now)
        return Reply(200, _described(*self.catalogs.values()))

    def _create(self, call: Call) -> Reply:
        self.catalogs.settle(call.now)
        catalog = new_catalog(call.body, self.catalogs, call.now)
        self.catalogs.add(catalog)
        return self._logged(call, Reply(201, _described(catalog)))

    def _delete(self, call: Call) -> Reply:
        self.catalogs.remove(self._catalog(call))
        return self._logged(call, Reply(200))

    # Items, many in a request.

    def _list_items(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        cursor = parse_qs(call.query.decode(), keep_blank_values=True).get("cursor", [None])[0]
        items, before, after = catalog.page(cursor)
        pages = [("prev", before), ("next", after)]
        links = [
            f'</catalogs/{quote(catalog.name)}/items?cursor={quote(at)}>; rel="{which}"' for which, at in pages if at
        ]
        headers = [(b"link", ",".join(links).encode())] if links else []
        return Reply(200, self._shown(catalog, items), headers)

    def _write_items(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        verb = cast("Verb", call.method)
        items = self._checks.many(verb, catalog, call.body)
        if verb == "PUT":
            self._check_storage(catalog, items, len(call.body))
        self.catalogs.queue_items(verb, catalog, items, call.now)
        return self._logged(call, Reply(202))

    # One item, at once.

    def _get_item(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        return Reply(200, self._shown(catalog, [self._item(catalog, call)]))

    def _write_item(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        verb = cast("Verb", call.method)
        item = self._checks.one(verb, catalog, call.path[2], call.body)
        there = self.catalogs.key(item["id"]) in catalog.items
        if verb == "POST" and there:
            raise refuse("item-already-exists", item_id=item["id"])
        if verb == "PATCH" and not there:
            raise refuse("item-not-found", status=404, item_id=item["id"])
        if verb == "PUT":
            self._check_storage(catalog, [item], len(call.body))
        self.catalogs.write_now(verb, catalog, item, call.now)
        return self._logged(call, Reply(201 if verb == "POST" else 200))

    def _delete_item(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        item = self._item(catalog, call, status=400)  # the page shows it under 400
        self.catalogs.write_now("DELETE", catalog, item, call.now)
        return self._logged(call, Reply(202))

    # Fields and selections.

    def _add_fields(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        full = self.catalogs.storage_used >= self._behaviour.catalog_storage
        fields = new_fields(call.body, catalog, full=full)
        self.catalogs.queue(partial(self.catalogs.add_fields, catalog, fields), call.now)
        return self._logged(call, Reply(202))

    def _delete_field(self, call: Call) -> Reply:
        catalog, name = self._catalog(call), call.path[2]
        check_deletable(catalog, name, self._behaviour)
        self.catalogs.queue(partial(self.catalogs.delete_field, catalog, name), call.now)
        return self._logged(call, Reply(202))

    def _add_selection(self, call: Call) -> Reply:
        catalog = self._catalog(call)
        selection = new_selection(call.body, catalog)

        def add(_at: float) -> None:
            catalog.selections[selection["name"]] = selection

        self.catalogs.queue(add, call.now)
        return self._logged(call, Reply(202))

    def _delete_selection(self, call: Call) -> Reply:
        catalog, name = self._catalog(call), call.path[2]
        if name not in catalog.selections:
            raise refuse("invalid-selection", selection_name=name)

        def delete(_at: float) -> None:
            catalog.selections.pop(name, None)

        self.catalogs.queue(delete, call.now)
        return self._logged(call, Reply(202))

    def _catalog(self, call: Call) -> Catalog:
        self.catalogs.settle(call.now)
        catalog = self.catalogs.get(call.path[0])
        if catalog is None:
            raise refuse("catalog-not-found", status=404, catalog_name=call.path[0])
        return catalog

    def _item(self, catalog: Catalog, call: Call, *, status: int = 404) -> Item:
        self._checks.check_id(call.path[2])
        item = catalog.items.get(self.catalogs.key(call.path[2]))
        if item is None:
            raise refuse("item-not-found", status=status, item_id=call.path[2])
        return item

    def _shown(self, catalog: Catalog, items: list[Item]) -> bytes:
        if self._behaviour.catalog_empty_fields == "null":
            items = [{name: item.get(name) for name in catalog.fields} for item in items]
        return orjson.dumps({"items": items, "message": "success"})

    def _check_storage(self, catalog: Catalog, items: list[Item], size: int) -> None:
        """As far as writes have taken effect: what is still queued is not counted, and may find no room."""
        used, limit = self.catalogs.storage_used, self._behaviour.catalog_storage
        if used >= limit:
            raise refuse("company-size-limit-already-reached")
        # The body's length is cheap, and items take hardly more.
        if used + 2 * size > limit and used + self.catalogs.growth(catalog, items) > limit:
            raise refuse("company-size-limit-surge")

    def _logged(self, call: Call, reply: Reply) -> Reply:
        self.log.append(CatalogWrite(call.method, "/".join(call.path), call.body))
        return reply


def _described(*catalogs: Catalog) -> bytes:
    described: list[dict[str, Any]] = [catalog.described() for catalog in catalogs]
    return orjson.dumps({"catalogs": described, "message": "success"})
