"""What is installed from the wheel: each package by its name."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"]) - {"caspio_sync.examples"}
    places = [(ROOT / "src", "caspio_sync"), *((ROOT, name) for name in ("flows", "tasks", "expectations"))]
    there = {
        ".".join(each.parent.relative_to(base).parts)
        for base, name in places
        for each in (base / name).rglob("__init__.py")
    }
    assert listed == there
