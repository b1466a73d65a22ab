"""The gate of catalog syncs: what must be true of an item before a campaign may show it.

Rules that go by a field's name, so that no sync file has to say them:

- price and currency: `gate.price` and `gate.currency`; by default the fields called `price` (a number) and `currency`;
- links: text fields called `url`, `link`, `image`, or ending in `_url`, `_link` or `_image`, in any case;
- the name: the first text field of `name`, `title`, `product_name` and `description`;
- descriptions: text fields called `description`, or ending in `_description`.

A clerk's note in place of a name is text with small letters and no capital one (`check`, `thrown away`), or without any
letter or digit (`?`, `??`). On its own it is only told of, as a price of zero is: some shops write small, and some
things are free. A row with both, or without any name and at no price, is no product and is held.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import polars as pl

from caspio_sync.deferred import pycountry
from caspio_sync.kinds.catalog.definition import CatalogSync
from caspio_sync.kinds.catalog.mapping import LAST_PRICE, ROWS_LAST, ROWS_NOW
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.schemas import CatalogType
from expectations.gate import Expectation, expectation_from
from expectations.rules import Joined, is_true, row_expectations, rule_column, rule_columns

DESCRIPTION_CHARS = 1_000
SHARE_OF_LAST = "_share_of_last"
_NAMES = ("name", "title", "product_name", "description")
_LINK = re.compile(r"(?i)^(?:.*_)?(?:url|link|image)$")
_DESCRIPTION = re.compile(r"(?i)^(?:.*_)?description$")
# A scheme, a host of labels, and nothing that a browser would have to guess at.
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?"
URL = rf"^(?i:https?)://(?:{_LABEL}\.)*{_LABEL}(?::\d{{1,5}})?(?:[/?#][^\s<>\"\\^`{{|}}]*)?$"

RULES: Mapping[str, str] = MappingProxyType(
    {
        "price_present": "an item without a price cannot be offered",
        "price_not_negative": "a price below nothing is a booking, or a mistake",
        "price_change": "a price that grew or fell by more than gate.max_price_factor may be a slip of the keys",
        "product": "a row with a clerk's note or nothing for a name, and no price, is no product",
        "currency_known": "a price means nothing without a currency code of ISO 4217, such as GBP",
        "url_form": "a link or picture that is no http(s) address is broken in every message",
    }
)
WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        "price_not_zero": "an item at nothing is given away, or not priced yet",
        "name_is_no_note": "a name that is missing or looks like a clerk's note is shown to customers",
        "description_length": f"a description of over {DESCRIPTION_CHARS} characters fills a whole message",
    }
)

_VALUE = ("value_type", "Braze refuses a value that is none of its type, and the other items of its request with it")
_SIZE = ("value_size", "Braze refuses larger values, and the other items of their request with them")
_CODE = ("value_code", "a code or number that means nothing cannot be used in a campaign")
_JOINED: Joined = MappingProxyType(
    {
        **dict.fromkeys(("integer_range", "number_finite", "boolean_value", "time_value", "geo_range"), _VALUE),
        **dict.fromkeys(("text_length", "array_size", "object_size"), _SIZE),
        **dict.fromkeys(("phone_format", "country_code", "language_code"), _CODE),
        "item_id": ("item_id", "an id that Braze refuses is refused with the other items of its request"),
    }
)


class _Fields:
    """The fields that the suite judges by name."""

    def __init__(self, sync: CatalogSync, mapping: RowMapping) -> None:
        types = {column.name: column.catalog_type for column in mapping.columns}
        texts = [name for name, type_ in types.items() if type_ == "string"]
        self.price = self._of_type(sync.price, types, "number")
        self.currency = self._of_type(sync.currency, types, "string")
        self.links = [name for name in texts if _LINK.match(name)]
        self.descriptions = [name for name in texts if _DESCRIPTION.match(name)]
        self.name = next((name for name in _NAMES if name in texts), None)

    @staticmethod
    def _of_type(name: str | None, types: dict[str, CatalogType | None], type_: CatalogType) -> str | None:
        return name if name is not None and types.get(name) == type_ else None


def judged_frame(rows: pl.DataFrame, sync: CatalogSync, mapping: RowMapping) -> pl.DataFrame:
    """The rows with one boolean column a rule, and the share of the last read's rows, as the suite names them.

    Args:
        rows: mapped rows. `_last_price`, `_rows_now` and `_rows_last` (schemas.py) may be missing: then nothing is said
            of changes and counts.
        sync: the definition.
        mapping: the mapping.
    """
    unknown = {LAST_PRICE: pl.Float64, ROWS_NOW: pl.Int64, ROWS_LAST: pl.Int64}
    rows = rows.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in unknown.items() if name not in rows.columns
    )
    # No last read, or one of no rows, says nothing of this one.
    share = pl.when(pl.col(ROWS_LAST) > 0).then(pl.col(ROWS_NOW) / pl.col(ROWS_LAST)).fill_null(1.0)
    own = (holds.fill_null(value=True).alias(rule_column(name)) for name, holds in _own_rules(sync, mapping))
    return rows.with_columns(*rule_columns(mapping, _JOINED), *own, share.alias(SHARE_OF_LAST))


def suite(sync: CatalogSync, mapping: RowMapping) -> Sequence[Expectation]:
    """The suite: at most fifteen expectations about rows, and one about their number."""
    own = [name for name, _ in _own_rules(sync, mapping)]
    share = sync.gate.min_share_of_last
    return [
        *row_expectations(mapping, _JOINED, "two rows with one id would overwrite each other's item"),
        *(is_true(name, rule_column(name), RULES[name], "critical") for name in own if name in RULES),
        *(is_true(name, rule_column(name), WARNINGS[name], "warning") for name in own if name in WARNINGS),
        expectation_from(
            "expect_column_min_to_be_between",
            {"column": SHARE_OF_LAST, "min_value": share},
            severity="critical",
            meta={
                "name": "rows_of_last",
                "why": f"the source has fewer than {share:.0%} of the rows that the last whole read found; "
                "look at it in Caspio, and lower gate.min_share_of_last where that is meant",
                "at_any_size": True,
            },
        ),
    ]


def _own_rules(sync: CatalogSync, mapping: RowMapping) -> Iterator[tuple[str, pl.Expr]]:
    """Name and condition of each rule that is about items; a null condition says nothing."""
    fields = _Fields(sync, mapping)
    if fields.price is not None:
        price, last, factor = pl.col(fields.price), pl.col(LAST_PRICE), sync.gate.max_price_factor
        yield "price_present", price.is_not_null()
        yield "price_not_negative", price >= 0
        within = pl.max_horizontal(price, last) <= factor * pl.min_horizontal(price, last)
        yield "price_change", within | price.is_null() | last.is_null()
        yield "price_not_zero", price != 0
    if fields.name is not None:
        name = pl.col(fields.name)
        named = name.is_not_null() & ~_is_note(name)
        yield "name_is_no_note", named
        if fields.price is not None:
            yield "product", named | (pl.col(fields.price).fill_null(0) != 0)
    if fields.currency is not None:
        yield "currency_known", pl.col(fields.currency).is_in(sorted(_currencies())).fill_null(value=False)
    if fields.links:
        formed = (pl.col(name).str.contains(URL).fill_null(value=True) for name in fields.links)
        yield "url_form", pl.all_horizontal(formed)
    if fields.descriptions:
        long = (pl.col(name).str.len_chars() > DESCRIPTION_CHARS for name in fields.descriptions)
        yield "description_length", ~pl.any_horizontal(long)


def _is_note(text: pl.Expr) -> pl.Expr:
    small = text.str.contains(r"\p{Ll}") & ~text.str.contains(r"[\p{Lu}\p{Lt}]")
    return (small | ~text.str.contains(r"[\p{L}\p{N}]")).fill_null(value=False)


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies)
