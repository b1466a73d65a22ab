"""Fields of an emulated table: their definition, and how a value is checked, stored and shown by its type."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour, bad_body
from caspio_sync.sandbox.caspio.time import SECONDS_CHARS, WINDOWS_ZONES, read_written

PK_ID = "PK_ID"


def fold_type(spelling: str) -> str:
    """The key of TYPES: one type is spelled several ways across versions (2.3)."""
    return spelling.upper().replace(" ", "").replace("_", "")


_KINDS = {
    "integer": ("AUTONUMBER", "INTEGER"),
    "text": ("PREFIXED AUTONUMBER", "GUID", "RANDOM ID", "STRING", "TEXT", "FILE", "ATTACHMENT"),
    "password": ("PASSWORD",),
    "number": ("NUMBER", "CURRENCY"),
    "date": ("DATE/TIME", "TIMESTAMP"),
    "bit": ("YES/NO",),
    "list": ("LIST-STRING", "LIST-NUMBER", "LIST-DATE/TIME"),
}
# Type, as `fold_type` has it (2.3) → spelling shown, and what the database below holds.
TYPES = {fold_type(shown): (shown, kind) for kind, types in _KINDS.items() for shown in types}
GENERATED = frozenset({"AUTONUMBER", "PREFIXED AUTONUMBER", "GUID", "RANDOM ID"})
READ_ONLY = GENERATED | {"TIMESTAMP", "FILE", "ATTACHMENT"}
NEVER_UNIQUE = frozenset({"TEXT", "YES/NO", "FILE", "ATTACHMENT", "PASSWORD"})
TEXT_CHARS = {"STRING": 255, "TEXT": 64_000, "PASSWORD": 255}
ATTACHMENT = (
    *("AttachmentPermittedFileTypes", "AttachmentMinFileSize", "AttachmentMaxFileSize", "AttachmentSmartResizer"),
    *("AttachmentSmartResizerForRetina", "AttachmentAltText", "AttachmentTitle"),
)
INTEGER_RANGE = range(-(2**31), 2**31)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")

Cell = tuple[Any, bytes]
MakeCell = Callable[[Any], Cell]


@dataclass(slots=True)
class Field:
    """A field of a table, in the vendor's words (2.2)."""

    name: str
    type: str
    unique: bool = False
    unique_allow_nulls: bool = False
    label: str = ""
    description: str = ""
    display_order: int = 0
    is_formula: bool = False
    on_insert: bool | None = None
    on_update: bool | None = None
    time_zone: str | None = None
    format: str | None = None
    prefix: str | None = None
    length: int | None = None
    list_field: dict[int, Any] = field(default_factory=dict)
    attachment: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(ATTACHMENT))

    @property
    def kind(self) -> str:
        """What the database below holds: integer, number, bit, date, text, list or password."""
        return TYPES[fold_type(self.type)][1]

    @property
    def editable(self) -> bool:
        """Whether a client may send a value."""
        return not self.is_formula and self.type not in READ_ONLY

    @property
    def readable(self) -> bool:
        """Passwords are absent from every answer (2.3)."""
        return self.type != "PASSWORD"

    def as_read(self, table: str | None = None) -> dict[str, Any]:
        """The field object of GET fields; with `table`, that of a view."""
        shown = {
            "Name": self.name,
            "Type": self.type,
            "Unique": self.unique,
            "Editable": self.editable,
            "Description": self.description,
            "DisplayOrder": self.display_order,
            "Label": self.label,
            "UniqueAllowNulls": self.unique_allow_nulls,
            "IsFormula": self.is_formula,
            "OnInsert": self.on_insert,
            "OnUpdate": self.on_update,
            "TimeZone": self.time_zone,
            "Format": self.format,
            "Prefix": self.prefix,
            "Length": self.length,
            "ListField": {str(key): value for key, value in self.list_field.items()} or None,
            **self.attachment,
        }
        return {"TableFieldName": f"{table}.{self.name}", **shown} if table else shown

    def as_written(self) -> dict[str, Any]:
        """The field in its write shape: ListField as an array, Editable left out."""
        shown = {name: value for name, value in self.as_read().items() if name != "Editable"}
        return {**shown, "ListField": list(self.list_field.values()) or None}


def check_properties(model: Any) -> Any:
    """A field's definition as it came.

    Raises:
        Refusal: 400 IncorrectBodyParameter for a property that a field does not have, such as v2's `NewName` (8).
    """
    unknown = sorted(set(model) - _PROPERTIES) if isinstance(model, dict) else []
    if unknown:
        raise bad_body(f"a field has no property {', '.join(unknown)}")
    return model


