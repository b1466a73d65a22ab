"""The files that define syncs, and the one rule for their names: a sync is called as its file, without its ending.

Whoever takes a sync for another one (its path, its name in another case) sends all of it again, and Braze bills it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from caspio_sync import registry
from caspio_sync.errors import ConfigurationError

FILE_VARIABLE = "CASPIO_SYNC_FILE"  # set by our own commands alone: one more sync file, from outside of the folder
ENDINGS = (".yaml", ".yml")
MOST_BYTES = 2_000_000  # of a sync file
# What the names of Prefect's artifacts and deployments take.
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def bare_name(given: str) -> str:
    """The name of a sync that is given by name or as a path to its file."""
    path = Path(given)
    return path.stem if path.suffix.lower() in ENDINGS else given


def fault_in_name(name: str) -> str | None:
    """Why a sync cannot be called so, and what to do; None where it can."""
    if _NAME.fullmatch(name):
        return None
    return f"'{name}' is no name for a sync: letters from A to Z, digits, - and _ make one; rename the file"


def destination_in(path: Path) -> str:
    """The destination that a sync file names; the default where none can be read, of which the file's findings tell."""
    return said_in(path, "destination").get("destination", registry.DEFAULT_DESTINATION)


def kind_in(path: Path) -> str | None:
    """The kind that a sync file names, read no further than to there; None where none can be read."""
    import yaml  # noqa: PLC0415 - for those that read files

    from caspio_sync.yaml_nodes import word_under  # noqa: PLC0415 - as above

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return word_under(file.read(MOST_BYTES), "kind")
    except (OSError, ValueError, OverflowError, yaml.YAMLError):
        return None


def said_in(path: Path, *keys: str) -> dict[str, str]:
    """What a sync file says under these keys at its top, in a word; nothing where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # the very text that the file's document is made of
            text = file.read(MOST_BYTES)
    except (OSError, ValueError):
        return {}
    # A file that bears none of these words, nor an escape that may spell one, need not be composed: that takes 20 ms.
    if "\\" not in text and not any(key in text for key in keys):
        return {}
    import yaml  # noqa: PLC0415 - as above

    from caspio_sync.yaml_nodes import composed  # noqa: PLC0415 - as above

    try:
        root = composed(text)
    except (ValueError, OverflowError, yaml.YAMLError, RecursionError):
        return {}
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    words = ((str(key.value), str(value.value)) for key, value in pairs if isinstance(value, yaml.ScalarNode))
    return {key: word for key, word in reversed([*words]) if key in keys}


@dataclass(frozen=True, slots=True)
class SyncFiles:
    """The sync files there are.

    Args:
        folder: where they stand, each NAME.yaml or NAME.yml.
        extra: one more, from another place; its name must not be taken in the folder.
    """

    folder: Path
    extra: Path | None = None

    @property
    def names(self) -> list[str]:
        """Names of all syncs, in order."""
        return sorted({each.stem for each in self._all()})

    def path(self, name: str) -> Path:
        """The file of a sync; where there is none, the one it would have.

        Raises:
            ConfigurationError: two files bear the name, or one bears it in another case.
        """
        found = [each for each in self._all() if each.stem == name]
        if len(found) > 1:
            first, second, *_ = found
            raise ConfigurationError(f"{first} and {second} are one sync by their name, '{name}'; keep or rename one")
        own = self.folder / f"{name}.yaml"
        if not found and own.exists():  # on a file system that does not tell upper from lower case
            raise ConfigurationError(f"{own}: its name is spelled otherwise; there are: {', '.join(self.names)}")
        return found[0] if found else own

    def named(self, given: str) -> str | None:
        """The name of the sync that a path to a file of the folder means; None for a path elsewhere.

        Raises:
            ConfigurationError: it is a path to no file.
        """
        name, path = bare_name(given), Path(given)
        if not path.exists():
            if path.name == given and any(each.name == given for each in self._all()):
                return name
            there = f"there are: {', '.join(self.names)}" if self.names else f"none is in {self.folder} either"
            raise ConfigurationError(f"{path}: there is no such sync file; {there}")
        inside = any(each.samefile(path) for each in self._all() if each.exists())
        return name if inside else None

    def _all(self) -> list[Path]:
        there = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        # Editors and systems leave hidden files beside those that are meant.
        found = [
            each
            for each in there
            if each.suffix.lower() in ENDINGS and not each.name.startswith(".") and not each.is_dir()
        ]
        if self.extra is None or any(each.samefile(self.extra) for each in found if each.exists()):
            return found
        return [*found, self.extra]


def sync_files_of(folder: Path, extra: Path | None, *, sandbox: bool) -> SyncFiles:
    """The sync files of a folder; where it holds none, on the sandbox, the shipped examples."""
    own = SyncFiles(folder, extra)
    return SyncFiles(shipped_examples()) if sandbox and not own.names else own


def shipped_examples() -> Path:
    """The folder of the examples that come with the project: in a checkout, or in the wheel.

    Raises:
        ConfigurationError: it is not there.
    """
    package = Path(__file__).parent
    found = next((each for each in (package.parents[1] / "examples", package / "examples") if each.is_dir()), None)
    if found is None:
        raise ConfigurationError("the shipped examples of sync files are missing; install caspio-sync again")
    return found
