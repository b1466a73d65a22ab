"""Inputs that broke a promise, kept as small text files: `found/<target>/<what it broke>.txt`.

A file holds the input in Python's escapes, a line of the input a line of the file, so that any bytes are readable, and
nothing between the repository and the test changes one of them.
"""

import re
from pathlib import Path

FOUND = Path(__file__).parent / "found"
_NAME_CHARS = 80


def written(data: bytes) -> str:
    """An input as it stands in a file."""
    return data.decode("latin-1").encode("unicode_escape").decode().replace("\\n", "\\n\n") + "\n"


def read(text: str) -> bytes:
    """The input that a file holds."""
    return "".join(text.splitlines()).encode().decode("unicode_escape").encode("latin-1")


def inputs(target: str) -> list[tuple[str, bytes]]:
    """Name and input of every file of a target, by name."""
    return [(path.stem, read(path.read_text("ascii"))) for path in sorted((FOUND / target).glob("*.txt"))]


def keep(target: str, what: str, data: bytes) -> Path:
    """Write an input down, under what it broke."""
    name = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")[:_NAME_CHARS]
    path = FOUND / target / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written(data), "ascii")
    return path
