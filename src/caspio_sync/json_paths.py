"""Where something stands in a JSON answer: the part of JSONPath (RFC 9535) that names places, and no more.

Names, positions and `[*]`. Filters, slices and `..` are refused by `check`: whoever reads errors of single rows needs
none of them, and each library for the whole of it would be one more to keep.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(r"\.(?P<name>[A-Za-z_][\w-]*)|\[(?:'(?P<quoted>[^'\\]+)'|(?P<place>\d{1,6})|(?P<all>\*))\]")


@dataclass(frozen=True, slots=True)
class Path:
    """A path as the file writes it.

    Args:
        text: such as $.errors[*].
        steps: its names and positions in order; None for `[*]`.
    """

    text: str
    steps: tuple[str | int | None, ...]

    def found(self, document: Any) -> Iterator[Any]:
        """What stands there, in order; nothing where it does not lead on."""
        return _found(document, self.steps)

    def leads(self, document: Any) -> bool:
        """Whether the document has the path's form, as far as there is anything: an object where it names something."""
        return _leads(document, self.steps)


def path(text: str) -> Path:
    """A path, read.

    Raises:
        ValueError: it is none, or more than names, positions and `[*]`.
    """
    steps: list[str | int | None] = []
    at = 1
    while text.startswith("$") and at < len(text) and (step := _STEP.match(text, at)):
        name = step["name"] or step["quoted"]
        steps.append(name if name is not None else None if step["all"] else int(step["place"]))
        at = step.end()
    if not text.startswith("$") or at < len(text):
        raise ValueError("is no path of names, positions and [*], such as $.errors[*] or $['row errors'][0]")
    return Path(text, tuple(steps))


def _found(document: Any, steps: tuple[str | int | None, ...]) -> Iterator[Any]:
    if not steps:
        yield document
        return
    step, others = steps[0], steps[1:]
    if isinstance(document, dict) and isinstance(step, str) and step in document:
        yield from _found(document[step], others)
    elif isinstance(document, list) and step is None:
        for each in document:
            yield from _found(each, others)
    elif isinstance(document, list) and isinstance(step, int) and step < len(document):
        yield from _found(document[step], others)


def _leads(document: Any, steps: tuple[str | int | None, ...]) -> bool:
    if not steps or not document:  # null, false, 0, and whatever is empty
        return True
    step, others = steps[0], steps[1:]
    if not isinstance(document, dict if isinstance(step, str) else list):
        return False
    return all(_leads(each, others) for each in _found(document, (step,)))
