import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import caspio_sync.mapping

ROOM = Path(caspio_sync.mapping.__file__).parent
PACKAGE = caspio_sync.mapping.__name__
NEUTRAL = (
    "cells",
    "cleaning",
    "columns",
    "consent",
    "consent_proposal",
    "definition",
    "document",
    "empty",
    "erasure",
    "faults",
    "field",
    "former_rules",
    "lookups",
    "nested",
    "numbers",
    "places",
    "proposed_lines",
    "row_mapping",
    "titles",
    "values",
)
KINDS = (
    "catalog_faults",
    "catalog_proposal",
    "catalog_sync",
    "catalogs",
    "engagement",
    "engagement_proposal",
    "engagement_sync",
    "profile_faults",
    "profile_sync",
    "profiles",
    "proposal",
)
# A word of sync files, and a vendor's page named as the source of a fact.
ALLOWED = re.compile(r"braze_wins|\(Braze, [^)]*\)")


def texts(source: str) -> Iterator[str]:
    """Code with its strings, a text a line; comments and docstrings, a text each."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    yield from (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented))
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    yield from (each.string for each in tokens if each.type == tokenize.COMMENT)
    yield from ast.unparse(tree).splitlines()


@pytest.mark.parametrize("module", [*NEUTRAL, *KINDS])
def test_no_vendor_is_named_but_as_a_source(module: str) -> None:
    named = [each for each in texts((ROOM / f"{module}.py").read_text()) if "braze" in ALLOWED.sub("", each).lower()]
    assert named == [], "its `ValueRules` say it (mapping/values.py)"


def test_nothing_neutral_knows_a_kind_and_no_kind_knows_the_vendors_rules() -> None:
    graph = grimp.build_graph("caspio_sync", exclude_type_checking_imports=False, cache_dir=None)
    for modules, known in ((NEUTRAL, NEUTRAL), (KINDS, (*NEUTRAL, *KINDS))):
        for module in modules:
            imports = graph.find_modules_directly_imported_by(f"{PACKAGE}.{module}")
            wrong = {each for each in imports if each.startswith(f"{PACKAGE}.")} - {
                f"{PACKAGE}.{each}" for each in known
            }
            assert wrong == set(), module
