import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import caspio_sync

ROOT = Path(caspio_sync.__file__).parent
ROOMS = ("engine", "kinds", "verification", "ledger", "mapping", "delivery", "caspio", "wire", "dashboard")
NEUTRAL = sorted(
    path
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if "migrations" not in path.parts  # what tables were once called
)
# A vendor's page named as the source of a fact; words of sync files, of old reports, and of tables of old ledgers.
ALLOWED = re.compile(
    r"\(Braze, [^)]*\)|Braze, [0-9.]+|braze_wins|braze=row|'braze'|(?i:braze_id)|destinations/braze/\w+"
)


def texts(source: str) -> Iterator[str]:
    """Code with its strings, a text a line; comments and docstrings, a text each."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    yield from (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented))
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    yield from (each.string for each in tokens if each.type == tokenize.COMMENT)
    yield from ast.unparse(tree).splitlines()


@pytest.mark.parametrize("path", NEUTRAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_vendor_is_named_but_as_a_source(path: Path) -> None:
    named = [each for each in texts(path.read_text()) if "braze" in ALLOWED.sub("", each).lower()]
    assert named == [], "its sink, its `ValueRules` or its `Destination` say it (engine/destination.py)"
