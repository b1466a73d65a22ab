"""Which Prefect server a run by hand is shown on. Prefect is not imported to ask: that takes seconds."""

import contextlib
import http.client
import os
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from caspio_sync.errors import ConfigurationError, TransientError

VARIABLE = "PREFECT_API_URL"
_SECONDS = 1.0  # for a server on this machine to say that it lives
_PATIENCE_SECONDS = 10.0  # for one anywhere to answer at all
_EXAMPLE = "http://127.0.0.1:4200/api"


def named_server(home: Path) -> str | None:
    """URL of the API that PREFECT_API_URL or Prefect's profile names, or of the `serve` that lives on a state folder.

    Args:
        home: the state folder.
    """
    return os.environ.get(VARIABLE, "").strip() or _of_profile() or _served(home)


def required_server(home: Path) -> str:
    """As `named_server`.

    Raises:
        ConfigurationError: none is named.
    """
    if (server := named_server(home)) is None:
        raise ConfigurationError(
            f"no Prefect server is named: set {VARIABLE}, such as {_EXAMPLE}, or let `make serve` start one. (Runs by "
            "hand or by cron need none.)"
        )
    return server


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


def refuse_silent(server: str) -> None:
    """Refuse a named server that does not answer; whatever it answers is Prefect's matter.

    Raises:
        TransientError: nobody answers at its address.
        ConfigurationError: the address is none.
    """
    by = VARIABLE if os.environ.get(VARIABLE, "").strip() else "Prefect's active profile"
    if (host := _host(server)) is None:
        raise ConfigurationError(f"{by} names a Prefect server by an address that is none; one is such as {_EXAMPLE}")
    try:
        urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=_PATIENCE_SECONDS).close()  # noqa: S310 - as above
    except urllib.error.HTTPError:
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # Prefect may know its certificate
            return
        raise TransientError(
            f"the Prefect server that {by} names does not answer at {host}: {reason}. Start it, or name "
            f"none: then `caspio-sync run` goes alone (unset {VARIABLE}, or `prefect profile use ephemeral`)"
        ) from None


def _host(server: str) -> str | None:
    """The host of a web address; None where it is none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(server)
        if parts.scheme in {"http", "https"} and (parts.port is None or parts.port > 0):
            return parts.hostname or None
    return None


def use_server(home: Path, server: str | None) -> None:
    """Have the flows that are imported from now on run on this server; None: on one of their own.

    Raises:
        ConfigurationError, TransientError: as `refuse_silent`, or the one of their own does not start.
    """
    if server is not None:
        refuse_silent(server)
    from tasks.orchestration import use_prefect

    use_prefect(home, server=server, verbose=bool(os.environ.get("CASPIO_SYNC_VERBOSE")))
