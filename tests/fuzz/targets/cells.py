"""Cells of every type, through extraction, the mappings of profiles and of a catalog, and the comparison, no gate."""

from datetime import date
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from caspio_sync.caspio.cells import source_frame
from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.destinations.braze.item_objects import encode_items
from caspio_sync.destinations.braze.objects import encode_objects, identifier_expression
from caspio_sync.engine.kind import mapping_of
from caspio_sync.kinds.catalog.mapping import CatalogMapping
from caspio_sync.ledger.compare import Versions, compare, send
from caspio_sync.ledger.schema import LEDGER_ROW_SCHEMA
from caspio_sync.mapping.row_mapping import RowMapping
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.schemas import KEY, PROBLEMS, SOURCE_DTYPES, SOURCE_PK, CaspioField
from tests.fuzz.judging import BrokenPromiseError, Target

_FIELDS = tuple(
    CaspioField(kind.title().replace(" ", "").replace("/", "").replace("-", ""), kind) for kind in SOURCE_DTYPES
)
_TODAY = date(2026, 1, 1)
_PROFILES = """
kind: profiles
source: {table: T, time_zone: Europe/London}
identity: {external_id: String}
fields:
  email: Text
  phone: {from: Guid, transform: {phone: {from: File, region: GB}}}
  country: File
  language: File
  gender: File
  dob: DateTime
  born: {from: String, type: date}
  at: {from: String, type: datetime}
  title: {from: Text, transform: [trim, title, {truncate: 20}]}
  orders: Integer
  score: {from: Number, transform: {round: 2}}
  number: {from: String, type: number}
  spend: Currency
  active: YesNo
  stamped: Timestamp
  tags: ListString
  numbers: ListNumber
  dates: ListDateTime
  all: {object: {a: Number, b: Text, c: ListString, d: {object: {e: YesNo, f: Timestamp}}}}
  rows: {array: [{object: {kind: {constant: x}, at: DateTime}}]}
  cleared: {from: Text, on_null: clear}
consent:
  email_subscribe: {from: File, map: {yes: subscribed, no: unsubscribed}}
  subscription_groups:
    - {id: 6f1d1c5e-3b1a-4d52-9d0f-0d9a4c0e5a11, channel: email, from: YesNo}
"""
_CATALOG = """
kind: catalog
source: {table: T, time_zone: Europe/London}
catalog: {name: things}
item_id: String
fields:
  name: Text
  price: Currency
  score: Number
  count: Integer
  active: YesNo
  since: DateTime
  tags: ListString
  details: {object: {a: Number, b: Text}}
"""


# Made at import: a refusal of these files, in the middle of a run, would pass for one of the input.
_MAPPINGS = tuple(mapping_of(parse_sync(text, Path("fuzz.yaml")), _FIELDS) for text in (_PROFILES, _CATALOG))


def run(data: bytes) -> list[str]:
    """Read a page of records and map it: every row has a key or a reason, and is in the comparison exactly once."""
    frame = source_frame([data], _FIELDS, "PK_ID")
    texts = []
    for mapping in _MAPPINGS:
        mapped = mapping.apply(frame, today=_TODAY)
        if mapped.height != frame.height or not mapped[SOURCE_PK].equals(frame[SOURCE_PK]):
            raise BrokenPromiseError("a row is lost in the mapping")
        if mapped.filter(pl.col(KEY).is_null() & pl.col(PROBLEMS).is_null()).height:
            raise BrokenPromiseError("a row without a key and without a reason")
        compared = compare(
            mapped,
            pl.DataFrame(schema=LEDGER_ROW_SCHEMA),
            columns=mapping.columns,
            versions=Versions(1, 1, {1: tuple(each.name for each in mapping.columns)}),
            consent=CONSENT,
            salt=5,
        )
        counted = compared.changes.height + compared.settled.height + compared.unchanged + sum(compared.held.values())
        if counted != frame.height:
            raise BrokenPromiseError("a row is lost in the comparison")
        _check_objects(mapping, compared.changes.filter(pl.col(KEY).is_not_null()))
        texts += mapped[PROBLEMS].drop_nulls().to_list()
    return texts


def _check_objects(mapping: RowMapping, changes: pl.DataFrame) -> None:
    """What would be sent is JSON, and bears the row's key."""
    if isinstance(mapping, CatalogMapping):
        name, objects = "id", encode_items(changes, mapping.columns)
    else:
        name = "external_id"
        objects = encode_objects(
            changes, mapping.columns, identifier=identifier_expression(name), travels=send, update_only=False
        )
    for key, text in zip(changes[KEY], objects, strict=True):
        try:
            sent = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise BrokenPromiseError("what would be sent is no JSON") from None
        if sent[name] != key:
            raise BrokenPromiseError("what would be sent bears another key")


_ROW = {
    "PK_ID": 1, "Autonumber": 1, "Integer": 5, "Number": 2008.0, "Currency": 1.5, "YesNo": True, "DateTime": "1990-05-01T00:00:00",
    "Timestamp": "2026-01-01T00:00:00", "String": "A-1", "Text": "ada@example.com", "Guid": "+44 20 7946 0018", "RandomId": "X",
    "PrefixedAutonumber": "P1", "File": "GB", "Attachment": None, "ListString": {"1": "red", "2": "blue"}, "ListNumber": {"1": 1.5},
    "ListDateTime": {"1": "2026-01-01T00:00:00"},
}  # fmt: skip
_ODD: tuple[dict[str, Any], ...] = (
    {"File": "Turkey", "Guid": "344 530 39 44"}, {"File": "Congo"}, {"File": "no\u200b"}, {"File": "U.S.A."}, {"File": "woman"},
    {"String": "2024-05-01T10:00:00.123Z"}, {"String": "2024-05-01 10:00:00+00:00"}, {"String": "1990/05/01"}, {"String": "20260101"},
    {"Number": 9007199254740993}, {"Number": 1e20}, {"Number": 4.125}, {"String": "1e400"}, {"Integer": 2**63}, {"Integer": "12"},
    {"String": "A-1\u200b"}, {"Text": "\u2060"}, {"Text": "john's office 5th avenue"}, {"String": ""}, {"String": None}, {"String": 7},
    {"DateTime": "1900-01-01T00:00:00"}, {"DateTime": "10000-01-01"}, {"DateTime": 5}, {"Timestamp": "2026-10-25T01:30:00"},
    {"ListString": []}, {"ListString": {"x": None}}, {"ListString": "red"}, {"YesNo": "yes"}, {"YesNo": None}, {"Text": "a\x00b"},
    {"Text": {"a": 1}}, {"Guid": "n/a"}, {"Attachment": [1]}, {"PK_ID": "2"}, {"PK_ID": None}, {"PK_ID": 1.5}, {"Text": "x" * 300},
)  # fmt: skip

TARGET = Target(
    "cells",
    run,
    words=(b"\\ud83d", b"\\u0000", b"\\u200b", b"1e999", b'"2024-02-30T00:00:00"', b'{"1":', b"null", b"-0.0", b'"PK_ID":2,'),
    seeds=(
        orjson.dumps([_ROW]),
        orjson.dumps([_ROW, _ROW | {"PK_ID": 2, "String": "A-2"}, {"PK_ID": 3}]),
        b"[]",
        *(orjson.dumps([_ROW | change], option=orjson.OPT_PASSTHROUGH_SUBCLASS) for change in _ODD if change != {"Integer": 2**63}),
        orjson.dumps([_ROW]).replace(b'"Integer":5', b'"Integer":9223372036854775808'),
    ),
)  # fmt: skip