def read_field(model: Any, order: int) -> Field:
    """A field from its write shape, FieldModel (2.2).

    Raises:
        Refusal: 400 IncorrectBodyParameter for a definition that Caspio would not take.
    """
    if not isinstance(model, dict) or not model.get("Name") or not model.get("Type"):
        raise bad_body("a field needs Name and Type")
    name, spelled = str(model["Name"]), TYPES.get(fold_type(str(model["Type"])))
    if NAME.fullmatch(name) is None or name.upper() == PK_ID:
        raise bad_body(f"'{name}' is not a name for a field")
    if spelled is None:
        raise bad_body(f"'{model['Type']}' is not a type")
    result = Field(name=name, type=spelled[0], display_order=order)
    result.unique = bool(model.get("Unique"))
    result.unique_allow_nulls = bool(model.get("UniqueAllowNulls"))
    result.is_formula = bool(model.get("IsFormula"))
    result.label = str(model.get("Label") or "")
    result.description = str(model.get("Description") or "")
    result.format, result.prefix, result.length = model.get("Format"), model.get("Prefix"), model.get("Length")
    if result.type == "TIMESTAMP":
        result.on_insert, result.on_update = bool(model.get("OnInsert")), bool(model.get("OnUpdate"))
        result.time_zone = str(model.get("TimeZone") or "")
    items = model.get("ListField") or []
    if not isinstance(items, list):
        raise bad_body(f"ListField of '{name}' is an array when written")
    result.list_field = dict(enumerate(items, start=1))
    result.attachment = {name: model.get(name) for name in ATTACHMENT}
    _check(result)
    return result


_PROPERTIES = frozenset(Field("", "STRING").as_written())


def _check(made: Field) -> None:
    if made.type in GENERATED and not made.unique:
        raise bad_body(f"'{made.name}': a field of type {made.type} is created with Unique true")
    if made.unique and (made.type in NEVER_UNIQUE or made.kind == "list"):
        raise bad_body(f"'{made.name}': a field of type {made.type} cannot be unique")
    if made.time_zone and made.time_zone not in WINDOWS_ZONES:
        raise bad_body(f"'{made.name}': TimeZone is not a Windows zone id")
    if len(made.label) > 255 or len(made.description) > 4000:
        raise bad_body(f"'{made.name}': Label or Description is too long")


def show(stored: Any, kind: str, items: dict[int, Any] | None = None) -> bytes:
    """The JSON of a stored value in an answer (2.3)."""
    if stored is None:
        return b"null"
    if kind == "date":
        return b'"' + str(stored)[:SECONDS_CHARS].encode() + b'"'
    if kind == "bit":
        return b"true" if stored else b"false"
    if kind == "list":
        chosen = items or {}
        return orjson.dumps({str(key): chosen[key] for key in orjson.loads(stored) if key in chosen})
    return orjson.dumps(stored)


def cell_maker(made: Field, behaviour: CaspioBehaviour) -> MakeCell:
    """How a value of this field becomes what is stored, and its piece of the record's JSON.

    The function returned raises ValueError for a value that does not match the field's type.
    """
    account = ZoneInfo(behaviour.account_time_zone) if behaviour.offset_dates == "converted" else None
    readers: dict[str, Callable[[Any], Any]] = {
        "text": lambda value: _text(value, TEXT_CHARS.get(made.type, 255)),
        "password": lambda value: _text(value, TEXT_CHARS["PASSWORD"]),
        "integer": _integer,
        "number": lambda value: _number(value, places=4 if made.type == "CURRENCY" else None),
        "bit": _bit,
        "date": lambda value: _date(value, account),
        "list": lambda value: _list(value, made.list_field),
    }
    read = readers[made.kind]
    if behaviour.numbers_as_text == "accepted" and made.kind in {"integer", "number", "bit"}:
        read = _reading_text(read, made.kind)
    kind, items = made.kind, made.list_field
    name = b"," + orjson.dumps(made.name) + b":" if made.readable else b""

    def make(value: Any) -> Cell:
        # A Yes/No is never null (2.3): null is read as No.
        stored = read(value) if value is not None else 0 if kind == "bit" else None
        return stored, name + show(stored, kind, items) if name else b""

    return make


def _reading_text(read: Callable[[Any], Any], kind: str) -> Callable[[Any], Any]:
    """As `read`, for numbers and Yes/No that may stand as text."""

    def read_either(value: Any) -> Any:
        if not isinstance(value, str):
            return read(value)
        text = value.strip()
        if kind == "bit":
            return read(_BITS.get(text.lower(), value))
        if _NUMBER.fullmatch(text) is None:
            raise ValueError
        return read(int(text) if text.lstrip("+-").isdecimal() else float(text))

    return read_either


_BITS = {"true": True, "false": False, "1": True, "0": False}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or "\0" in value or not _encodable(value):
        raise ValueError
    return value


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError
    if int(value) not in INTEGER_RANGE:
        raise ValueError
    return int(value)


def _number(value: Any, places: int | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value) if places is None else round(float(value), places)


def _bit(value: Any) -> int:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one error for every value that does not match its type
    return int(value)


def _date(value: Any, account: ZoneInfo | None) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as above
    return read_written(value, account)


def _list(value: Any, items: dict[int, Any]) -> str:
    if isinstance(value, str):
        value = [int(item) for item in re.findall(r"\[(\d+)\]", value)] if _LIST_TEXT.fullmatch(value) else None
    if not isinstance(value, list | tuple):
        raise ValueError  # noqa: TRY004 - as above
    if any(isinstance(item, bool) or item not in items for item in value):
        raise ValueError
    return orjson.dumps(sorted(set(value))).decode()


_LIST_TEXT = re.compile(r"\s*(\[\d+\](\s*,\s*\[\d+\])*)?\s*")
