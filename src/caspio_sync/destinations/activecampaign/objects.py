"""Rows of the mapped frame as contacts of an import: one JSON text a row, made by polars.

Fields and lists stand there by their names; the endpoint puts ids in their place. A single contact travels in the same
form, and is taken apart by the endpoint.
"""

import json
from collections.abc import Callable, Collection, Sequence
from types import MappingProxyType

import polars as pl

from caspio_sync.engine.writes import ENROL, ENROL_WAITS, KNOWN_AS, MARKED, OTHERS
from caspio_sync.mapping.automations import is_automation
from caspio_sync.mapping.consent import LIST_PREFIX
from caspio_sync.mapping.numbers import number_text
from caspio_sync.mapping.segments import SEGMENT_PREFIX, is_segment
from caspio_sync.mapping.tags import TAG_PREFIX, WORDS_PREFIX, is_tag, is_tag_words
from caspio_sync.schemas import KEY, MappedColumn

SEPARATOR = "||"  # between choices, and at both ends of them
FORMER = "former"  # addresses that a contact may have had before
ENTERS, ENTERING = "enter", "entering"  # names of automations that it enters, or may be entering already
LEAVE = "leave"  # lists that it was on by a condition, which no call of the vendor ends so that it is known
WORDS, UNWORD = "words", "unword"  # further tags; and how those begin of which it has no others
UNTAG = "untag"  # names of tags to take away, which no call of the vendor takes beside others
# A contact's own fields, as an import and as every other call name them (ActiveCampaign, bulk import).
STANDARD = MappingProxyType({"firstName": "first_name", "lastName": "last_name", "phone": "phone"})


def encode_contacts(
    rows: pl.DataFrame,
    columns: Sequence[MappedColumn],
    *,
    travels: Callable[[str], str],
    times: Collection[str] = (),
    former: bool = False,
) -> pl.Series:
    """One JSON object a row, as text.

    Args:
        rows: mapped rows with a boolean column `travels(name)` for each of `columns`.
        columns: those that may travel.
        travels: names the boolean column that says whether a column travels.
        times: columns that hold times.
        former: whether the addresses before stand in each object.
    """
    custom = [each for each in columns if is_custom(each)]
    tags = [each.name for each in columns if is_tag(each.name)]
    states = [each for each in columns if each.role != "attribute"]
    segments = [each.name for each in columns if is_segment(each.name)]
    parts = [
        *(
            _given(f',"{STANDARD[each.name]}":', _json(_text(each, times)), pl.col(travels(each.name)))
            for each in columns
            if each.name in STANDARD
        ),
        _array(
            "fields",
            [_entry("id", each.name, pl.col(travels(each.name)), _json(_text(each, times))) for each in custom],
        ),
        *(
            _array(
                key,
                [
                    _word(tag.removeprefix(TAG_PREFIX), pl.col(travels(tag)) & (pl.col(tag).is_not_null() == given))
                    for tag in tags
                ],
            )
            for key, given in (("tags", True), (UNTAG, False))
        ),
        *(
            _array(
                name,
                [
                    _entry(
                        "listid",
                        each.name.removeprefix(LIST_PREFIX),
                        pl.col(travels(each.name)) & (pl.col(each.name) == state),
                    )
                    for each in states
                ]
                + (_entered(segments, rows.columns, travels) if name == "subscribe" else []),
            )
            for name, state in (("subscribe", "subscribed"), ("unsubscribe", "unsubscribed"))
        ),
        _array(
            LEAVE,
            [
                _entry("listid", each.removeprefix(SEGMENT_PREFIX), pl.col(travels(each)) & pl.col(each).is_null())
                for each in segments
            ],
        ),
        *([_given(f',"{FORMER}":', _json(pl.col(KNOWN_AS)), pl.col(KNOWN_AS).is_not_null())] if former else []),
    ]
    for each in (column.name for column in columns if is_tag_words(column.name)):
        prefix, others = each.removeprefix(WORDS_PREFIX), f"{OTHERS}{each}"
        words = pl.col(each).list.eval(pl.concat_str(pl.lit(prefix), pl.element()))
        parts.append(_given(f',"{WORDS}":', _json(words), pl.col(travels(each)) & pl.col(each).is_not_null()))
        if others in rows.columns:
            parts.append(_given(f',"{UNWORD}":', pl.lit(json.dumps(prefix, ensure_ascii=False)), pl.col(others)))
    parts += [
        _given(f',"{name}":', _json(pl.col(column)), pl.col(column).is_not_null())
        for name, column in ((ENTERS, ENROL), (ENTERING, ENROL_WAITS))
        if column in rows.columns
    ]
    start = pl.concat_str(pl.lit('{"email":'), _json(pl.col(KEY)))
    return rows.select(object=pl.concat_str(start, *parts, pl.lit("}"))).to_series()


