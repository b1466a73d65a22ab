"""The nodes of a YAML text, which know their lines: read once a process, as that takes 20 ms for a usual sync file."""

import re
from functools import lru_cache

import yaml


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


@lru_cache(maxsize=64)
def composed(text: str) -> yaml.Node | None:
    """The root of the document, None for an empty one; its scalars are text still, and nobody changes it.

    Raises:
        yaml.YAMLError: it is no YAML, or more than one document.
        ValueError, OverflowError: an escape stands for no sign.
        RecursionError: it is nested too deep.
    """
    root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    return root


def word_under(text: str, wanted: str) -> str | None:
    """What the document's mapping says under a key in one word, read no further than to there; None where it does not.

    Raises:
        yaml.YAMLError, ValueError, OverflowError: what stands before it is no YAML.
    """
    depth, key = 0, None  # the key at the top whose value comes next
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            if key is None and (depth or not isinstance(event, yaml.MappingStartEvent)) and depth < 2:
                return None  # no mapping, or a key that is none of ours
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            key = None if depth == 1 else key
        elif depth == 1 and isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            word = event.value if isinstance(event, yaml.ScalarEvent) else None
            if key == wanted:
                return None if word is None else str(word)
            key = None if key is not None else str(word)
    return None
