"""`status` of ledgers that are absent, of another version, damaged or in use: refused as by every other command."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from caspio_sync.engine.connect import CONNECT
from caspio_sync.ledger.form import VERSION_TABLE
from caspio_sync.ledger.moved import ARRIVING, MOVED
from caspio_sync.ledger.store import Ledger
from tests.unit.cli.conftest import Shop

LEDGERS = Path(__file__).parents[2] / "data" / "ledgers"


def newer(shop: Shop, path: Path) -> None:
    shop.ledger().close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")


def moved(shop: Shop, path: Path) -> None:
    shop.ledger().close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO meta VALUES (?, 'elsewhere')", (MOVED,))


def arriving(shop: Shop, path: Path) -> None:
    shop.ledger().close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO meta VALUES (?, 'here')", (ARRIVING,))


def foreign(_shop: Shop, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE run (id)")


def no_database(_shop: Shop, path: Path) -> None:
    path.write_bytes(b"no database at all " * 100)


def a_folder(_shop: Shop, path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [newer, moved, arriving, foreign, no_database, a_folder])
def test_a_ledger_that_nobody_can_use_is_refused_in_the_same_words(
    shop: Shop, make: Callable[[Shop, Path], None]
) -> None:
    shop.write_sync()
    (shop.folder / "home").mkdir()
    make(shop, shop.folder / "home" / "ledger.db")
    expected = shop.run("quarantine", "list", "customers").exception
    for arguments in (["status"], ["status", "customers"], ["runs"], ["show", "x"]):
        found = shop.run(*arguments).exception
        assert (type(found), str(found)) == (type(expected), str(expected))
        assert "ledger.db" in str(found)


def test_a_ledger_that_is_locked_whole_is_refused_as_locked(shop: Shop) -> None:
    shop.write_sync()
    shop.ledger().close()
    impatient = replace(
        shop.connect(),
        ledger=lambda settings, clock: Ledger.open(settings.ledger_url, clock=clock, busy_timeout_seconds=0.1),
    )
    CONNECT.set(impatient)
    with contextlib.closing(sqlite3.connect(shop.folder / "home" / "ledger.db")) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE meta SET value = value")
        found = shop.run("status").exception
        assert "locked by another process" in str(found)
        other.rollback()


def test_a_ledger_that_is_not_there_is_made_and_then_looked_at(shop: Shop) -> None:
    shop.write_sync()
    first = shop.document("status")
    assert (shop.folder / "home" / "ledger.db").is_file()
    assert shop.document("status") == first
    assert first[0]["last_run"] is None


@pytest.mark.parametrize("name", ["0004", "0008"])
def test_an_old_ledger_is_brought_to_this_version_and_told_alike_from_then_on(shop: Shop, name: str) -> None:
    (shop.folder / "home").mkdir()
    path = shop.folder / "home" / "ledger.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript((LEDGERS / f"{name}.sql").read_text(encoding="utf-8"))
    first = shop.document("status")
    assert any(each["rows"] for each in first)
    assert shop.document("status") == first
    runs = shop.document("runs")
    assert runs
    assert shop.document("show", runs[0]["run"])["state"] == runs[0]["state"]
