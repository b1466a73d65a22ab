"""Text on its way from a Caspio cell to a value: control characters, blanks, maps and transforms.

Control characters other than tab, line feed and carriage return are dropped: nobody types them, templates print them as
garbage and Caspio's own import lets them in. A cell of nothing but blanks is null, as it is for Caspio's comparison.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import polars as pl

from caspio_sync.characters import CONTROLS
from caspio_sync.deferred import np
from caspio_sync.mapping.field import Scalar, Transform
from caspio_sync.mapping.former_rules import titled, trimmed
from caspio_sync.text_columns import trimmed_values

# What a transform does to text; the others decide the rule of the value (attributes.py).
TEXT_TRANSFORMS: MappingProxyType[str, Callable[[pl.Expr], pl.Expr]] = MappingProxyType(
    {
        "trim": trimmed,
        "lower": lambda text: text.str.to_lowercase(),
        "upper": lambda text: text.str.to_uppercase(),
        "title": titled,
        "collapse_spaces": lambda text: trimmed(text).str.replace_all(r"\s{2,}|[^\S ]", " "),
        "digits": lambda text: text.str.replace_all(r"[^0-9]", ""),
    }
)


_FEW_BYTES = 10_000


def without_controls(source: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with the control characters of its text and list columns `names` taken out."""
    suspects = [name for name in names if _may_hold_controls(source.get_column(name))]
    return source.with_columns(_replaced_controls(pl.col(name), source.schema[name]) for name in suspects)


def _may_hold_controls(values: pl.Series) -> bool:
    # A search per value is the dearest step of all, and hardly a column has one: look at all bytes at once.
    texts = values.explode() if isinstance(values.dtype, pl.List) else values
    joined = str(texts.str.join("").item() or "").encode()
    if not joined:
        return False
    rare = b"\x7f" in joined or b"\xc2" in joined  # \xc2 leads the C1 controls, and a few signs such as £
    # For few rows numpy is not worth being loaded.
    lowest = min(joined) if len(joined) < _FEW_BYTES else int(np.frombuffer(joined, dtype=np.uint8).min())
    return rare or lowest < ord(" ")


def _replaced_controls(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return values.list.eval(pl.element().str.replace_all(CONTROLS, ""))
    return values.str.replace_all(CONTROLS, "")


def cleaned(text: pl.Expr, *, words: Mapping[str, Scalar | None] | None, steps: Sequence[Transform]) -> pl.Expr:
    """Text replaced by `words`, after its steps; null where nothing but blanks is left.

    Args:
        text: a String expression without control characters.
        words: lower-case words and what stands for them; null for none.
        steps: transforms in their order; those that are none of text are passed over.
    """
    if words:
        text = replaced(text, words, default=text)
    for step in steps:
        if step.name in TEXT_TRANSFORMS:
            text = TEXT_TRANSFORMS[step.name](text)
        elif step.name == "truncate":
            text = text.str.head(step.argument or 0)
    visible = text if any(step.name == "trim" for step in steps) else trimmed(text)
    return pl.when(visible.str.len_bytes() > 0).then(text)


def replaced(text: pl.Expr, words: Mapping[str, Scalar | None], *, default: pl.Expr | None) -> pl.Expr:
    """What stands for each word, compared trimmed and without case; `default` for the others."""
    return (
        trimmed_values(text)
        .str.to_lowercase()
        .replace_strict(
            list(words), [as_text(word) for word in words.values()], default=default, return_dtype=pl.String
        )
    )


def distinct_items(lists: pl.Series) -> pl.Series:
    """Lists without nulls and repetitions, in their order; null where nothing is left.

    Dropping nulls costs thrice what all the rest does, and hardly a list has one: asked first.
    """
    lists = lists.list.unique(maintain_order=True)
    if lists.explode(empty_as_null=False, keep_nulls=False).null_count():
        lists = lists.list.drop_nulls()
    empty = lists.list.len().eq_missing(0)
    return lists.set(empty, None) if empty.any() else lists


def as_text(value: Scalar | None) -> str | None:
    """A scalar of the sync file as a cell would hold it: true and false in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def masked(text: pl.Expr) -> pl.Expr:
    """Text that shows its shape and not its content: letters as x, digits as 9, at most 40 characters."""
    shape = (
        text.str.replace_all(r"[\p{L}\p{M}]", "x").str.replace_all(r"\p{N}", "9").str.replace_all(r"[\p{C}\p{Z}]", " ")
    )
    return pl.when(shape.str.len_chars() > 40).then(shape.str.head(39) + "…").otherwise(shape)
