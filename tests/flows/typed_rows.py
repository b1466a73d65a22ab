"""Rows as people type them, and their sync: what the ledger `tests/data/ledgers/typed-0004.sql` was made of.

`make` was run by the version before texts, numbers and keys were read as they are now.
"""

import sqlite3
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from caspio_sync.cli.main import app
from tests.flows.world import World

HIDDEN = "\u200b"
ERASED, REFUSED = f"C-3{HIDDEN}", f"C-2{HIDDEN}"
FIELDS: list[dict[str, Any]] = [
    {"Name": "CustomerNo", "Type": "STRING"},
    {"Name": "Name", "Type": "STRING"},
    {"Name": "Since", "Type": "NUMBER"},
    {"Name": "Price", "Type": "NUMBER"},
    {"Name": "Born", "Type": "STRING"},
    {"Name": "Sex", "Type": "STRING"},
    {"Name": "Newsletter", "Type": "STRING"},
]
SYNC = """\
kind: profiles
source: {table: Customers}
identity: {external_id: CustomerNo}
fields:
  first_name: {from: Name, transform: title}
  since: Since
  price: {from: Price, transform: {round: 2}}
  dob: Born
  gender: Sex
  shop: {object: {since: Since, name: Name, price: Price}}
  visits: {array: [{object: {since: Since, price: Price}}]}
consent:
  email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed}}
"""


def row(key: str, **more: Any) -> dict[str, Any]:
    sound = {"Name": "ann", "Since": 2008, "Price": 4.5, "Born": "1990-05-01", "Sex": "F", "Newsletter": "yes"}
    return {"CustomerNo": key, **sound, **more}


ROWS = [
    row("C-1"),
    row(REFUSED, Newsletter="no"),
    row(ERASED),
    row("C-4", Name="john's office"),
    row("C-5", Newsletter=f"no{HIDDEN}"),  # held by that version, as the next two
    row("C-6", Sex="woman"),
    row("C-7", Born="1990-05-01T00:00:00.000Z"),
    row("C-8", Price=4.125),
    row("C-9", Name="jean-luc o'brien", Since=-1, Price=12.25),
]


def make(world: World, target: Path) -> None:
    """Write the ledger of a run over these rows, after which one person was erased, as SQL."""
    world.customers(ROWS, FIELDS)
    world.sync(SYNC)
    world.run()
    world.clock.advance(86_400)
    assert CliRunner().invoke(app, ["erase", "customers", ERASED, "--yes"]).exit_code == 0
    world.run(full=True)
    with sqlite3.connect(world.ledger_file) as ledger:
        target.write_text("\n".join(ledger.iterdump()) + "\n", encoding="utf-8")
