"""Whose `flows`, `tasks` and `expectations` are these? A user's own file of that name would shadow ours."""

import sys
from importlib.util import find_spec
from pathlib import Path

import caspio_sync
from caspio_sync.errors import ConfigurationError

PACKAGES = ("flows", "tasks", "expectations")
MARK = '"""caspio-sync: '


def refuse_foreign_packages() -> None:
    """Look at where the three packages would be imported from, without importing them.

    Raises:
        ConfigurationError: one of them is not ours; both paths are named.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin) if spec is not None and spec.origin else None
        if found is None or not found.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise ConfigurationError(
                f"the package {name!r} that Python finds is {found or 'none'}, not caspio-sync's {_ours(name)}. "
                f"Rename that file or folder, or start caspio-sync from another folder ({Path.cwd()} is this one)."
            )


def _ours(name: str) -> Path:
    beside = [Path(folder) / name / "__init__.py" for folder in sys.path]
    package = Path(caspio_sync.__file__).parent
    places = [package.parent / name / "__init__.py", package.parent.parent / name / "__init__.py", *beside]
    ours = (each for each in places if each.is_file() and each.read_text(encoding="utf-8").startswith(MARK))
    return next(ours, places[0])
