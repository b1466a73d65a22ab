"""A YAML file as plain data that still knows the line of every key.

Read as YAML 1.2 does, so that Norway's `NO` stays text and `yes` and `no` can be keys of a map; duplicate keys are
refused.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from caspio_sync.errors import ConfigurationError
from caspio_sync.sync_files import SyncFiles

Location = tuple[str | int, ...]


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
        ConfigurationError: the file is missing, not UTF-8, not YAML, or holds a key twice; every finding has its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(_missing(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Document:
    """As `read_document`, from the file's text."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: is not YAML: {error.problem}; correct the line") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not YAML: {str(error).splitlines()[0]}; correct the file") from None
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: has no keys; write `kind: profiles`, source, identity and fields")
    reader = _Reader()
    data = reader.value(root, ())
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


class _Loader(yaml.SafeLoader):
    """Types of the YAML 1.2 core schema: no sexagesimal numbers, no dates, no yes and no, no merge keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]{1,18}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


_LEADING_ZERO = re.compile(r"^[-+]?0[0-9]")


class _Reader:
    """Turns nodes into values, collecting lines and findings on the way."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.findings: list[Finding] = []
        self._open: set[int] = set()

    def value(self, node: yaml.Node, at: Location) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self.findings.append(Finding(node.start_mark.line + 1, "an alias (*) inside its own anchor; write it out"))
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
            case "int" | "float" as tag if not _LEADING_ZERO.match(text):
                return int(text) if tag == "int" else float(text)
            case "int" | "float":
                fault = f"'{text}' begins with a zero, which a number loses; is it text? Then write \"{text}\""
            case tag:
                fault = f"tag '{tag}' is not understood; write plain text"
        self.findings.append(Finding(node.start_mark.line + 1, fault))
        return None
