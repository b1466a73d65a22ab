"""Bodies of item requests: checked as a whole before anything is queued (reference, sections 9.1 to 9.3)."""

from typing import Any, Literal

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.catalogs import Catalog
from caspio_sync.sandbox.braze.catalogs_errors import MAX_CHARS, NAME, entry, refuse, refused
from caspio_sync.sandbox.braze.catalogs_values import ValueProblem, Values
from caspio_sync.sandbox.braze.track import read_body

MAX_ITEMS = 50
_NAMING = frozenset({"invalid-fields", "ids-not-unique"})  # the errors that the pages show with an item's id
Item = dict[str, Any]
Verb = Literal["POST", "PUT", "PATCH", "DELETE"]


class ItemChecks:
    """Judges items; keeps nothing. Every method raises `RefusedError` where the request is refused."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._values = Values(behaviour)

    def many(self, verb: Verb, catalog: Catalog, body: bytes) -> list[Item]:
        """Up to 50 items, their values as they will be stored; all or none of them."""
        items = _array(body)
        if len(items) > MAX_ITEMS:
            raise refuse("request-includes-too-many-items")
        nameless = sum("id" not in item or item["id"] is None for item in items)
        if nameless:
            message = f"There are {nameless} item(s) that do not have ids"
            raise refused([entry("items-missing-ids", message)])
        ids = [item["id"] for item in items]
        self._check_ids(ids, self._behaviour.catalog_put_ids_error if verb == "PUT" else "ids-not-strings")
        self._check_unique(ids)
        if verb == "DELETE":
            return items
        taken, problems = [], []
        for item in items:
            error = self._unknown_field(catalog, item)
            try:
                if error is None:
                    taken.append(self._taken(verb, catalog, item))
                    continue
            except ValueProblem as problem:
                error = problem.error
            problems.append((error, item["id"]))
        self._refuse_those(problems)
        return taken

    def one(self, verb: Verb, catalog: Catalog, item_id: str, body: bytes) -> Item:
        """The one item of a request that has its id in the address."""
        items = _array(body)
        if len(items) != 1:
            raise refuse("request-includes-too-many-items")
        (item,) = items
        if "id" in item:
            raise refuse("id-in-body", id=item["id"])
        self.check_id(item_id)
        if item_id in self._behaviour.catalog_arbitrary_errors:
            raise refuse("arbitrary-error", id=item_id)
        item = {"id": item_id, **item}
        error = self._unknown_field(catalog, item)
        if error is not None:
            raise refuse(error, id=item_id)
        for name in catalog.filtered_fields():
            if len(str(item.get(name, ""))) > self._behaviour.catalog_filtered_chars:
                raise refuse("filtered-set-field-too-long", id=item_id)
        try:
            return self._taken(verb, catalog, item)
        except ValueProblem as problem:
            raise refuse(problem.error, id=item_id) from problem

    def check_id(self, item_id: str) -> None:
        """An id that stands in the address."""
        self._check_ids([item_id], "ids-not-strings")

    def _taken(self, verb: Verb, catalog: Catalog, item: Item) -> Item:
        """Nulls stay in an edit, where they clear; elsewhere they say nothing."""
        if item["id"] in self._behaviour.catalog_large_items:
            raise ValueProblem("items-too-large")
        fields, take, editing = catalog.fields, self._values.take, verb == "PATCH"
        taken: Item = {}
        for name, value in item.items():
            if name == "id":
                taken["id"] = value
            elif value is not None:
                taken[name] = take(fields[name], value, editing=editing)
            elif editing:
                taken[name] = None
        return taken

    @staticmethod
    def _unknown_field(catalog: Catalog, item: Item) -> str | None:
        return None if item.keys() <= catalog.fields.keys() else "invalid-fields"

    def _check_ids(self, ids: list[Any], not_strings: str) -> None:
        problems = []
        for one in ids:
            if type(one) is not str:
                problems.append((not_strings, one))
            elif len(one) > MAX_CHARS:
                problems.append(("ids-too-large", one))
            elif NAME.fullmatch(one) is None:
                problems.append(("invalid-ids", one))
        self._refuse_those(problems)

    def _check_unique(self, ids: list[str]) -> None:
        if self._behaviour.catalog_ids_ignore_case:
            ids = [one.lower() for one in ids]
        if len(set(ids)) == len(ids):
            return
        again = dict.fromkeys(one for place, one in enumerate(ids) if one in ids[:place])
        self._refuse_those([("ids-not-unique", one) for one in again])

    def _refuse_those(self, problems: list[tuple[str, Any]]) -> None:
        """Refuse where there are problems, each the error's id and the id of the item at fault."""
        if not problems:
            return
        how = self._behaviour.catalog_errors
        if how == "first":
            problems = problems[:1]
        elif how == "unnamed":
            kinds = dict.fromkeys((error, item_id if error in _NAMING else None) for error, item_id in problems)
            raise refused([entry(error, id=item_id) if error in _NAMING else entry(error) for error, item_id in kinds])
        raise refused([entry(error, id=item_id) for error, item_id in problems])


def _array(body: bytes) -> list[Item]:
    items = read_body(body).get("items")
    if type(items) is not list or not items or not all(type(item) is dict for item in items):
        raise refuse("item-array-invalid")
    return items
