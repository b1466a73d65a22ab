"""Refusals of the catalog endpoints, in the form and with the ids of the reference (section 9.3)."""

import re
from collections.abc import Sequence
from typing import Any

from caspio_sync.sandbox.braze.track import RefusedError

# What no page words is worded here.
MESSAGES = {
    "arbitrary-error": "An arbitrary error occurred",
    "catalog-array-invalid": "'catalogs' must be an array of objects",
    "catalog-exceeds-fields-limit": "The catalog would have more than 500 fields",
    "catalog-name-already-exists": "A catalog with that name already exists",
    "catalog-name-too-large": "The catalog name may have 250 characters at most",
    "catalog-not-found": "Could not find catalog",
    "company-size-limit-already-reached": "The company's limit of catalog storage is reached",
    "company-size-limit-surge": "The request would exceed the company's limit of catalog storage",
    "description-too-long": "The description may have 250 characters at most",
    "field-is-inventory": "The field is used as an inventory field",
    "field-names-not-unique": "Some of the field names are given twice",
    "field-names-too-large": "Field names may have 250 characters at most",
    "field-referenced-by-selection": "The field is used by a selection",
    "filtered-set-field-too-long": "The value of a field that a filtered set uses is too long",
    "id-in-body": "The id stands in the address and may not stand in the body",
    "id-not-first-column": "The first field must be 'id'",
    "ids-not-string": "Ids must be strings",
    "ids-not-strings": "Ids must be strings",
    "ids-not-unique": "Ids must be unique within the request",
    "ids-too-large": "Ids may have 250 characters at most",
    "invalid-catalog-name": "Catalog names may hold letters, digits, hyphens and underscores",
    "invalid-cursor": "'cursor' is not valid",
    "invalid-field-name": "The field name is not valid",
    "invalid-field-names": "Field names may hold letters, digits, hyphens and underscores",
    "invalid-field-types": "Field types are string, number, boolean, time, object, array and geo; 'id' is a string",
    "invalid-fields": "Some of the fields given do not exist in the catalog",
    "invalid-ids": "Ids may hold letters, digits, hyphens and underscores",
    "invalid-keys-in-value-object": "Keys of an object may hold neither '.' nor '$'",
    "invalid-selection": "The selection is not valid",
    "invalid-sort-field": "'sort_field' is no field of the catalog",
    "invalid-sort-order": "'sort_order' must be 'asc' or 'desc'",
    "invalid-sorting": "'sort_field' and 'sort_order' must be given together",
    "item-already-exists": "The item already exists",
    "item-array-invalid": "'items' must be an array of objects",
    "item-not-found": "Could not find item",
    "items-too-large": "Values may have 5000 characters at most",
    "request-includes-too-many-fields": "A request may hold 50 fields at most",
    "request-includes-too-many-items": "The request holds too many items",
    "selection-contains-too-many-arrays": "A selection may filter by one array field at most",
    "selection-has-invalid-filter": "A filter of the selection is not valid",
    "selection-invalid-results-limit": "'results_limit' must be between 1 and 50",
    "selection-limit-reached": "The catalog has 30 selections already",
    "selection-name-already-exists": "A selection with that name already exists",
    "too-deep-nesting-in-value-object": "Objects may be nested 50 deep at most",
    "too-many-catalog-atoms": "A request may create one catalog",
    "too-many-fields": "A catalog may have 500 fields at most",
    "too-many-filters": "A selection may have 4 filters at most",
    "unable-to-coerce-value": "Some of the values cannot be converted to the type of their field",
}
MAX_CHARS = 250
NAME = re.compile(r"[A-Za-z0-9_-]+")


def entry(error: str, message: str | None = None, **parameters: Any) -> dict[str, Any]:
    """One entry of `errors`."""
    return {
        "id": error,
        "message": message or MESSAGES[error],
        "parameters": list(parameters),
        "parameter_values": list(parameters.values()),
    }


def refused(entries: Sequence[dict[str, Any]], status: int = 400) -> RefusedError:
    """The whole request is refused; nothing of it is taken."""
    return RefusedError(status, "Invalid Request", list(entries))


def refuse(error: str, *, status: int = 400, **parameters: Any) -> RefusedError:
    """A refusal for one reason."""
    return refused([entry(error, **parameters)], status)