def is_custom(column: MappedColumn) -> bool:
    """Whether a column is the value of a custom field."""
    by_condition = (
        is_tag(column.name) or is_tag_words(column.name) or is_automation(column.name) or is_segment(column.name)
    )
    return column.role == "attribute" and column.name not in STANDARD and not by_condition


def _entered(segments: Sequence[str], there: Collection[str], travels: Callable[[str], str]) -> list[pl.Expr]:
    """The lists that a row is on by a condition; with the mark of the membership that it takes up again."""
    return [
        _entry(
            "listid",
            each.removeprefix(SEGMENT_PREFIX),
            pl.col(travels(each)) & pl.col(each).is_not_null(),
            more=_given(',"mark":', _json(pl.col(f"{MARKED}{each}")), pl.col(f"{MARKED}{each}").is_not_null())
            if f"{MARKED}{each}" in there
            else None,
        )
        for each in segments
    ]


def _text(column: MappedColumn, times: Collection[str]) -> pl.Expr:
    """A value as every call takes it: text, "" where it is cleared. A time bears an offset, as the vendor has it."""
    value = pl.col(column.name)
    if isinstance(column.dtype, pl.List):
        joined = pl.concat_str(pl.lit(SEPARATOR), value.list.join(SEPARATOR), pl.lit(SEPARATOR))
        text: pl.Expr = pl.when(value.list.len() > 0).then(joined)
    elif column.dtype == pl.Float64:
        text = number_text(value)
    elif column.dtype == pl.Boolean:
        text = pl.when(value).then(pl.lit("Yes")).when(~value).then(pl.lit("No"))
    else:
        text = value.cast(pl.String)
        text = text.str.replace("Z$", "+00:00") if column.name in times else text
    return text.fill_null("")


def _json(text: pl.Expr) -> pl.Expr:
    return pl.struct(v=text).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")


def _given(before: str, text: pl.Expr, holds: pl.Expr) -> pl.Expr:
    return pl.when(holds).then(pl.concat_str(pl.lit(before), text)).otherwise(pl.lit(""))


def _word(text: str, holds: pl.Expr) -> pl.Expr:
    """A text of an array; null where it does not travel."""
    return pl.when(holds).then(pl.lit(json.dumps(text, ensure_ascii=False)))


def _entry(key: str, name: str, holds: pl.Expr, value: pl.Expr | None = None, more: pl.Expr | None = None) -> pl.Expr:
    """An object of an array; null where it does not travel."""
    parts = [pl.lit(f'{{"{key}":{json.dumps(name, ensure_ascii=False)}')]
    parts += [] if value is None else [pl.lit(',"value":'), value]
    parts += [] if more is None else [more]
    return pl.when(holds).then(pl.concat_str(*parts, pl.lit("}")))


def _array(name: str, entries: Sequence[pl.Expr]) -> pl.Expr:
    if not entries:
        return pl.lit("")
    inner = pl.concat_str(entries, separator=",", ignore_nulls=True)
    return pl.when(inner != "").then(pl.concat_str(pl.lit(f',"{name}":['), inner, pl.lit("]"))).otherwise(pl.lit(""))
