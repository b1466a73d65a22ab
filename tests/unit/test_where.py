"""`docs/where.md` names places that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
PLACES = re.findall(r"`([\w/]+\.py)`\s+`(\w+)`", PAGE)


def names_in(path: Path) -> set[str]:
    """What a module defines: functions, classes, and what is assigned."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_a_place_is_there(path: str, name: str) -> None:
    assert name in names_in(ROOT / path), f"docs/where.md sends readers to {name} in {path}"


def test_every_question_is_answered_by_a_place() -> None:
    questions = re.split(r"^\d+\. ", PAGE, flags=re.MULTILINE)[1:]
    assert len(questions) >= 12
    assert all(re.search(r"`[\w/]+\.py`\s+`\w+`", question) for question in questions)


def test_what_is_gone_is_missed() -> None:
    assert "no_such_name" not in names_in(ROOT / "src" / "caspio_sync" / "engine" / "line.py")
