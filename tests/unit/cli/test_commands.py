"""Commands are loaded when they are called, and listed with what they say of themselves."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from caspio_sync.cli.commands import COMMANDS

# What a list of commands needs none of.
HEAVY = {
    "polars", "sqlalchemy", "httpx", "pydantic_settings", "prefect", "great_expectations", "numpy",
    "pandas", "orjson", "yaml", "dotenv", "ssl", "urllib.request", "asyncio", "rich.progress", "rich.live",
}  # fmt: skip
# What looking at a ledger needs none of, once it is there.
UNUSED = {
    "prefect", "great_expectations", "pandas", "numpy", "phonenumbers", "pycountry", "alembic", "apprise", "trio",
    "httpcore", "sqlalchemy.dialects.postgresql", "expectations.gate",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    module = {"status": "look", "why": "look", "schema": "look"}.get(name, name)
    found = getattr(importlib.import_module(f"caspio_sync.cli.{module}"), name)
    own = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)
    assert str(own).split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_what_names_no_command_loads_none(arguments: list[str]) -> None:
    program = (
        "import sys; from caspio_sync.cli.main import run_command; run_command(); "
        f"sys.stderr.write(' '.join({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert not HEAVY.intersection(done.stderr.split()), done.stderr
    assert done.stdout or "No such command" in done.stderr


def test_status_loads_what_it_reads_by(tmp_path: Path) -> None:
    program = (
        "import atexit, sys; from caspio_sync.__main__ import main; "
        f"atexit.register(lambda: sys.stderr.write(' '.join({UNUSED!r} & {{*filter(sys.modules.get, sys.modules)}}))); main()"
    )
    own = {"CASPIO_SYNC_HOME": str(tmp_path / "home"), "CASPIO_SYNC_SYNCS": str(tmp_path)}
    for loaded in (True, False):  # the first time, it makes a ledger
        done = subprocess.run(
            [sys.executable, "-c", program, "status"],
            cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert bool(done.stderr) == loaded, done.stderr


@pytest.mark.parametrize(("given", "meant"), [("stauts", "status"), ("quarantin", "quarantine")])
def test_a_misspelt_command_is_suggested(given: str, meant: str) -> None:
    command = [sys.executable, "-m", "caspio_sync", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, f"'{meant}'" in done.stderr) == (2, True)
