"""Marked secrets and marked customers, through every command as a user runs it: no mark may be found anywhere after.

Searched: what the commands print (with --verbose), the whole state folder byte by byte (ledger with its journal, Prefect's
own database with logs, parameters and artifacts), temporary files and all file names, and the command lines of every
process that ran. Keys of rows may stand in the ledger and in lists of held rows; values nowhere.
"""

import asyncio
import io
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from caspio_sync.caspio.client import CaspioClient, Source
from caspio_sync.sandbox.server import SandboxProcesses

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]

SECRETS = {
    "CASPIO_CLIENT_SECRET": "MARKEDcaspiosecret",
    "BRAZE_API_KEY": "MARKEDbrazekey",
    "notify password": "MARKEDnotifypassword",
    "ledger password": "MARKEDledgerpassword",
}
FIRST, LAST, CITY, NOTE = "Markedfirstname", "Markedlastname", "Markedcity", "markednote"
EMAIL, BAD_EMAIL, PHONE, BAD_PHONE = (
    "markedaddress@example.com",
    "markedwrong address@",
    "+44 7400 909192",
    "12 909192 34",
)
VALUES = (FIRST, LAST, CITY, NOTE, "markedaddress", "markedwrong", "7400909192", "909192")
# The identity of the second sync: keys may stand in the ledger and where held rows are listed.
KEY_MARK = "markedkey"

FAULTS = """
faults:
  - {kind: reject, path: /users/track, nth: [1], indexes: [0, 1], code: EMAIL_BAD_FORMAT}
  - {kind: status, path: /users/track, status: 503, nth: [2]}
  - {kind: truncate, path: /users/track, nth: [3]}
"""
PEOPLE = """
kind: profiles
source: {table: Customers, cursor: ChangedAt, where: PK_ID>11 AND PK_ID<=15}
identity: {email: Email}
fields: {first_name: FirstName, last_name: LastName, home_city: City}
gate: {max_quarantined_share: 1}
"""
BLOCKED = """
kind: profiles
source: {table: Customers}
identity: {external_id: CustomerNo}
apart_from: [customers, broken]
fields: {first_name: FirstName, email: Email, phone: Phone, notes: Notes}
gate: {max_quarantined_share: 0, max_quarantined_rows: 0}
"""
BROKEN_GATE = (
    BLOCKED + "  expectations: [{type: expect_column_mean_to_be_between, kwargs: {column: first_name, min_value: 1}}]\n"
)
BROKEN_GATE = BROKEN_GATE.replace("[customers, broken]", "[customers, blocked]").replace(
    "gate: {max_quarantined_share: 0, max_quarantined_rows: 0}", "gate:\n  min_rows: 1"
)


