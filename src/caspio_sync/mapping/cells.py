"""One Caspio field on its way to one value: checked against the table once, applied to every batch.

A cell passes three columns of a working frame: `p<number>` as it was prepared (cleaned text, or the cast cell),
`r<number>` as its rule read it (null where it could not), `k<number>` whether it is well-formed. Cells that read the
same field in the same way have one number, and share them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from types import MappingProxyType

import polars as pl

from caspio_sync.mapping.cleaning import TEXT_TRANSFORMS, cleaned, distinct_items, replaced
from caspio_sync.mapping.conditions import Condition
from caspio_sync.mapping.consent import ConsentMapping, ListState, SubscriptionGroup
from caspio_sync.mapping.definition import Sync
from caspio_sync.mapping.document import Location
from caspio_sync.mapping.empty import fault_in_empty, without_empty
from caspio_sync.mapping.field import FieldMapping, PhoneRegion, Scalar, Transform
from caspio_sync.mapping.lookups import time_zone_names
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.values import Circumstances, Rule, SourceKind, ValueRules, source_kind
from caspio_sync.schemas import SOURCE_DTYPES, UNCASTABLE, CaspioField

_MEANING_OF_TYPE = MappingProxyType({"string": "text", "time": "datetime"})
_MEANING_OF_KIND: Mapping[SourceKind, str] = MappingProxyType(
    {
        "text": "text",
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
        "moment": "datetime",
        "list": "array",
    }
)
_MEANINGFUL = frozenset({"phone", "country", "language"})
_TEXT_KINDS: frozenset[SourceKind] = frozenset({"integer", "number", "boolean"})
_YES_NO = MappingProxyType({"yes": "true", "1": "true", "no": "false", "0": "false", "true": "true", "false": "false"})
_BUILT = frozenset({"array", "object", "geo"})
_TRIM = Transform(name="trim")
# A cell as Caspio gave it: whether a condition is met, the condition alone decides.
CONDITION = Rule(
    "condition_cells",
    "asks for a cell that holds no value of its field's type",
    dict.fromkeys(("text", "integer", "number", "boolean", "moment"), lambda cell, _: cell),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """How one field becomes one value.

    Args:
        number: of its columns in the working frame.
        path: what problems call it: the column, and the keys inside it.
        field: the Caspio field.
        kind: of the prepared cell.
        prepared: expression over the source frame.
        rule: how it is read and judged.
        circumstances: what the rule depends on.
        region: the cell with the row's country, for phone numbers.
        default_region: ISO code where `region` says nothing.
        can_fail: whether a value can be ill-formed at all.
    """

    number: int
    path: str
    field: CaspioField
    kind: SourceKind
    prepared: pl.Expr
    rule: Rule
    circumstances: Circumstances
    region: "Cell | None" = None
    default_region: str | None = None
    can_fail: bool = True

    @property
    def read(self) -> pl.Expr:
        """The value as the rule reads it, over the prepared column."""
        return self.rule.reads[self.kind](pl.col(f"p{self.number}"), self.circumstances)

    def holds(self, today: date, *, any_uncastable: bool) -> pl.Expr:
        """Whether the value is well-formed, over the columns before; never null, true for a cell without a value."""
        read = pl.col(f"r{self.number}")
        holds = read.is_not_null() if self.rule.holds is None else self.rule.holds(read, today)
        holds = holds.fill_null(value=False) | pl.col(f"p{self.number}").is_null()
        if not any_uncastable:
            return holds
        return holds & ~pl.col(UNCASTABLE).list.contains(self.field.name).fill_null(value=False)

    @property
    def value(self) -> pl.Expr:
        """The value that travels. An ill-formed one stays as text where it can, so that fingerprints see it change."""
        read, prepared = pl.col(f"r{self.number}"), pl.col(f"p{self.number}")
        if self.rule.dtype == pl.String:
            return pl.coalesce(read, prepared) if self.kind == "text" else read
        if isinstance(self.rule.dtype, pl.List):
            return read
        return pl.when(f"k{self.number}").then(read)


class CellMaker:
    """Makes the cells of a sync for a table, and collects what does not fit.

    Args:
        sync: the definition.
        fields: the table's fields.
        values: what the destination takes.
    """

    def __init__(self, sync: Sync, fields: Sequence[CaspioField], values: ValueRules) -> None:
        self.values = values
        self._sync = sync
        self._fields = {field.name: field for field in fields}
        self._numbers: dict[str, int] = {}
        self.cells: list[Cell] = []
        self.regions: list[Cell] = []
        self.findings: list[str] = []
        self.used: dict[str, CaspioField] = {}

    def fault(self, at: Location, text: str) -> None:
        """Keep a finding, with the line it concerns."""
        path = ".".join(str(part) for part in at)
        self.findings.append(f"{self._sync.where(*at)}: {path}: {text}")

    def key(self, at: Location, field: str, meaning: str, *, region: PhoneRegion | None = None) -> Cell | None:
        """The cell of the row's key, which is no part of `cells`' columns."""
        return self._cell(at, "key", FieldMapping.model_validate({"from": field}), meaning=meaning, region=region)

    def value(self, at: Location, path: str, mapping: FieldMapping, *, meaning: str | None = None) -> Cell | None:
        """The cell of a mapping that has `from`.

        Args:
            at: the place in the sync file.
            path: what problems call it.
            mapping: the mapping.
            meaning: the rule it follows; by default the one that its transform, its type or Caspio's type asks for.
        """
        return self._cell(at, path, mapping, meaning=meaning, region=mapping.phone_region)

    def kind_of(self, name: str | None) -> SourceKind | None:
        """What cells of a field are; None for one that is not there or cannot be read."""
        field = self._fields.get(name or "")
        return source_kind(field.type) if field is not None and field.type in SOURCE_DTYPES else None

    def consent(self, at: Location, path: str, mapping: ConsentMapping | SubscriptionGroup | ListState) -> Cell | None:
        """The cell of a subscription state."""
        if (field := self._field(at, mapping.source_field)) is None:
            return None
        kind = source_kind(field.type)
        if kind not in {"text", "boolean", "integer"}:
            self.fault(at, f"'{field.name}' is of type {field.type}; a state needs a Yes/No, text or integer field")
            return None
        if fault := _named_twice(field, kind, mapping.map):
            self.fault(at, fault)
            return None
        states = _states(mapping, kind)
        unknown: dict[str, Scalar | None] = {word: None for word, state in states.items() if state is None}
        known: dict[str, Scalar | None] = {word: state for word, state in states.items() if state is not None}
        text = pl.col(field.name).cast(pl.String)
        words = ", ".join(states) or "nothing"
        rule = Rule(
            "consent_state",
            f"is no state the sync knows ({words})",
            {"text": lambda cell, _: replaced(cell, known, default=None)},
        )
        prepared = cleaned(text, words=unknown, steps=(_TRIM,))
        return self._keep(Cell(self._number(field.name, states), path, field, "text", prepared, rule, Circumstances()))

    def condition(self, at: Location, path: str, asked: Condition) -> pl.Expr | None:
        """Whether a row meets a condition, over cells that are kept; None where it does not fit the table."""
        fields = {name: self._field(at, name) for name in asked.fields}
        if None in fields.values():
            return None
        cells = {
            name: Cell(
                self._number(name, "as it is"),
                path,
                field,
                source_kind(field.type),
                pl.col(name),
                CONDITION,
                Circumstances(),
            )
            for name, field in fields.items()
            if field is not None
        }
        try:
            met = asked.met(lambda name: (pl.col(f"p{cells[name].number}"), cells[name].kind))
        except ValueError as error:
            self.fault(at, str(error))
            return None
        self.cells += cells.values()
        return met

    def _cell(
        self, at: Location, path: str, mapping: FieldMapping, *, meaning: str | None, region: PhoneRegion | None
    ) -> Cell | None:
        if mapping.source_field is None or (field := self._field(at, mapping.source_field)) is None:
            return None
        kind = source_kind(field.type)
        meaning = meaning or _meaning(mapping, kind)
        rule = self.values.rules.get(meaning)
        if rule is None:
            built = f"type '{meaning}' is built with `{meaning}:`, not with `from`"
            self.fault(
                at, built if meaning in _BUILT else f"{self.values.title} has no type '{meaning}'; correct `type`"
            )
            return None
        as_words = bool(mapping.map) or any(
            step.name in TEXT_TRANSFORMS or step.name == "truncate" for step in mapping.transform
        )
        prepared = _prepared(field, kind, mapping, rule, as_words=as_words)
        prepared_kind: SourceKind = "text" if as_words and kind in _TEXT_KINDS else kind
        misfit = _misfit(field, prepared_kind, meaning, rule, mapping)
        if fault := misfit or _named_twice(field, kind, mapping.map) or fault_in_empty(mapping.empty, prepared_kind):
            self.fault(at, fault)
            return None
        zone = self._zone(at, field, mapping) if kind == "moment" or meaning == "datetime" else "UTC"
        decimals = next((step.argument for step in mapping.transform if step.name == "round"), None)
        form = next((step.form for step in mapping.transform if step.form is not None), None)
        prepared = without_empty(prepared, mapping.empty, prepared_kind, form, dated=rule.dated)
        number = self._number(field.name, meaning, zone, region, mapping.map, mapping.empty, mapping.transform)
        cell = Cell(number, path, field, prepared_kind, prepared, rule, Circumstances(zone, decimals, form))
        cell = replace(cell, can_fail=not _always_fits(kind, rule, mapping))
        if rule.lookup == "phone" and region is not None:
            cell = replace(cell, region=self._region(at, region), default_region=region.region)
        return self._keep(cell)

    def _number(self, *way: object) -> int:
        """The number of everything that reads a field in this way."""
        return self._numbers.setdefault(repr(way), len(self._numbers))

    def _keep(self, cell: Cell) -> Cell:
        self.cells.append(cell)
        return cell

    def _field(self, at: Location, name: str) -> CaspioField | None:
        field = self._fields.get(name)
        if field is None:
            close = get_close_matches(name.lower(), [known.lower() for known in self._fields], n=1, cutoff=0.6)
            nearest = next((known for known in self._fields if known.lower() in close), None)
            hint = f" (did you mean '{nearest}'?)" if nearest else f"; it has: {', '.join(sorted(self._fields))}"
            self.fault(at, f"'{self._sync.source.name}' has no field '{name}'{hint}")
        elif field.type not in SOURCE_DTYPES:
            self.fault(at, f"'{name}' is of type {field.type}, which Caspio does not let anybody read; remove it")
            return None
        else:
            self.used[name] = field
        return field

    def _zone(self, at: Location, field: CaspioField, mapping: FieldMapping) -> str:
        if mapping.time_zone is not None:
            return mapping.time_zone
        if field.type != "TIMESTAMP" or not field.time_zone:
            return self._sync.source.time_zone
        if field.time_zone not in time_zone_names():
            self.fault(
                at,
                f"Caspio stamps '{field.name}' in '{field.time_zone}'; "
                "say which IANA zone that is with `time_zone:` beside `from`, such as Europe/London",
            )
        return field.time_zone

    def _region(self, at: Location, region: PhoneRegion) -> Cell | None:
        if region.source_field is None or (field := self._field(at, region.source_field)) is None:
            return None
        if source_kind(field.type) != "text":
            self.fault(at, f"'{field.name}' is of type {field.type}; the country of a phone number needs a text field")
            return None
        country = self._sync.fields.get("country")
        # One list of the source's own words for countries serves the attribute and the numbers.
        if country is None or country.source_field != field.name:
            country = FieldMapping.model_validate({"from": field.name})
        self._cell(at, "country", country, meaning="country", region=None)
        # It serves the number alone: nothing of its own is sent or judged.
        self.regions.append(self.cells.pop())
        return self.regions[-1]


def _meaning(mapping: FieldMapping, kind: SourceKind) -> str:
    for step in mapping.transform:
        if step.name in _MEANINGFUL:
            return step.name
    if mapping.type is not None:
        return _MEANING_OF_TYPE.get(mapping.type, mapping.type)
    if any(step.name == "date" for step in mapping.transform):
        return "date"
    return "text" if mapping.map and kind != "list" else _MEANING_OF_KIND[kind]


def _prepared(field: CaspioField, kind: SourceKind, mapping: FieldMapping, rule: Rule, *, as_words: bool) -> pl.Expr:
    cell = pl.col(field.name)
    steps = (_TRIM, *mapping.transform) if rule.trims else mapping.transform
    words = {**(mapping.map or {}), **dict.fromkeys(mapping.empty)}
    if kind == "list":
        items = cell.list.eval(cleaned(pl.element(), words=words, steps=steps))
        return items.map_batches(distinct_items, return_dtype=pl.List(pl.String), is_elementwise=True)
    if kind == "boolean" and words:
        words = {_YES_NO.get(word, word): value for word, value in words.items()}
    if as_words and kind in _TEXT_KINDS:
        cell = number_text(cell) if kind == "number" else cell.cast(pl.String)
    elif kind != "text":
        return cell
    return cleaned(cell, words=words, steps=steps)


def _misfit(field: CaspioField, prepared: SourceKind, meaning: str, rule: Rule, mapping: FieldMapping) -> str | None:
    kind = source_kind(field.type)
    if prepared not in rule.reads:
        wanted = " or ".join(sorted(rule.reads))
        return f"'{field.name}' is of type {field.type}, which cannot become {meaning}; it takes a {wanted} field"
    text_steps = [step.name for step in mapping.transform if step.name in TEXT_TRANSFORMS or step.name == "truncate"]
    forms = [step for step in mapping.transform if step.name == "date"]
    if forms and (prepared != "text" or not rule.dated):
        return (
            f"`date` reads a date from text, and '{field.name}' is of type {field.type}, to become {meaning}; remove it"
        )
    if kind == "moment" and (text_steps or mapping.map):
        return f"'{field.name}' is a date; `map` and text transforms do not apply, remove them"
    if rule.dtype not in {pl.String, pl.List(pl.String)} and text_steps and kind != "text":
        return f"{', '.join(text_steps)} makes text of '{field.name}'; add `type: string`"
    if any(step.name == "round" for step in mapping.transform) and rule.dtype != pl.Float64:
        return "`round` works on numbers with decimals; remove it, or add `type: number`"
    return None


def _named_twice(field: CaspioField, kind: SourceKind, words: Mapping[str, object] | None) -> str | None:
    """The fault of a map that says two things of one value of a Yes/No field."""
    if kind != "boolean" or words is None or len({_YES_NO.get(word, word) for word in words}) == len(words):
        return None
    return f"the map of the Yes/No field '{field.name}' names one value twice (yes, true and 1 are one); keep one entry"


def _always_fits(kind: SourceKind, rule: Rule, mapping: FieldMapping) -> bool:
    lengths = [step.argument for step in mapping.transform if step.name == "truncate" and step.argument is not None]
    return kind == "text" and rule.chars is not None and min(lengths, default=rule.chars + 1) <= rule.chars


def _states(mapping: ConsentMapping | SubscriptionGroup | ListState, kind: SourceKind) -> dict[str, str | None]:
    if kind == "boolean":
        given = mapping.map or {"true": "subscribed", "false": "unsubscribed"}
        return {_YES_NO.get(word, word): state for word, state in given.items()}
    if mapping.map is not None:
        return dict(mapping.map)
    words = (
        ["subscribed", "unsubscribed"]
        if isinstance(mapping, SubscriptionGroup | ListState)
        else ["opted_in", "subscribed", "unsubscribed"]
    )
    return {word: word for word in words}
