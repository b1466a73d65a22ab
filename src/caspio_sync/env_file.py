"""The file of KEY=value lines that settings are read from, beside the environment."""

import codecs
import io
import os
import tempfile
from pathlib import Path

from caspio_sync.errors import ConfigurationError

ENV_FILE_VARIABLE = "CASPIO_SYNC_ENV_FILE"


def settings_file() -> Path:
    """Where this process reads settings from, besides its environment; it need not be there."""
    return env_file_named() or Path(".env")


def env_file_named() -> Path | None:
    """The settings file that this process was given; None for `.env`."""
    named = os.environ.get(ENV_FILE_VARIABLE)
    return Path(named) if named else None


def read_env_file(path: Path) -> dict[str, str | None]:
    """A file of KEY=value lines; nothing where there is none.

    Raises:
        ConfigurationError: it cannot be read, or not as UTF-8.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except IsADirectoryError:  # Docker makes one where the file of a mount is missing
        raise ConfigurationError(f"{path} is a folder; remove it, and put a file of KEY=value lines there") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; give this user the right to") from None
    remedy = f"save {path} as UTF-8 (in Windows' Editor: Save as, Encoding: UTF-8)"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw:
        raise ConfigurationError(f"{path} is in UTF-16, as PowerShell and older editors write it; {remedy}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path}, line {line}: not UTF-8; the file is in another encoding, perhaps Windows-1252; {remedy}"
        ) from None
    from dotenv import dotenv_values  # noqa: PLC0415 - 20 ms, for those that read settings

    return dotenv_values(stream=io.StringIO(text))


def write_variable(path: Path, name: str, value: str) -> None:
    """Set one variable in a settings file, in its place or at the end; the rest stays as it is.

    The file is replaced whole, so that nobody reads half of it, and a new one is readable by its owner alone.

    Args:
        path: the file; made where it is not there.
        name: of the variable.
        value: without a single quote, in which it is written.

    Raises:
        ConfigurationError: it cannot be read or written, or not as UTF-8.
    """
    read_env_file(path)
    line = f"{name}='{value}'"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.exists() else []
        kept = [each for each in lines if not each.removeprefix("export ").startswith(f"{name}=")]
        where = next((place for place, each in enumerate(lines) if each not in kept), len(kept))
        kept.insert(where, line)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        target = path.resolve()
        handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("".join(f"{each}\n" for each in kept))
                file.flush()
                os.fsync(file.fileno())
            Path(made).chmod(mode)
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; give this user the right to") from None
