"""Commands are loaded when they are called, and listed with what they say of themselves."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from caspio_sync.cli.commands import COMMANDS, PANELS
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.workspace import Workspace

# What a list of commands needs none of.
HEAVY = {
    "polars", "sqlalchemy", "httpx", "pydantic_settings", "prefect", "great_expectations", "numpy",
    "pandas", "orjson", "yaml", "dotenv", "ssl", "urllib.request", "asyncio", "rich.progress", "rich.live",
}  # fmt: skip
# What looking at a ledger needs none of, once it is there and as long as no run is sending. (pydantic is typer's own.)
UNUSED = HEAVY - {"dotenv", "yaml"} | {
    "jinja2", "phonenumbers", "pycountry", "alembic", "apprise", "trio", "httpcore", "sqlglot", "caspio_sync.ledger.schema",
    "caspio_sync.mapping.definition", "caspio_sync.engine.connect", "caspio_sync.kinds.profiles.kind", "caspio_sync.settings",
    "caspio_sync.destinations.braze.destination", "caspio_sync.destinations.activecampaign.destination", "expectations.gate",
}  # fmt: skip
SYNC = "kind: profiles\nsource: {table: T}\nidentity: {external_id: No}\nfields: {a: A}\nfreshness: 5m\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    module = {"show": "runs", "why": "look", "schema": "look", "report": "ui", "resume": "pause"}.get(name, name)
    found = getattr(importlib.import_module(f"caspio_sync.cli.{module}"), name)
    own = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)
    assert str(own).split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


def test_each_command_stands_in_one_panel() -> None:
    placed = [name for names in PANELS.values() for name in names]
    assert sorted(placed) == sorted(COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_what_names_no_command_loads_none(arguments: list[str]) -> None:
    program = (
        "import sys; from caspio_sync.cli.main import run_command; run_command(); "
        f"sys.stderr.write(' '.join({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert not HEAVY.intersection(done.stderr.split()), done.stderr
    assert done.stdout or "No such command" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["status"], ["status", "people", "--json"], ["runs"], ["runs", "--failed", "--json"], ["show", "r1"]]
)
def test_what_looks_at_a_ledger_loads_what_it_reads_by(tmp_path: Path, arguments: list[str]) -> None:
    program = (
        "import atexit, sys; from caspio_sync.__main__ import main; "
        f"atexit.register(lambda: sys.stderr.write(' '.join({UNUSED!r} & {{*filter(sys.modules.get, sys.modules)}}))); main()"
    )
    (tmp_path / "people.yaml").write_text(SYNC)
    own = {
        "CASPIO_SYNC_HOME": str(tmp_path / "home"),
        "CASPIO_SYNC_SYNCS": str(tmp_path),
        "CASPIO_INTEGRATION_URL": "https://c0abc123.caspio.com",
        "CASPIO_CLIENT_ID": "id",
        "CASPIO_CLIENT_SECRET": "secret",
        "BRAZE_INSTANCE": "EU-01",
        "BRAZE_API_KEY": "key",
    }

    def run(*given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *given]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True, check=True
        )

    assert run("status").stderr, "the first time, it makes a ledger"
    with Ledger.open(f"sqlite:///{tmp_path}/home/ledger.db") as ledger:
        ledger.start_run(run="r1", sync="people", kind="profiles", mode="sweep")
        ledger.remember_workspace(
            "people", Workspace("c0abc123.caspio.com", "braze", "rest.fra-01.braze.eu", "0"), instead_of=None
        )
    done = run(*arguments)
    assert not done.stderr
    assert "r1" in done.stdout


@pytest.mark.parametrize(("given", "meant"), [("stauts", "status"), ("quarantin", "quarantine")])
def test_a_misspelt_command_is_suggested(given: str, meant: str) -> None:
    command = [sys.executable, "-m", "caspio_sync", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, f"'{meant}'" in done.stderr) == (2, True)
