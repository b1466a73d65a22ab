"""The one start of every process of ours: streams, umask and proxies, before anything reads or uses them.

Signals are `caspio_sync.signals`. Nothing heavy is imported here.
"""

import importlib.util
import io
import os
import re
import sys
from collections.abc import MutableMapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from caspio_sync.errors import ConfigurationError

_PRIVATE_UMASK = 0o077
_usual_umask: int | None = None

_SCHEMES = ("http", "https", "socks5", "socks5h")
_KNOWING_PROXIES = ("darwin", "win32")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# A name, an IPv4 address or a network of these, as httpx takes them; with a port or without.
_PLAIN_HOST = re.compile(r"\.?[a-z0-9_][a-z0-9_.-]*(:\d{1,5}|/\d{1,2})?", re.IGNORECASE)


def prepare() -> None:
    """Prepare this process, and by its environment those it starts.

    Raises:
        ConfigurationError: a proxy's variable cannot be used; it is named.
    """
    _settle_streams()
    global _usual_umask  # noqa: PLW0603 - the process has one umask, and one start
    if _usual_umask is None:
        _usual_umask = os.umask(_PRIVATE_UMASK)
    settle_proxies(os.environ)
    # polars' allocator keeps freed pages for ten seconds, in which several batches come and go. Read when it is loaded.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:200,muzzy_decay_ms:0")


def share(path: Path) -> None:
    """Give a new file that holds nothing private, or its folder, the rights it would have by the user's own umask."""
    if _usual_umask is not None:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~_usual_umask)


def _settle_streams() -> None:
    """What a stream's code page lacks is printed as a question mark: no work is undone by a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the process's life
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def settle_proxies(environment: MutableMapping[str, str]) -> None:
    """Bring the proxies' variables into a form that every library reads alike; loopback is always reached directly.

    The vendors are reached through the proxies; the sandbox, Prefect's server on this machine and the receiver are not.
    Entries of NO_PROXY that httpx fails on (networks of IPv6) are left out: the hosts we call have names.

    Raises:
        ConfigurationError: a proxy's address cannot be read, or needs what is not installed.
    """
    if sys.platform not in _KNOWING_PROXIES and not any(name.lower().endswith("_proxy") for name in environment):
        return
    from urllib.request import getproxies  # noqa: PLC0415 - loads HTTP and TLS, and few have a proxy

    # Where the system knows proxies also those; there, setting NO_PROXY alone would switch them off.
    found = getproxies()
    proxies = {scheme: found.get(scheme, "").strip() for scheme in ("http", "https", "all")}
    for scheme, url in proxies.items():
        name = f"{scheme.upper()}_PROXY"
        if url:
            _refuse_unusable(name, url)
        for each in (name, name.lower()):
            # HTTP_PROXY under CGI is a header of the caller: Python's own rule leaves it out.
            if url:
                environment[each] = url
            elif not environment.get(each, "").strip():
                environment.pop(each, None)
    if not any(proxies.values()):
        return
    hosts = [host for each in found.get("no", "").split(",") if (host := _direct_host(each.strip()))]
    direct = "*" if "*" in hosts else ",".join(dict.fromkeys((*hosts, *_LOOPBACK)))
    environment["NO_PROXY"] = environment["no_proxy"] = direct


def _refuse_unusable(name: str, url: str) -> None:
    """The address itself is not shown: it may hold a password."""
    remedy = f"correct {name} (http://host:port), or unset it"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{name} is not the address of a proxy; {remedy}")
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise ConfigurationError(f"{name} names a proxy by {scheme}://, which is not supported; {remedy}")
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            f"{name} names a SOCKS proxy ({scheme}://), which needs a package that is not installed: "
            f"`pip install 'httpx[socks]'`; or {remedy}"
        )


def _direct_host(entry: str) -> str | None:
    """An entry of NO_PROXY as httpx takes it; None where it cannot."""
    if entry == "*":
        return entry
    bare = entry.removeprefix("[").removesuffix("]")
    try:
        if isinstance(ip_address(bare), IPv6Address):
            return bare
    except ValueError:
        pass
    name = entry.rpartition("://")[2].removeprefix("*")  # *.corp.example is written .corp.example
    return name if _PLAIN_HOST.fullmatch(name) else None
