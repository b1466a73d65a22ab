"""What Braze's catalog endpoints take, answer and refuse; `braze_catalogs.py` asks them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from caspio_sync.schemas import CatalogField
from caspio_sync.wire.http import RateLimit, RefusedError

WriteMethod = Literal["PUT", "PATCH", "DELETE"]

MAX_ITEMS = 50  # an asynchronous request (Braze, 9.1)
MAX_NEW_FIELDS = 50  # a request to /catalogs/{name}/fields (Braze, 9.1)
MAX_FIELDS = 500  # a catalog, by the API (Braze, 9.1)
MAX_VALUE_CHARS = 5_000  # a value (Braze, 9.1)
ITEMS_PER_PAGE = 50  # GET /catalogs/{name}/items (Braze, 9.2)

# Braze's limits (Braze, 2.1), as requests and seconds; each is one pool for all that is named.
ITEMS_WRITE_LIMIT = (16_000, 60.0)  # POST, PUT, PATCH, DELETE of /catalogs/{name}/items
ITEMS_READ_LIMIT = (50, 60.0)  # GET /catalogs/{name}/items, and all verbs of …/items/{id}
CATALOGS_LIMIT = (50, 60.0)  # GET and POST /catalogs, DELETE /catalogs/{name}
FIELDS_LIMIT = (50, 60.0)  # fields and selections


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog as Braze has it."""

    name: str
    description: str
    fields: tuple[CatalogField, ...]
    num_items: int


@dataclass(frozen=True, slots=True)
class CatalogsAnswer:
    """The workspace's catalogs."""

    catalogs: tuple[Catalog, ...]
    rate: RateLimit = field(default_factory=RateLimit)

    def named(self, name: str) -> Catalog | None:
        """The catalog of this name, None where there is none; case counts."""
        return next((catalog for catalog in self.catalogs if catalog.name == name), None)


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """At most 50 items, and the cursor of the next page; None after the last."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """An item; None where the catalog has none of this id."""

    item: dict[str, Any] | None
    rate: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class CatalogError:
    """An entry of `errors` (Braze, 9.3).

    Args:
        id: what is wrong, such as "ids-not-unique".
        message: Braze's sentence, values masked.
        parameters: names of what the entry is about, such as "id".
        parameter_values: their values, as they came: keys, or what a row held; for no log.
    """

    id: str
    message: str
    parameters: tuple[str, ...] = ()
    parameter_values: tuple[Any, ...] = field(default=(), repr=False)

    @property
    def items(self) -> Iterator[str]:
        """Ids of the items it names."""
        names = self.parameters
        if names == ("id",):  # how several items are named is not documented
            names *= len(self.parameter_values)
        for parameter, value in zip(names, self.parameter_values, strict=False):
            if parameter in {"id", "item_id"}:
                yield from (str(one) for one in (value if isinstance(value, list) else [value]) if one is not None)


class CatalogRefusedError(RefusedError):
    """A request to a catalog endpoint that Braze refused as a whole.

    Args:
        message: as for `CallError`.
        status: 400 or 404, or another that is refused for good.
        message_text: ids and sentences of the errors; Braze's own message where it names none.
        rate: the answer's rate window.
        errors: what is wrong; empty where the answer holds nothing that can be read.
    """

    def __init__(
        self, message: str, *, status: int, message_text: str, rate: RateLimit, errors: tuple[CatalogError, ...] = ()
    ) -> None:
        super().__init__(message, status=status, message_text=message_text, rate=rate)
        self.errors = errors

    @property
    def ids(self) -> frozenset[str]:
        """The errors' ids."""
        return frozenset(error.id for error in self.errors)

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the items that the errors name, each once; empty where they name none."""
        return tuple(dict.fromkeys(item for error in self.errors for item in error.items))

    @property
    def catalog_missing(self) -> bool:
        """Whether there is no catalog of that name."""
        return "catalog-not-found" in self.ids

    @property
    def storage_full(self) -> bool:
        """Whether the company's catalog storage is used up, or would be by this request."""
        return any(one.startswith("company-size-limit") for one in self.ids)
