"""A YAML file as plain data that still knows the line of every key.

Read as YAML 1.2 does, so that Norway's `NO` stays text and `yes` and `no` can be keys of a map; duplicate keys are
refused. What would take minutes or gigabytes to read is refused at once: aliases of aliases grow without bound.
"""

import codecs
import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from caspio_sync.errors import ConfigurationError
from caspio_sync.sync_files import MOST_BYTES, SyncFiles
from caspio_sync.yaml_nodes import composed

Location = tuple[str | int, ...]
Fault = tuple[Location, str]  # what is wrong at a place of the file, and what to do

MOST_VALUES = 200_000  # with each alias written out
MOST_LEVELS = 150
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong in a file.

    Args:
        line: counted from 1.
        text: what is wrong, and what to do.
    """

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML file says, and where it says it.

    Args:
        path: the file, for messages.
        data: dicts with text keys, lists and scalars.
        lines: line of every key and item, by its location from the top.
    """

    path: Path
    data: Any
    lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """Line of the nearest known place at or above `location`."""
        for length in range(len(location), 0, -1):
            if (found := self.lines.get(location[:length])) is not None:
                return found
        return 1

    def where(self, location: Location) -> str:
        """`file:line` of the nearest known place at or above `location`."""
        return f"{self.path}:{self.line(location)}"


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping.

    Raises:
        ConfigurationError: the file is missing, not UTF-8, not YAML, too large, or holds a key twice; every finding has
            its line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(_missing(path)) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if len(data) > MOST_BYTES:
        raise ConfigurationError(
            f"{path}: is over {MOST_BYTES // 1_000_000} MB, which no sync file is; correct the path"
        )
    return parse_document(_decoded(data, path), path)


def _decoded(data: bytes, path: Path) -> str:
    if (encoding := next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)) is not None:
        raise ConfigurationError(f"{path}: is {encoding}; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path}:{line}: is not UTF-8 (byte {error.object[error.start]:#04x}; perhaps Windows-1252 or Latin-1); "
            "save it as UTF-8"
        ) from None


@lru_cache(maxsize=64)  # a run reads its file several times, and those of all other syncs
def parse_document(text: str, path: Path) -> Document:
    """As `read_document`, from the file's text; nobody changes what a document holds."""
    try:
        root = composed(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: is not YAML: {error.problem}; correct the line") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(
            f"{path}:{line}: is not YAML: it holds the sign U+{error.character:04X}; remove it"
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested over {MOST_LEVELS} levels deep; correct the file") from None
    except (ValueError, OverflowError):  # \\UFFFFFFFF: there are not so many
        raise ConfigurationError(f"{path}: is not YAML: an escape that stands for no sign; remove it") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not YAML: {str(error).splitlines()[0]}; correct the file") from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: has no keys; write `kind: profiles`, source, identity and fields")
    reader = _Reader()
    try:
        data = reader.value(root, ())
    except _TooMuchError as error:
        raise ConfigurationError(f"{path}:{error}") from None
    if reader.findings:
        raise ConfigurationError(listing(path, reader.findings))
    return Document(path, data, reader.lines)


def listing(path: Path, findings: list[Finding]) -> str:
    """The findings in the order of the file, one a line, each led by `file:line`."""
    ordered = sorted(findings, key=lambda finding: finding.line)
    return "\n".join(f"{path}:{finding.line}: {finding.text}" for finding in ordered)


def _missing(path: Path) -> str:
    known = SyncFiles(path.parent).names
    advice = f"there are: {', '.join(known)}" if known else f"write one with `caspio-sync init {path.stem} --table T`"
    return f"{path}: there is no such sync; {advice}"


_LEADING_ZERO = re.compile(r"^[-+]?0[0-9]")


class _TooMuchError(Exception):
    """A line, and what is too much there."""


class _Reader:
    """Turns nodes into values, collecting lines and findings on the way."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.findings: list[Finding] = []
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: yaml.Node, at: Location) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MOST_VALUES:
            raise _TooMuchError(f"{line}: holds over {MOST_VALUES:,} values, each alias (*) written out; shorten it")
        if len(at) > MOST_LEVELS:
            raise _TooMuchError(f"{line}: is nested over {MOST_LEVELS} levels deep; flatten it")
        if isinstance(node, yaml.ScalarNode):
            if (fault := _fault_in_text(str(node.value))) is not None:
                self.findings.append(Finding(line, fault))
                return None
            return self._scalar(node)
        if id(node) in self._open:
            self.findings.append(Finding(line, "an alias (*) inside its own anchor; write it out"))
            return None
        self._open.add(id(node))
        try:
            return self._mapping(node, at) if isinstance(node, yaml.MappingNode) else self._sequence(node, at)
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.findings.append(Finding(line, "a key that is no single word; write `key: value`"))
                continue
            key = str(key_node.value)
            if (fault := _fault_in_text(key)) is not None:
                self.findings.append(Finding(line, fault))
                continue
            if key in values:
                first = self.lines[(*at, key)]
                self.findings.append(
                    Finding(line, f"key '{key}' stands a second time (first in line {first}); keep one")
                )
                continue
            self.lines[(*at, key)] = line
            values[key] = self.value(value_node, (*at, key))
        return values

    def _sequence(self, node: yaml.Node, at: Location) -> list[Any]:
        items = []
        for number, item in enumerate(node.value):
            self.lines[(*at, number)] = item.start_mark.line + 1
            items.append(self.value(item, (*at, number)))
        return items

    def _scalar(self, node: yaml.ScalarNode) -> Hashable:
        text = str(node.value)
        match node.tag.rpartition(":")[2]:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" if _LEADING_ZERO.match(text):
                fault = f"'{text}' begins with a zero, which a number loses; is it text? Then write \"{text}\""
            case "int":
                return int(text)
            case "float":
                number = float(text)
                if not math.isinf(number):
                    return number
                fault = f"{text} is too large; correct it"
            case tag:
                fault = f"tag '{tag}' is not understood; write plain text"
        self.findings.append(Finding(node.start_mark.line + 1, fault))
        return None


def _fault_in_text(text: str) -> str | None:
    """Signs that an escape can write and no database or request takes."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        return "a text with the sign U+0000, or with half of a surrogate pair; remove the escape"
    return None
