"""What travels between the steps: the columns of each frame, and the words of its values, declared once.

    Caspio pages ─▶ source frame ─▶ mapped frame ─▶ changes ─▶ outcomes

source frame    `source_pk` (Int64), one column a Caspio field, cast by its declared type, and `uncastable`
                (List(String): the fields of this row whose cell could not be cast; null for a clean row)
mapped frame    `source_pk`, `key` (String), `_former_key` (the key as its cell has it, where blanks that nobody sees
                stand at its ends; else null), one column a mapped attribute, `<column>__ok` (Boolean, never null) for
                each column that can be ill-formed, `key__ok`, and `problems` (String: what is wrong, values masked;
                null for a clean row)
changes         the mapped frame's new and changed rows, and what the ledger knows of them (see ledger/compare.py)
outcomes        the changes that were answered, with `verdict`, `reason`, `request`, `status` (delivery/outcomes.py)
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import polars as pl

SOURCE_PK = "source_pk"
KEY = "key"
UNCASTABLE = "uncastable"
PROBLEMS = "problems"
FORMER_KEY = "_former_key"  # of the mapped frame (see ledger/former_keys.py)
HELD_BEFORE = "_held_before"  # of the changes: whether the gate held the row before
OK_SUFFIX = "__ok"
# Columns that stand beside the mapped ones until these have left. Nothing may be mapped to such a name: the column
# would take the place of its value, and be sent for it.
OF_FRAMES = frozenset(
    {
        KEY,
        SOURCE_PK,
        PROBLEMS,
        UNCASTABLE,
        "key_unique",
        "key_hash",
        "fp",
        "fields",
        "changed",
        "consent_fields",
        "consent_changed",
    }
)


def ok(column: str) -> str:
    """Name of the boolean column that says whether `column` is well-formed."""
    return f"{column}{OK_SUFFIX}"


class Verdict(StrEnum):
    """What became of a row version: exactly one each."""

    SENT = "sent"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"
    DRIFTED = "drifted"  # it was sent, and Braze does not hold it so: the next run sends it again
    DELETED = "deleted"  # the row is gone from Caspio, and its item from the catalog


@dataclass(frozen=True, slots=True)
class CaspioField:
    """A field as Caspio declares it (GET /v3/tables/{t}/fields).

    Args:
        name: the field's Name, never its Label.
        type: the REST type, spelled as in `SOURCE_DTYPES`.
        unique: whether Caspio refuses a second row with the same value.
        on_insert: for TIMESTAMP: stamped when the row is inserted.
        on_update: for TIMESTAMP: stamped when the row changes.
        time_zone: for TIMESTAMP: a Windows zone id, "" or None where none is declared.
        editable: False for values a client must not send.
        is_formula: computed by Caspio; read-only.
    """

    name: str
    type: str
    unique: bool = False
    on_insert: bool = False
    on_update: bool = False
    time_zone: str | None = None
    editable: bool = True
    is_formula: bool = False


DATETIME = pl.Datetime("ms")

# Caspio's REST types and the dtype of their column in the source frame. Date/Time and Timestamp are wall clocks without
# an offset; lists are their values in id order. A Password field cannot be read at all.
SOURCE_DTYPES: MappingProxyType[str, pl.DataType | type[pl.DataType]] = MappingProxyType(
    {
        "AUTONUMBER": pl.Int64,
        "INTEGER": pl.Int64,
        "NUMBER": pl.Float64,
        "CURRENCY": pl.Float64,
        "YES/NO": pl.Boolean,
        "DATE/TIME": DATETIME,
        "TIMESTAMP": DATETIME,
        "STRING": pl.String,
        "TEXT": pl.String,
        "GUID": pl.String,
        "RANDOM ID": pl.String,
        "PREFIXED AUTONUMBER": pl.String,
        "FILE": pl.String,
        "ATTACHMENT": pl.String,
        "LIST-STRING": pl.List(pl.String),
        "LIST-NUMBER": pl.List(pl.String),
        "LIST-DATE/TIME": pl.List(pl.String),
    }
)

# How a mapped column's text reaches the body: as a JSON value of its dtype, or as JSON text that is already final
# (nested objects, arrays of objects).
Encoding = Literal["value", "json"]
Channel = Literal["email", "sms", "whatsapp", "rcs", "line"]
Role = Literal["attribute", "consent", "subscription_group"]
# Braze's types of catalog fields (Braze, 9.1).
CatalogType = Literal["string", "number", "boolean", "time", "object", "array", "geo"]


@dataclass(frozen=True, slots=True)
class CatalogField:
    """A field of a catalog at a destination; `type` is a `CatalogType`, or another one that is there."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A column of the mapped frame that can travel to Braze.

    Args:
        name: Braze's attribute name; `subscription_groups.<group id>` for a subscription group.
        dtype: String, Int64, Float64, Boolean or List(String).
        encoding: "json" where a String column holds final JSON text.
        on_null: "skip": a null is not sent; "clear": it is sent, and removes the value in Braze; "withdraw": it is sent
            where the value may be there by us, and takes that back.
        on_bad: "hold": an ill-formed value holds its row; "skip": it is left out, and what Braze has of it stays.
        role: what kind of value it is; consent and groups are not billed as data points.
        channel: for a subscription group: what it is about; all but e-mail hang on the phone number.
        decimals: of JSON text: its keys whose values are numbers, which stand there as 2008.0 (see objects.py).
        catalog_type: of a catalog's field: its type in Braze; None for what belongs to a profile.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    encoding: Encoding = "value"
    on_null: Literal["skip", "clear", "withdraw"] = "skip"
    on_bad: Literal["hold", "skip"] = "hold"
    role: Role = "attribute"
    channel: Channel | None = None
    decimals: tuple[str, ...] = ()
    catalog_type: CatalogType | None = None

    @property
    def group_id(self) -> str:
        """Braze's id of the subscription group."""
        return self.name.removeprefix("subscription_groups.")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One expectation's result for one batch, without any value of the rows.

    Args:
        name: what it is called in reports (`meta.name`).
        why: why it exists (`meta.why`).
        severity: critical or warning.
        rows: rows it looked at.
        failed: rows that failed it; 0 or 1 for an expectation about the batch.
        passed: whether the batch met it.
    """

    name: str
    why: str
    severity: str
    rows: int
    failed: int
    passed: bool
