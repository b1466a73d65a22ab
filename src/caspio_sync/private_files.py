"""State that only its owner may read: the ledger's keys, posted addresses, Prefect's records, exports.

New files and folders are private by the process's umask (`startup`); this closes what was made before.
"""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

# What we and Prefect keep below a state folder. Nothing else in it is touched: it may be the project's own folder.
_OURS = ("ledger.db*", "inbox.db*", "prefect", "serve", "sandbox", "demo", "told")
_DATABASE_FILES = ("", "-wal", "-shm", "-journal")


def close_to_others(home: Path, databases: Iterable[str] = ()) -> None:
    """Take the rights of group and others from a state folder and from the databases, where they have any.

    What belongs to somebody else stays as it is. So does a folder with the setgid bit (chmod g+s), by which an
    administrator shares it with a group on purpose, and a folder that is the working directory or around it.

    Args:
        home: the state folder; it need not be there.
        databases: SQLAlchemy URLs; those of SQLite files, which may lie elsewhere, are closed as well.
    """
    for url in databases:
        if url.startswith("sqlite:///") and not _is_shared(Path(url.removeprefix("sqlite:///")).parent):
            for ending in _DATABASE_FILES:
                _close(Path(url.removeprefix("sqlite:///") + ending))
    if not is_open(home) or _is_shared(home):
        return
    for pattern in _OURS:
        for found in home.glob(pattern):
            _close(found)
            for folder, folders, files in os.walk(found):
                for name in (*folders, *files):
                    _close(Path(folder, name))
    here = Path.cwd().resolve()
    if home.resolve() not in (here, *here.parents):
        _close(home)


def is_open(path: Path) -> bool:
    """Whether anybody but its owner has a right to it; False where it is not there."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def _is_shared(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(folder.stat().st_mode & stat.S_ISGID)
    return False


def _close(path: Path) -> None:
    with contextlib.suppress(OSError):  # not there, not ours, or a disk without rights
        if is_open(path) and not path.is_symlink():
            path.chmod(path.stat().st_mode & stat.S_IRWXU)
