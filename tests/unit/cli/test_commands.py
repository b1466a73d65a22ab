"""Commands are loaded when they are called, and listed with what they say of themselves."""

import importlib
import inspect
import subprocess
import sys

import pytest
import typer

from caspio_sync.cli.commands import COMMANDS

HEAVY = {"polars", "sqlalchemy", "httpx", "pydantic_settings", "prefect", "great_expectations", "numpy", "orjson"}


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


@pytest.mark.parametrize(("given", "meant"), [("stauts", "status"), ("quarantin", "quarantine")])
def test_a_misspelt_command_is_suggested(given: str, meant: str) -> None:
    command = [sys.executable, "-m", "caspio_sync", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, f"'{meant}'" in done.stderr) == (2, True)
