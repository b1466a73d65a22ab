"""How a field of Caspio becomes a value that travels, as the sync file says it."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from caspio_sync.characters import trimmed
from caspio_sync.mapping.lookups import time_zone_names

AttributeType = Literal[
    "string", "integer", "number", "boolean", "date", "datetime", "array", "object",
    "textarea", "hidden", "dropdown", "radio", "listbox", "checkbox",
]  # fmt: skip  # the last six where a destination's rules have them
TransformName = Literal[
    "trim",
    "lower",
    "upper",
    "title",
    "collapse_spaces",
    "digits",
    "truncate",
    "round",
    "phone",
    "country",
    "language",
    "date",
]
Scalar = str | int | float | bool


def _existing_zone(name: str) -> str:
    if name not in time_zone_names():
        raise ValueError(f"'{name}' is no IANA time zone; write it like Europe/London or UTC")
    return name


def _existing_region(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}", code):
        raise ValueError(f"region '{code}' is no ISO 3166-1 code; write two capital letters, such as GB")
    return code


def folded(values: Any) -> Any:
    """Keys as they are compared: trimmed, lower case."""
    if not isinstance(values, dict):
        return values
    folded = {trimmed(str(key)).lower(): value for key, value in values.items()}
    if len(folded) < len(values):
        raise ValueError("two entries differ only by case or blanks, which are not compared; keep one")
    if "" in folded:
        raise ValueError("an empty cell is an unknown value and needs no entry; remove the entry for it")
    return folded


_DAY = (("%Y",), ("%m", "%b", "%B"), ("%d", "%e"))
_CLOCK = frozenset({"%H", "%I", "%M", "%S", "%p"})


def _readable_form(form: str) -> str:
    """A form that says of every text which moment it is."""
    signs = re.findall(r"%.?", form)
    known = {sign for signs in _DAY for sign in signs} | _CLOCK
    if "%y" in signs:
        raise ValueError(f"'{form}' has years of two digits, which name two centuries; only %Y can be read")
    if unknown := [sign for sign in signs if sign not in known]:
        raise ValueError(f"'{form}' holds {unknown[0]}; use {', '.join(sorted(known))} and the signs between them")
    if not all(any(sign in signs for sign in part) for part in _DAY) or len(set(signs)) < len(signs):
        raise ValueError(f"'{form}' must name year, month and day once each, such as %d/%m/%Y")
    if _CLOCK & set(signs) and "%M" not in signs:
        raise ValueError(f"'{form}' names an hour without minutes; add %M")
    if ("%M" in signs and not {"%H", "%I"} & set(signs)) or ("%I" in signs) != ("%p" in signs):
        raise ValueError(f"'{form}' names no hour of the day; write %H, or %I with %p")
    return form


def _empty_words(given: Any) -> Any:
    """The words of `empty` as they are compared."""
    words = given if isinstance(given, list | tuple) else [given]
    return tuple(dict.fromkeys(trimmed(str(word)).lower() for word in words))


def _tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


AsTuple = BeforeValidator(_tuple)
FieldName = Annotated[str, Field(min_length=1, max_length=255)]
TimeZone = Annotated[str, AfterValidator(_existing_zone)]
Region = Annotated[str, AfterValidator(_existing_region)]


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False, strict=True, defer_build=True)


class Shortened(Strict):
    """A model that may be written as the bare value of one of its keys; `short` is that key, and what the value is."""

    short: ClassVar[tuple[str, str]] = ("from", "a Caspio field")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any) -> Any:
        return {cls.short[0]: given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long_form = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string", "description": cls.short[1]}, long_form]}


class PhoneRegion(Strict):
    """Which country's habits a number without a country code follows.

    Args:
        region: ISO 3166-1 alpha-2 code; also what holds where the field names no country.
        source_field: `from`: the Caspio field with the row's country, as code or name.
    """

    region: Region | None = None
    source_field: FieldName | None = Field(default=None, alias="from")


class Transform(Strict):
    """One step on the way of a value."""

    name: TransformName
    argument: int | None = Field(default=None, ge=0, le=64_000)
    phone: PhoneRegion | None = None
    form: Annotated[str, AfterValidator(_readable_form)] | None = None

    @model_validator(mode="after")
    def _argument_fits(self) -> Self:
        if (self.name in {"truncate", "round"}) != (self.argument is not None):
            raise ValueError(f"'{self.name}' takes {'no' if self.argument is not None else 'a'} number")
        if self.name == "date" and self.form is None:
            raise ValueError('`date` needs the form that dates are written in, such as {date: "%m/%d/%Y"}')
        return self


def _as_steps(given: Any) -> Any:
    """`lower`, `[trim, {truncate: 40}]`, `{phone: {region: GB}}` → one dict a step."""
    steps: list[Any] = []
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict) and "name" not in item:
            steps += [_as_step(str(name), argument) for name, argument in item.items()]
        else:
            steps.append({"name": item} if isinstance(item, str) else item)
    return tuple(steps)


def _as_step(name: str, argument: Any) -> dict[str, Any]:
    if name == "phone":
        return {"name": name, "phone": {"region": argument} if isinstance(argument, str) else argument}
    if name == "date":
        return {"name": name, "form": argument}
    return {"name": name, "argument": argument}


_STEP_SCHEMA: JsonSchemaValue = {
    "anyOf": [
        {"enum": [name for name in get_args(TransformName) if name not in {"truncate", "round", "phone", "date"}]},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "truncate": {"type": "integer", "description": "characters to keep"},
                "round": {"type": "integer", "description": "decimals to keep; halves go away from zero"},
                "date": {"type": "string", "description": "the form dates are written in, such as %m/%d/%Y"},
                "phone": {
                    "anyOf": [
                        {"type": "string", "description": "region of numbers without a country code, such as GB"},
                        {"type": "object", "properties": {"region": {"type": "string"}, "from": {"type": "string"}}},
                    ]
                },
            },
        },
    ]
}
Steps = Annotated[
    tuple[Transform, ...],
    BeforeValidator(_as_steps),
    WithJsonSchema({"anyOf": [_STEP_SCHEMA, {"type": "array", "items": _STEP_SCHEMA}]}),
]
_WORDS_SCHEMA: JsonSchemaValue = {
    "anyOf": [{"type": ["string", "number"]}, {"type": "array", "items": {"type": ["string", "number"]}}]
}
ValueMap = Annotated[dict[str, Scalar | None], BeforeValidator(folded)]


class FieldMapping(Shortened):
    """Where an attribute's value comes from, and how.

    Args:
        source_field: `from`: a Caspio field.
        constant: the same value for every row.
        object: keys and the mapping of each value.
        array: a Caspio list field, or a list of mappings (all of them objects, or none).
        transform: steps, in their order.
        type: what the destination shall see; by default what Caspio declares.
        map: replaces values, compared trimmed and without case; null stands for no value; others pass as they are.
        empty: what stands for nothing, compared as in `map`: words, numbers, days such as 1900-01-01.
        on_null: "skip" leaves the value that is there, "clear" removes it.
        on_bad: "hold" holds the row of an ill-formed value back, "skip" sends the rest of it.
        time_zone: IANA zone of this field's wall clock, where it is not the source's.
    """

    source_field: FieldName | None = Field(default=None, alias="from")
    constant: Scalar | None = None
    object: dict[str, "FieldMapping"] | None = None
    array: "FieldName | tuple[FieldMapping, ...] | None" = None
    transform: Steps = ()
    type: AttributeType | None = None
    map: ValueMap | None = None
    empty: Annotated[tuple[str, ...], BeforeValidator(_empty_words), WithJsonSchema(_WORDS_SCHEMA)] = ()
    on_null: Literal["skip", "clear"] = "skip"
    on_bad: Literal["hold", "skip"] = "hold"
    time_zone: TimeZone | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("array"), list):
            return given | {"array": tuple(given["array"])}
        return given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = self._origins()
        if sum(origin is not None for origin in origins.values()) != 1:
            *others, last = (f"`{name}`" for name in origins)
            raise ValueError(f"needs exactly one of {', '.join(others)} and {last}")
        if self.source_field is None and (self.transform or self.map or self.empty or self.time_zone or self.type):
            raise ValueError("`type`, `transform`, `map`, `empty` and `time_zone` work on a field; they need `from`")
        if self.object == {} or self.array == ():
            raise ValueError("holds nothing; name at least one value")
        return self

    def _origins(self) -> dict[str, Any]:
        """What a value may be made of, by its word in the file."""
        return {"from": self.source_field, "constant": self.constant, "object": self.object, "array": self.array}

    @property
    def phone_region(self) -> PhoneRegion | None:
        """How numbers without a country code are read, where a phone transform says so."""
        return next((step.phone for step in self.transform if step.phone is not None), None)
