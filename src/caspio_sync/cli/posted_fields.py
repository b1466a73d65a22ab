"""What `init --posts` makes of posts that are kept: which fields they have, where, and of which type; no value."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from caspio_sync.engine.connect import CONNECT
from caspio_sync.errors import ConfigurationError
from caspio_sync.json_documents import Number, read_json
from caspio_sync.mapping.posted import PostedType
from caspio_sync.moments import instant_of_text
from caspio_sync.schemas import CaspioField
from caspio_sync.sealed import Sealer
from caspio_sync.settings import Settings

_LOOKED_AT = 200  # posts
_MOST_FIELDS, _MOST_LEVELS = 200, 6
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_NO_NAME = re.compile(r"\W+")
_WHOLE = re.compile(r"-?[0-9]+")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:")
_WHEN = re.compile(r"date|time|created|updated|_at$|^at$|^ts$", re.IGNORECASE)
_SECONDS = range(946_684_800, 4_102_444_800)  # 2000 to 2100


@dataclass(slots=True)
class FoundField:
    """A place at which posts have a value.

    Args:
        path: such as $.order.id.
        keys: the names on the way.
        values: those met there, for a look at their types.
    """

    path: str
    keys: tuple[str, ...]
    values: list[Any] = field(default_factory=list)

    @property
    def type(self) -> PostedType:
        """What all of its values are; text where they differ."""
        there = [each for each in self.values if each is not None]
        kinds = {type(each) for each in there}
        if kinds == {Number}:
            return self._number_type(there)
        return "boolean" if kinds == {bool} else "list" if kinds == {list} else "text"

    def _number_type(self, numbers: list[Any]) -> PostedType:
        if not all(map(_WHOLE.fullmatch, numbers)):
            return "number"
        if _WHEN.search(self.keys[-1]):
            if all(int(each) in _SECONDS for each in numbers):
                return "unix"
            if all(int(each) // 1000 in _SECONDS for each in numbers):
                return "unix_ms"
        return "integer"

    @property
    def declared(self) -> str:
        """The type of Caspio's by which a proposal guesses what it is."""
        known = {"boolean": "YES/NO", "number": "NUMBER", "integer": "INTEGER", "list": "LIST-STRING"}
        texts = [each for each in self.values if isinstance(each, str) and not isinstance(each, Number)]
        moments = pl.select(instant_of_text(pl.lit(pl.Series(texts, dtype=pl.String)))).to_series()
        if self.type in {"unix", "unix_ms"} or (
            texts and self.type == "text" and all(map(_MOMENT.match, texts)) and not moments.null_count()
        ):
            return "DATE/TIME"
        return known.get(self.type, "STRING")


def posted_fields(settings: Settings, path: str) -> dict[str, FoundField]:
    """The fields of the first posts to a path, by a name of their own.

    Raises:
        ConfigurationError: nothing was posted there yet, or it cannot be opened.
    """
    connect, sealer = CONNECT.get(), Sealer(settings.payload_keys)
    found: dict[str, FoundField] = {}
    with closing(connect.posts(settings, connect.clock)) as posts:
        for _, sealed in posts.each(path, None, _LOOKED_AT):
            for at, keys, value in _places(read_json(sealer.open(sealed)), "$", ()):
                if at in found or len(found) < _MOST_FIELDS:
                    found.setdefault(at, FoundField(at, keys)).values.append(value)
    if not found:
        raise ConfigurationError(
            f"nothing was posted to {path} yet: a proposal is made of what is there. Have one sent while "
            "`caspio-sync receive` runs, or write the file by hand (docs/posts.md)"
        )
    return _named(found)


def _places(document: Any, at: str, keys: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every place with a value that a path can name; of a list of objects none, for it has several."""
    if isinstance(document, dict):
        for key, value in document.items():
            if len(keys) < _MOST_LEVELS and key and "'" not in key and "\\" not in key:
                step = f".{key}" if _PLAIN.fullmatch(key) else f"['{key}']"
                yield from _places(value, at + step, (*keys, key))
    elif keys and not (isinstance(document, list) and any(isinstance(each, dict | list) for each in document)):
        yield at, keys, document


def _named(found: dict[str, FoundField]) -> dict[str, FoundField]:
    """The fields by the last of their names, and as many before it as tell them apart."""
    named: dict[str, FoundField] = {}
    for each in found.values():
        for length in range(1, len(each.keys) + 1):
            name = _NO_NAME.sub("_", "_".join(each.keys[-length:])).strip("_")
            name = name if name[:1].isalpha() else f"field_{name}"
            if name.lower() not in {"pk_id", "source_pk", "uncastable"} | {other.lower() for other in named}:
                named[name[:128]] = each
                break
    return named


def described(path: str, fields: dict[str, FoundField]) -> Iterator[str]:
    """Lines of `source:` in a sync file."""
    yield f"  posts: {path}"
    yield "  fields:"
    for name, each in fields.items():
        place = f'"{each.path}"' if "[" in each.path else each.path
        yield f"    {name}: {place}" if each.type == "text" else f"    {name}: {{path: {place}, type: {each.type}}}"


def as_declared(fields: dict[str, FoundField]) -> list[CaspioField]:
    """The fields as a proposal knows them."""
    return [CaspioField(name, each.declared) for name, each in fields.items()]