class Company:
    """The accounts with marked customers, and a folder in which commands are run."""

    def __init__(self, folder: Path, sandboxes: SandboxProcesses) -> None:
        self.folder, self.sandboxes = folder, sandboxes
        self.output = ""
        self.command_lines: set[str] = set()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "COLUMNS": "300",
            "CASPIO_INTEGRATION_URL": sandboxes.caspio_url,
            "CASPIO_CLIENT_ID": "sandbox",
            "CASPIO_CLIENT_SECRET": SECRETS["CASPIO_CLIENT_SECRET"],
            "CASPIO_CALLS_PER_SECOND": "0",
            "CASPIO_CALLS_PER_WINDOW": "0",
            "BRAZE_REST_ENDPOINT": sandboxes.braze_url,
            "BRAZE_API_KEY": SECRETS["BRAZE_API_KEY"],
            "CASPIO_SYNC_SENDER": "process",
            "CASPIO_SYNC_HOME": "state",
            "CASPIO_SYNC_NOTIFY_URL": f"json://user:{SECRETS['notify password']}@127.0.0.1:9/hook",
        }
        for name in ("tmp", "syncs"):
            (folder / name).mkdir()
        for name, text in {
            "customers": (ROOT / "examples" / "customers.yaml").read_text(encoding="utf-8"),
            "people": PEOPLE,
            "blocked": BLOCKED,
            "broken": BROKEN_GATE,
        }.items():
            (folder / "syncs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command, and every command line that its processes had meanwhile."""
        started = subprocess.Popen(
            [sys.executable, "-m", "caspio_sync", "--verbose", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,))
        watch.start()
        try:
            out, err = started.communicate(timeout=240)
        finally:
            ended.set()
            watch.join()
            started.kill()
        self.output += f"\n$ {' '.join(arguments)}\n{out}{err}"
        return subprocess.CompletedProcess(arguments, started.returncode, out, err)

    def _watch(self, ended: threading.Event) -> None:
        ours = {str(pid) for pid in self.sandboxes.pids().values()}
        while not ended.wait(0.1):
            for process in Path("/proc").iterdir():
                if process.name.isdecimal() and process.name not in ours:
                    try:
                        line = (process / "cmdline").read_bytes() + b" " + (process / "comm").read_bytes()
                    except OSError:  # it ended
                        continue
                    if b"caspio_sync" in line:
                        self.command_lines.add(line.replace(b"\0", b" ").decode(errors="replace"))

    def files(self) -> dict[str, bytes]:
        """Everything below the folder, by its name; what the user wrote apart."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.parent.name != "syncs")
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def history(self) -> str:
        """The ledger's outcomes, which are compressed in its file."""
        with sqlite3.connect(self.folder / "state" / "ledger.db") as ledger:
            frames = [
                pl.read_ipc(io.BytesIO(rows)).drop("changed") for (rows,) in ledger.execute("SELECT rows FROM outcome")
            ]
        ledger.close()
        return "\n".join(frame.write_ndjson() for frame in frames)


async def _plant(sandboxes: SandboxProcesses) -> None:
    """Marks in rows that go, in rows that fail each kind of rule, and in rows that Braze refuses."""
    from pydantic import SecretStr

    common = {"FirstName": FIRST, "LastName": LAST, "City": CITY, "Notes": f"call {NOTE} first"}
    async with CaspioClient(
        integration_url=sandboxes.caspio_url,
        client_id="sandbox",
        client_secret=SecretStr(SECRETS["CASPIO_CLIENT_SECRET"]),
        calls_per_second=None,
        calls_per_window=None,
    ) as caspio:
        source = Source("Customers")
        for where, values in {
            "PK_ID<=5": {"Email": EMAIL, "Phone": PHONE},
            "PK_ID>5 AND PK_ID<=8": {"Email": BAD_EMAIL, "Phone": PHONE},
            "PK_ID>8 AND PK_ID<=11": {"Email": EMAIL, "Phone": BAD_PHONE},
            "PK_ID>11 AND PK_ID<=13": {"Email": f"{KEY_MARK}@example.com", "Phone": PHONE},
            "PK_ID>13 AND PK_ID<=15": {"Email": f"{KEY_MARK} wrong@", "Country": "Markedcountry"},
        }.items():
            await caspio.update(source, {**common, **values}, where=where)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    plan = tmp_path_factory.mktemp("faults") / "faults.yaml"
    plan.write_text(FAULTS, encoding="utf-8")
    caspio = {"client_secret": SECRETS["CASPIO_CLIENT_SECRET"]}
    braze = {"keys": {SECRETS["BRAZE_API_KEY"]: ["users.track", "users.export.ids"]}}
    with SandboxProcesses(rows=200, caspio=caspio, braze=braze, faults={"braze": plan}) as sandboxes:
        asyncio.run(_plant(sandboxes))
        made = Company(folder, sandboxes)
        _everything(made)
        yield made


def _everything(company: Company) -> None:
    """Every command, and every way in which a run can end."""
    command = company.command
    assert command("plan", "customers", "--show", "0").returncode == 0
    assert command("run", "customers", "--prefect").returncode == 0
    assert command("check", "customers").returncode in {0, 2}
    assert command("run", "people").returncode == 0
    assert command("run", "people", "--prefect", "--keys", f"{KEY_MARK}@example.com").returncode == 0
    assert command("run", "blocked", "--prefect").returncode == 3
    assert command("run", "broken", "--prefect").returncode == 2
    assert command("status").returncode == 0
    assert command("quarantine", "list", "customers").returncode == 0
    held = command("quarantine", "export", "customers", "--output", "held.csv")
    assert held.returncode == 0
    key = (company.folder / "held.csv").read_text().splitlines()[1].split(",")[1]
    assert command("quarantine", "show", "customers", key).returncode == 0
    assert command("quarantine", "show", "customers", key, "--json").returncode == 0
    assert command("quarantine", "release", "customers", "--all").returncode == 0
    wrong = "MARKEDwrongsecret"
    assert command("run", "customers", "--prefect", CASPIO_CLIENT_SECRET=wrong).returncode == 2
    assert command("run", "customers", "--prefect", "--resend", BRAZE_API_KEY=wrong).returncode == 2
    password = SECRETS["ledger password"]
    ledger = f"postgresql+psycopg://user:{password}@127.0.0.1:9/ledger"
    assert command("status", CASPIO_SYNC_LEDGER_URL=ledger).returncode == 4
    assert command("status", CASPIO_SYNC_LEDGER_URL=f"odd://user:{password}@127.0.0.1:9/ledger").returncode == 2


def lines_with(text: str, mark: str) -> list[str]:
    return [line[:300] for line in text.splitlines() if mark.lower() in line.lower()]


@pytest.mark.parametrize(
    "mark",
    ["MARKED" + each for each in ("caspiosecret", "brazekey", "notifypassword", "ledgerpassword", "wrongsecret")],
)
def test_no_secret_is_found_anywhere(company: Company, mark: str) -> None:
    assert lines_with(company.output, mark) == []
    assert [name for name, content in company.files().items() if mark.encode() in content or mark in name] == []
    assert [line for line in company.command_lines if mark in line] == []
    assert mark not in company.history()


@pytest.mark.parametrize("mark", VALUES)
def test_no_value_of_a_customer_is_found_anywhere(company: Company, mark: str) -> None:
    assert lines_with(company.output, mark) == []
    found = {name: content.lower() for name, content in company.files().items()}
    assert [name for name, content in found.items() if mark.lower().encode() in content or mark.lower() in name] == []
    assert [line for line in company.command_lines if mark.lower() in line.lower()] == []
    assert mark.lower() not in company.history().lower()


def test_keys_that_are_addresses_stand_in_the_ledger_alone(company: Company) -> None:
    # What the user typed is not ours: the line that names the command, and its process.
    typed = f"--keys {KEY_MARK}@example.com"
    assert [line for line in lines_with(company.output, KEY_MARK) if typed not in line] == []
    found = {name for name, content in company.files().items() if KEY_MARK.encode() in content.lower()}
    assert {name for name in found if not name.startswith("state/ledger.db")} == set()
    assert found  # it was looked for in the right place
    assert KEY_MARK not in company.history()


def test_the_search_finds_what_is_there(company: Company) -> None:
    """The run happened, its processes were seen, and its database holds its parameters."""
    files = company.files()
    assert any(b"profile-sync" in content for name, content in files.items() if name.startswith("state/prefect"))
    assert any("caspio_sync.delivery.process" in line for line in company.command_lines)
    assert "quarantined" in company.output
    assert "email_format" in company.history()
