"""A mapping of one row with a cell of each type that text is read into."""

from datetime import date
from typing import Any

import polars as pl

from caspio_sync.destinations.braze.attributes import ATTRIBUTE_VALUES
from caspio_sync.destinations.braze.objects import encode_objects, identifier_expression
from caspio_sync.kinds.profiles.mapping import ProfileMapping
from caspio_sync.schemas import SOURCE_DTYPES, CaspioField
from tests.definitions import profiles

TYPES = {"Id": "STRING", "Text": "STRING", "Phone": "STRING", "Country": "STRING", "Number": "NUMBER", "When": "DATE/TIME", "Words": "LIST-STRING"}  # fmt: skip


FIELDS = [CaspioField(name, type_) for name, type_ in TYPES.items()]


MARK, JOINER = "\u200b", "\u200d"


def a_mapping(fields: str, identity: str = "external_id: Id", more: str = "") -> ProfileMapping:
    text = f"kind: profiles\nsource: {{table: People}}\nidentity: {{{identity}}}\nfields: {{{fields}}}\n{more}"
    return ProfileMapping(profiles(text), FIELDS, ATTRIBUTE_VALUES)


def mapped(mapping: ProfileMapping, **cells: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"source_pk": pl.Int64, "uncastable": pl.List(pl.String)}
    schema |= {name: SOURCE_DTYPES[type_] for name, type_ in TYPES.items()}
    rows = pl.DataFrame([{"source_pk": 1, "Id": "1"} | cells], schema=schema)
    return mapping.apply(rows, today=date(2026, 1, 1)).to_dicts()[0]


def sent(mapping: ProfileMapping, **cells: Any) -> str:
    """The object that Braze would get."""
    rows = pl.DataFrame(
        [mapped(mapping, **cells)], schema_overrides={each.name: each.dtype for each in mapping.columns}
    )
    rows = rows.with_columns(pl.lit(value=True).alias(f"_send.{each.name}") for each in mapping.columns)
    objects = encode_objects(
        rows,
        mapping.columns,
        identifier=identifier_expression("external_id"),
        travels=lambda name: f"_send.{name}",
        update_only=False,
    )
    return str(objects[0])
