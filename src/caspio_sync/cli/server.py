"""Which Prefect server a run by hand is shown on. Prefect is not imported to ask: that takes seconds."""

import contextlib
import http.client
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

VARIABLE = "PREFECT_API_URL"
_SECONDS = 1.0  # for a server on this machine to say that it lives


def named_server(home: Path) -> str | None:
    """URL of the API that PREFECT_API_URL or Prefect's profile names, or of the `serve` that lives on a state folder.

    Args:
        home: the state folder.
    """
    return os.environ.get(VARIABLE, "").strip() or _of_profile() or _served(home)


def own_records(home: Path) -> Path:
    """Where runs keep Prefect's records that had a server of their own."""
    return home / "prefect" / "prefect.db"


def _of_profile() -> str | None:
    """As the active profile says; None where there is none, or it cannot be read."""
    folder = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or folder / "profiles.toml").expanduser()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    profiles = document.get("profiles")
    name = os.environ.get("PREFECT_PROFILE") or document.get("active")
    active = profiles.get(str(name)) if isinstance(profiles, dict) else None
    url = active.get(VARIABLE) if isinstance(active, dict) else None
    return url.strip() or None if isinstance(url, str) else None


def _served(home: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        url = _noted(home).read_text(encoding="utf-8").strip()
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", f"{parts.path}/health")
            return url if connection.getresponse().status == http.client.OK else None
    return None


@contextlib.contextmanager
def serving(home: Path, url: str) -> Iterator[None]:
    """Let runs by hand on this state folder find the server, until the end of the block."""
    _noted(home).write_text(f"{url}\n", encoding="utf-8")
    try:
        yield
    finally:
        _noted(home).unlink(missing_ok=True)


def _noted(home: Path) -> Path:
    return home / "serve.url"


def use_server(home: Path, server: str | None) -> None:
    """Have the flows that are imported from now on run on this server; None: on one of their own.

    Raises:
        ConfigurationError, TransientError: the one of their own does not start.
    """
    from tasks.orchestration import use_prefect

    use_prefect(home, server=server, verbose=bool(os.environ.get("CASPIO_SYNC_VERBOSE")))
