"""A ledger of a version that read texts, numbers and keys otherwise: nothing is sent twice, no "no" is forgotten."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.schemas import Verdict
from tests.flows.typed_rows import ERASED, FIELDS, HIDDEN, REFUSED, ROWS, SYNC, row
from tests.flows.world import World

DUMP = Path(__file__).parents[1] / "data" / "ledgers" / "typed-0004.sql"
A_DAY = 86_400.0


@pytest.fixture
def upgraded(world: World) -> World:
    """The accounts that the old ledger was made of, and that ledger."""
    world.customers(ROWS, FIELDS)
    world.sync(SYNC)
    world.ledger_file.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(world.ledger_file) as ledger:
        ledger.executescript(DUMP.read_text(encoding="utf-8"))
    world.clock.advance(2 * A_DAY)
    return world


def by_key(world: World) -> dict[str, dict[str, Any]]:
    """What Braze was sent, without what is in every object."""
    return {
        sent["external_id"]: {name: value for name, value in sent.items() if name[0] != "_" and name != "external_id"}
        for sent in world.sent()
    }


def test_only_what_was_not_sent_before_travels(upgraded: World) -> None:
    upgraded.run(full=True)
    whole = by_key(upgraded)
    # C-4 and C-8 were sent with another title case, and rounded otherwise: that is paid for, and stays until a cell changes.
    assert whole.keys() == {"C-5", "C-6", "C-7"}
    assert whole["C-5"]["email_subscribe"] == "unsubscribed"
    assert whole["C-6"]["gender"] == "F"
    assert whole["C-7"]["dob"] == "1990-05-01"
    assert (whole["C-5"]["since"], whole["C-5"]["shop"]["since"]) == (2008, 2008)
    assert not isinstance(whole["C-5"]["since"], float)
    assert upgraded.verdicts() == {Verdict.SENT: 8, Verdict.BLOCKED: 1}
    upgraded.forget()
    assert upgraded.run(full=True).verdicts == {}
    assert upgraded.sent() == []


def test_a_row_keeps_the_key_it_was_acknowledged_under_until_its_cell_is_corrected(upgraded: World) -> None:
    upgraded.run(full=True)
    upgraded.forget()
    upgraded.caspio.update_rows("Customers", {"Since": 2009}, "PK_ID = 2")
    upgraded.run(full=True)
    changed = by_key(upgraded)
    assert changed.keys() == {REFUSED}
    assert changed[REFUSED].keys() == {"since", "shop", "visits"}
    upgraded.forget()
    upgraded.caspio.update_rows("Customers", {"CustomerNo": "C-2"}, "PK_ID = 2")
    upgraded.run(full=True)
    assert by_key(upgraded)["C-2"]["email_subscribe"] == "unsubscribed"


def test_a_key_that_looks_the_same_makes_no_second_profile(upgraded: World) -> None:
    upgraded.caspio.insert_rows("Customers", [row("C-2"), row(f"C-1{HIDDEN}"), row("C-10"), row("\ufeffC-10")])
    report = upgraded.run(full=True)
    assert report.verdicts[Verdict.QUARANTINED] == 3
    assert not by_key(upgraded).keys() & {"C-1", "C-2", f"C-1{HIDDEN}", REFUSED}
    assert "C-10" in by_key(upgraded)


def test_whom_the_old_version_erased_stays_erased(upgraded: World) -> None:
    upgraded.run(full=True)
    assert not by_key(upgraded).keys() & {"C-3", ERASED}
    result = CliRunner().invoke(app, ["erase", "customers", ERASED, "--release"])
    assert (result.exit_code, "C-3: released" in result.stdout) == (0, True), result.output
    upgraded.forget()
    upgraded.run(full=True)
    assert by_key(upgraded).keys() == {"C-3"}


def test_the_old_spelling_is_erased_whatever_is_typed(upgraded: World) -> None:
    upgraded.run(full=True, resend=True)
    assert REFUSED in upgraded.profiles()
    upgraded.clock.advance(A_DAY)
    assert CliRunner().invoke(app, ["erase", "customers", "C-2", "--yes"]).exit_code == 0
    assert REFUSED not in upgraded.profiles()
    upgraded.forget()
    upgraded.run(full=True, resend=True)
    assert not by_key(upgraded).keys() & {"C-2", REFUSED}


def test_a_look_finds_the_profile_under_its_old_key(upgraded: World) -> None:
    upgraded.run(full=True, resend=True)
    upgraded.clock.advance(A_DAY)
    found = CliRunner().invoke(app, ["why", "customers", "C-2", "--json"])
    assert '"verdict": "sent"' in found.stdout, found.output
    verified = CliRunner().invoke(app, ["verify", "customers", "--json"])
    assert '"missing": 0' in verified.stdout, verified.output
    assert '"pending": 0' in verified.stdout, verified.output
