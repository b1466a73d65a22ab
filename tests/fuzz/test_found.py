"""Every input that once broke a promise, and every one that the fuzz begins with, is taken as promised."""

import pytest

from tests.fuzz import kept
from tests.fuzz.judging import judge
from tests.fuzz.registry import TARGETS

FOUND = [pytest.param(name, data, id=f"{name}-{what}") for name in sorted(TARGETS) for what, data in kept.inputs(name)]
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize(("target", "data"), FOUND)
def test_what_was_found_is_mended(target: str, data: bytes) -> None:
    assert judge(TARGETS[target], data) is None


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_seeds_break_nothing(target: str) -> None:
    broken = {fault.what: seed for seed in TARGETS[target].seeds if (fault := judge(TARGETS[target], seed))}
    assert broken == {}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_first_seed_is_taken_whole(target: str) -> None:
    """Where every input is refused at the door, nothing behind it is ever tried."""
    TARGETS[target].run(TARGETS[target].seeds[0])


def test_files_below_found_are_of_a_target() -> None:
    folders = {path.name for path in kept.FOUND.iterdir()} if kept.FOUND.is_dir() else set()
    assert folders <= set(TARGETS)
