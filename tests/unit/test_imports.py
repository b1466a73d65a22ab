from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("caspio_sync", "flows", "tasks", "expectations")


def circle(imports: Mapping[str, Collection[str]]) -> str:
    """Modules that import one another in turn; "" where there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def test_no_modules_import_one_another_in_turn() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    assert len(imports) > 300
    assert imports["caspio_sync.engine.opening"] >= {"caspio_sync.engine.connect", "caspio_sync.engine.run"}
    assert circle(imports) == "", "move what both need to a module below them (docs/decisions/0036-imports.md)"


@pytest.mark.parametrize(
    ("imports", "found"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, ""),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "b <- c <- b"),
        ({"a": ["a"]}, "a <- a"),
    ],
)
def test_a_circle_is_named(imports: Mapping[str, Collection[str]], found: str) -> None:
    assert set(circle(imports).split(" <- ")) == set(found.split(" <- "))
