"""The start of every process: proxies and streams."""

import io
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from caspio_sync import startup
from caspio_sync.errors import ConfigurationError

LOOPBACK = "localhost,127.0.0.1,::1"
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("HTTP", "HTTPS", "ALL", "NO"):
        monkeypatch.delenv(f"{scheme}_PROXY", raising=False)
        monkeypatch.delenv(f"{scheme.lower()}_proxy", raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "settled"),
    [
        (None, LOOPBACK),
        ("", LOOPBACK),
        ("localhost,fe11::/16", LOOPBACK),
        ("127.0.0.1", "127.0.0.1,localhost,::1"),
        ("*", "*"),
        ("corp.example, *", "*"),
        ("*.corp.example", f".corp.example,{LOOPBACK}"),
        (".corp.example,10.0.0.0/8,host:8080", f".corp.example,10.0.0.0/8,host:8080,{LOOPBACK}"),
        ("http://corp.example", f"corp.example,{LOOPBACK}"),
        ("[::1], fd00::5", "::1,fd00::5,localhost,127.0.0.1"),
        ("two words,bücher.example,[::1]:80,,-x", LOOPBACK),
        ("a" * 40 + "!", LOOPBACK),
    ],
)
def test_exceptions_of_a_proxy_are_such_that_httpx_takes_them(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str | None, settled: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    startup.settle_proxies(os.environ)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == settled
    httpx.Client().close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_loopback_is_reached_directly_and_the_vendors_by_the_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f" {PROXY}\n")
    startup.settle_proxies(os.environ)
    scheme = "http" if name == "HTTP_PROXY" else "https"
    with httpx.Client() as client:
        direct = client._transport  # noqa: SLF001 - httpx tells in no other way which proxy it takes
        for host in ("127.0.0.1:4200", "localhost:4200", "[::1]:4200"):
            assert client._transport_for_url(httpx.URL(f"{scheme}://{host}/api")) is direct  # noqa: SLF001
        assert client._transport_for_url(httpx.URL(f"{scheme}://c0abc123.caspio.com/")) is not direct  # noqa: SLF001


def test_without_a_proxy_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "  ")
    startup.settle_proxies(os.environ)
    assert not {"NO_PROXY", "no_proxy", "HTTP_PROXY"} & set(os.environ)


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("ALL_PROXY", "socks5://user:hunter2@proxy.example:1080", "ALL_PROXY names a SOCKS proxy"),
        ("all_proxy", "SOCKS5H://proxy.example", "ALL_PROXY names a SOCKS proxy"),
        ("HTTPS_PROXY", "socks4://hunter2.example:1080", "HTTPS_PROXY names a proxy by socks4://"),
        ("HTTP_PROXY", "http://proxy.example:hunter2", "HTTP_PROXY is not the address of a proxy"),
        ("HTTP_PROXY", "http://[hunter2", "HTTP_PROXY is not the address of a proxy"),
        ("HTTP_PROXY", "http://", "HTTP_PROXY is not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, why: str
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(ConfigurationError, match=why) as refused:
        startup.settle_proxies(os.environ)
    assert "hunter2" not in str(refused.value)


def test_the_command_refuses_an_unusable_proxy_before_anything_else(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "caspio_sync", "status"],
        env={**os.environ, "ALL_PROXY": "socks5://proxy.example:1080"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ALL_PROXY names a SOCKS proxy")


def test_what_a_code_page_lacks_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", None)  # closed by whoever started us
    startup.prepare()
    sys.stdout.write("Łódź → ü\ud83d")
    sys.stdout.flush()
    assert out.getvalue() == "?ód? ? ü?".encode("cp1252")
    sys.stderr.write("to nobody")
    sys.stderr.close()


def test_new_files_are_private_and_sync_files_are_not(tmp_path: Path) -> None:
    script = (
        "import os, pathlib; from caspio_sync import startup; os.umask(0o022); startup.prepare(); startup.prepare()\n"
        "pathlib.Path('ledger').write_text('x'); pathlib.Path('home').mkdir()\n"
        "for each in ('syncs', 'syncs/a.yaml'):\n"
        "    path = pathlib.Path(each); path.mkdir() if each == 'syncs' else path.write_text('x'); startup.share(path)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    modes = {str(each.relative_to(tmp_path)): each.stat().st_mode & 0o777 for each in tmp_path.rglob("*")}
    assert modes == {"ledger": 0o600, "home": 0o700, "syncs": 0o755, "syncs/a.yaml": 0o644}
