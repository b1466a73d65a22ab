"""Bodies that make catalogs, fields and selections: what is refused in them (reference, sections 9.1 and 9.3)."""

from typing import Any

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.catalogs import Catalog, Catalogs
from caspio_sync.sandbox.braze.catalogs_errors import MAX_CHARS, NAME, refuse
from caspio_sync.sandbox.braze.catalogs_values import FIELD_TYPES
from caspio_sync.sandbox.braze.track import read_body

MAX_FIELDS = 500
MAX_NEW_FIELDS = 50
MAX_SELECTIONS = 30
MAX_FILTERS = 4
MAX_RESULTS = 50


def new_catalog(body: bytes, catalogs: Catalogs, now: float) -> Catalog:
    """The catalog that `POST /catalogs` asks for; raises `RefusedError` where it is refused."""
    asked = read_body(body).get("catalogs")
    if type(asked) is not list or not asked or not all(type(each) is dict for each in asked):
        raise refuse("catalog-array-invalid")
    if len(asked) > 1:
        raise refuse("too-many-catalog-atoms")
    (catalog,) = asked
    name, description = catalog.get("name"), catalog.get("description") or ""
    if type(name) is not str or not name:
        raise refuse("invalid-catalog-name", name=name)
    if len(name) > MAX_CHARS:
        raise refuse("catalog-name-too-large", name=name)
    if not NAME.fullmatch(name):
        raise refuse("invalid-catalog-name", name=name)
    if name in catalogs:
        raise refuse("catalog-name-already-exists", name=name)
    if len(str(description)) > MAX_CHARS:
        raise refuse("description-too-long", description=description)
    return Catalog(name, str(description), _fields(catalog.get("fields")), now)


def _fields(asked: Any) -> dict[str, str]:
    if type(asked) is not list or not asked or not all(map(_is_field, asked)):
        raise refuse("invalid-fields", fields=asked)
    names = [each["name"] for each in asked]
    if len(names) > MAX_FIELDS:
        raise refuse("too-many-fields")
    if names[0] != "id":
        raise refuse("id-not-first-column", fields=names[0])
    long = [name for name in names if len(name) > MAX_CHARS]
    if long:
        raise refuse("field-names-too-large", fields=long[0])
    bad = [name for name in names if not NAME.fullmatch(name)]
    if bad:
        raise refuse("invalid-field-names", fields=bad[0])
    if len(set(names)) < len(names):
        raise refuse("field-names-not-unique", fields=next(name for name in names if names.count(name) > 1))
    types = {each["name"]: each["type"] for each in asked}
    wrong = [name for name, kind in types.items() if kind not in FIELD_TYPES]
    if wrong or types["id"] != "string":
        raise refuse("invalid-field-types", fields=(wrong or ["id"])[0])
    return types


def new_fields(body: bytes, catalog: Catalog, *, full: bool) -> dict[str, str]:
    """The fields that are to be added; raises `RefusedError` where they are refused.

    Args:
        body: of the request.
        catalog: the fields are for it.
        full: whether the company's storage is used up.
    """
    asked = read_body(body).get("fields")
    # No page says how fields of another form are refused here.
    if type(asked) is not list or not asked or not all(map(_is_field, asked)):
        raise refuse("arbitrary-error")
    if len(asked) > MAX_NEW_FIELDS:
        raise refuse("request-includes-too-many-fields")
    if len(catalog.fields) + len(asked) > MAX_FIELDS:
        raise refuse("catalog-exceeds-fields-limit")
    names = [each["name"] for each in asked]
    for place, name in enumerate(names):
        if not NAME.fullmatch(name) or len(name) > MAX_CHARS or name in catalog.fields or name in names[:place]:
            raise refuse("invalid-field-name", field_name=name)
    if not all(each["type"] in FIELD_TYPES for each in asked):
        raise refuse("arbitrary-error")
    if full:
        raise refuse("company-size-limit-already-reached")
    return {each["name"]: each["type"] for each in asked}


def check_deletable(catalog: Catalog, name: str, behaviour: BrazeBehaviour) -> None:
    """Refuse to delete a field that is not there, is the id, or is in use."""
    if name == "id" or name not in catalog.fields:
        raise refuse("invalid-field-name", field_name=name)
    sorting = {selection.get("sort_field") for selection in catalog.selections.values()}
    if name in catalog.filtered_fields() | sorting:
        raise refuse("field-referenced-by-selection", field_name=name)
    if f"{catalog.name}/{name}" in behaviour.catalog_inventory_fields:
        raise refuse("field-is-inventory", field_name=name)


def new_selection(body: bytes, catalog: Catalog) -> dict[str, Any]:
    """The selection asked for; raises `RefusedError` where it is refused."""
    selection = read_body(body).get("selection")
    if type(selection) is not dict:
        raise refuse("invalid-selection")
    name, source = selection.get("name"), selection.get("source")
    if type(name) is not str or not name or not selection.get("external_id") or source not in ("custom", "Shopify"):
        raise refuse("invalid-selection")
    if len(catalog.selections) >= MAX_SELECTIONS:
        raise refuse("selection-limit-reached")
    if name in catalog.selections:
        raise refuse("selection-name-already-exists", name=name)
    _check_filters(selection.get("filters") or [], catalog)
    limit = selection.get("results_limit", MAX_RESULTS)
    if type(limit) is not int or not 1 <= limit <= MAX_RESULTS:
        raise refuse("selection-invalid-results-limit")
    field, order = selection.get("sort_field"), selection.get("sort_order")
    if (field is None) != (order is None):
        raise refuse("invalid-sorting")
    if field is not None and field not in catalog.fields:
        raise refuse("invalid-sort-field", sort_field=field)
    if order not in (None, "asc", "desc"):
        raise refuse("invalid-sort-order", sort_order=order)
    return selection


def _check_filters(filters: Any, catalog: Catalog) -> None:
    if type(filters) is not list:
        raise refuse("selection-has-invalid-filter")
    if len(filters) > MAX_FILTERS:
        raise refuse("too-many-filters")
    for each in filters:
        known = type(each) is dict and type(each.get("field")) is str and each["field"] in catalog.fields
        if not known or not each.get("operator"):
            raise refuse("selection-has-invalid-filter")
    if sum(catalog.fields[each["field"]] == "array" for each in filters) > 1:
        raise refuse("selection-contains-too-many-arrays")


def _is_field(asked: Any) -> bool:
    return type(asked) is dict and type(asked.get("name")) is str and type(asked.get("type")) is str
