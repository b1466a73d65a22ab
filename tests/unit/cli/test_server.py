"""Which Prefect server a run by hand is shown on."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from caspio_sync.cli.server import named_server, refuse_silent, serving
from caspio_sync.errors import ConfigurationError, TransientError

URL = "http://prefect.example:4200/api"
PROFILES = """\
active = "cloud"

[profiles.local]
PREFECT_API_URL = "http://127.0.0.1:4200/api"

[profiles.cloud]
PREFECT_API_URL = "http://prefect.example:4200/api"

[profiles.ephemeral]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
"""


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Prefect keeps its profiles; there are none yet."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.delenv("PREFECT_PROFILES_PATH", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path / "profiles.toml"


@pytest.mark.parametrize(
    ("named", "text", "found"),
    [
        ((None, None), None, None),
        (("", None), "", None),
        ((URL, None), None, URL),
        ((f" {URL}\n", None), PROFILES, URL),
        ((None, None), PROFILES, URL),
        ((None, "local"), PROFILES, "http://127.0.0.1:4200/api"),
        ((None, "ephemeral"), PROFILES, None),
        ((None, "gone"), PROFILES, None),
        ((None, None), 'active = "cloud"', None),
        ((None, None), "profiles = 3", None),
        ((None, None), 'active = ["cloud"]\n[profiles.cloud]\n', None),
        ((None, None), "active = ", None),
        ((None, None), "\ud800", None),
    ],
)
def test_the_variable_comes_before_the_profile(
    profiles: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: tuple[str | None, str | None],
    text: str | None,
    found: str | None,
) -> None:
    for variable, value in zip(("PREFECT_API_URL", "PREFECT_PROFILE"), named, strict=True):
        if value is not None:
            monkeypatch.setenv(variable, value)
    if text is not None:
        profiles.write_bytes(text.encode(errors="surrogatepass"))
    assert named_server(profiles.parent) == found


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Says that it lives."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_server_on_the_state_folder_counts_while_it_lives(tmp_path: Path, server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/api"
    with serving(tmp_path, url):
        assert named_server(tmp_path) == url
    assert named_server(tmp_path) is None


@pytest.mark.parametrize("left", ["http://127.0.0.1:9/api", "http://127.0.0.1:port/api", "no address", "", "\0"])
def test_what_a_killed_one_left_there_names_none(tmp_path: Path, left: str) -> None:
    (tmp_path / "serve.url").write_text(left)
    assert named_server(tmp_path) is None


def test_something_else_on_its_port_is_no_server(tmp_path: Path, server: HTTPServer) -> None:
    with serving(tmp_path, f"http://127.0.0.1:{server.server_port}/other"):
        assert named_server(tmp_path) is None


def test_a_named_server_that_does_not_answer_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9/api"
    with pytest.raises(TransientError, match=r"Prefect's active profile names does not answer at 127.0.0.1"):
        refuse_silent(nowhere)
    monkeypatch.setenv("PREFECT_API_URL", nowhere)
    with pytest.raises(TransientError, match="PREFECT_API_URL names does not answer"):
        refuse_silent(nowhere)
    for wrong in (
        "localhost:4200/api",
        "4200",
        "file:///etc/passwd",
        "http:///api",
        "http://[::1/api",
        "http://a:b/api",
    ):
        with pytest.raises(ConfigurationError, match="by an address that is none"):
            refuse_silent(wrong)
    with pytest.raises(TransientError) as caught:
        refuse_silent("http://me:secret@127.0.0.1:9/api")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/api", "/api/", "/other"])
def test_whatever_a_server_answers_it_is_there(server: HTTPServer, path: str) -> None:
    refuse_silent(f"http://127.0.0.1:{server.server_port}{path}")


# Of a run that finds nothing changed: judging, Prefect, what only a row that is read asks for, a new ledger.
UNUSED = {
    "prefect", "fastapi", "great_expectations", "pandas", "numpy", "phonenumbers", "pycountry", "alembic", "apprise",
    "sqlalchemy.dialects.postgresql", "caspio_sync.deployed.backfill", "caspio_sync.sandbox.server",
}  # fmt: skip


def test_a_bare_run_loads_neither_prefect_nor_the_gate() -> None:
    program = (
        "import sys; from caspio_sync.cli import run; run.bare_runner(); "
        f"sys.exit(', '.join({UNUSED!r} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
