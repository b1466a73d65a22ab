"""`python -m benchmarks.starting`: what commands cost beside the imports that they cannot do without.

A run is one of the shop's own 4,372 customers. All of them are measured in one run, one after the other in turns, so
that a busy machine is busy for each. Both emulators are processes of their own: they are not counted.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.world import SYNC, sandboxes
from caspio_sync.caspio.window import OVERLAP_SECONDS

CHANGED, KEY = 25, "17850"
ROOT = Path(__file__).parents[1]
CLIENT = "import polars, sqlalchemy, httpx, pydantic"  # what a run cannot do without
JUDGING = f"{CLIENT}; import great_expectations"
TERMINAL = "import typer, rich"
# What is measured, and beside what; of check and why beside all modules that they load.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run_nothing_changed": ("run", SYNC),
    "run_nothing_changed_full": ("run", SYNC, "--full"),
    "run_25_changed": ("run", SYNC),
    "help": ("--help",),
    "version": ("--version",),
    "status": ("status",),
    "runs": ("runs",),
    "check": ("check", SYNC),
    "why": ("why", SYNC, KEY),
}
BESIDE = {
    **dict.fromkeys(("run_nothing_changed", "run_nothing_changed_full"), CLIENT),
    "run_25_changed": JUDGING,
    **dict.fromkeys(("help", "version", "status", "runs"), TERMINAL),
}
# Runs to end, printing by then what a command has imported, in its order.
_IMPORTED = """
import atexit, sys
atexit.register(lambda: sys.stderr.write(chr(10) + "imported " + " ".join(sys.modules)))
from caspio_sync.__main__ import main
main()
"""
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        pass
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of a process: on the wall, and of a core with those of its children."""

    wall: float
    processor: float


def measure(turns: int) -> dict[str, tuple[float, str]]:
    """The metrics, medians of so many turns."""
    with sandboxes() as processes, tempfile.TemporaryDirectory() as folder:
        machine = _Machine(Path(folder))
        address, secrets = processes.caspio_url, (processes.client_id, processes.client_secret)
        for name in ("run_nothing_changed", "run_nothing_changed", "check", "why"):  # the first load; their bytecode
            machine.command(name)
        modules = {name: machine.modules(name) for name in ("check", "why")}
        # The shop was stamped when it was loaded: until then, every run reads all of it again.
        time.sleep(OVERLAP_SECONDS)
        machine.command("run_nothing_changed")
        costs: dict[str, list[Cost]] = defaultdict(list)
        for turn in range(turns):
            for text in dict.fromkeys(BESIDE.values()):
                costs[text].append(machine.python(text))
            for name in COMMANDS:
                if name == "run_25_changed":
                    _change(address, secrets, turn)
                costs[name].append(machine.command(name))
                if name in modules:
                    costs[f"imports of {name}"].append(machine.python(_IMPORT, *modules[name]))
    metrics = {}
    for name in COMMANDS:
        of, beside = costs[name], costs[BESIDE.get(name, f"imports of {name}")]
        kind = "processor" if name.startswith("run_") else "wall"
        ratio = _median(of, kind) / _median(beside, kind)
        metrics[f"start.{name}"] = (ratio, f"x the {kind} of {BESIDE.get(name, 'the modules that it loads')}")
        metrics[f"start.{name}_seconds"] = (_median(of, kind), f"s, {kind}")
    return metrics


class _Machine:
    """A folder to start processes in, under this process's environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        without = {"PREFECT_API_URL", "PREFECT_PROFILE", "PYTHONDONTWRITEBYTECODE"}
        self._environment = {name: value for name, value in os.environ.items() if name not in without} | {
            "PREFECT_HOME": str(folder),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }

    def command(self, name: str) -> Cost:
        """Of a command that ends well."""
        return self._cost([sys.executable, "-m", "caspio_sync", *COMMANDS[name]])

    def python(self, text: str, *arguments: str) -> Cost:
        """Of an interpreter that runs this."""
        return self._cost([sys.executable, "-c", text, *arguments])

    def modules(self, name: str) -> list[str]:
        """What a command has imported when it ends, in its order."""
        command = [sys.executable, "-c", _IMPORTED, *COMMANDS[name]]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=True
        )
        found = done.stderr.rpartition("imported ")[2].split()
        return [each for each in found if each != "__main__"]

    def _cost(self, command: list[str]) -> Cost:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=self._folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        with process:
            assert process.stderr is not None
            said = process.stderr.read()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, (command, said)
        return Cost(wall, used.ru_utime + used.ru_stime)


def _change(address: str, secrets: tuple[str, str], turn: int) -> None:
    """Give customers another first name, as an app of Caspio's does."""
    with httpx.Client(base_url=address, trust_env=False) as client:
        identity, secret = secrets
        form = {"grant_type": "client_credentials", "client_id": identity, "client_secret": secret}
        token = client.post("/oauth/token", data=form).raise_for_status().json()["access_token"]
        client.put(
            "/integrations/rest/v3/tables/Customers/records",
            params={"q.where": f"PK_ID>{100 * turn} AND PK_ID<={100 * turn + CHANGED}"},
            json={"FirstName": f"New {turn}"},
            headers={"Authorization": f"Bearer {token}"},
        ).raise_for_status()


def _median(costs: list[Cost], kind: str) -> float:
    return float(statistics.median(getattr(each, kind) for each in costs))


def main() -> None:
    for name, (value, unit) in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7).items():
        print(f"{name:40} {value:10,.2f} {unit}", flush=True)


if __name__ == "__main__":
    main()
