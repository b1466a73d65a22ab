"""What is known of rows cannot be read now, or was found by another reader of cells."""

from importlib.metadata import version
from typing import Any

import polars as pl
import pytest

from caspio_sync.engine import sieve
from caspio_sync.errors import TransientError
from caspio_sync.ledger.store import Ledger
from tests.flows.world import World

CATALOG = """\
kind: catalog
source: {table: Customers}
catalog: {name: things}
item_id: CustomerNo
fields:
  mail: Email
gate: {max_deleted_share: 1, min_share_of_last: 0}
"""


@pytest.mark.parametrize("read", ["raw_prints", "acknowledged", "duplicate_words"])
def test_a_locked_ledger_loses_no_rows_of_the_read(world: World, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    pks = world.people(30)
    world.sync(CATALOG)
    world.run()
    world.caspio.update_rows("Customers", {"Email": "new@example.com"}, f"PK_ID={pks[3]}")
    sound, failed = getattr(Ledger, read), list[str]()

    def locked_once(ledger: Ledger, *args: Any, **options: Any) -> pl.DataFrame:
        if not failed:
            failed.append(read)
            raise TransientError("locked by another process")
        found: pl.DataFrame = sound(ledger, *args, **options)
        return found

    monkeypatch.setattr(Ledger, read, locked_once)
    report = world.run()
    assert failed
    assert (report.read, report.changed, report.unchanged) == (30, 1, 29)
    assert world.verdicts() == {"sent": 30}


@pytest.mark.parametrize("library", ["polars", "phonenumbers", "pycountry", "our own code"])
def test_another_version_of_what_reads_cells_has_every_row_mapped(
    world: World, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    world.people(5)
    world.sync(CATALOG)
    world.run()
    met = list[int]()
    if library == "our own code":
        monkeypatch.setattr(sieve, "_our_code", lambda: "another")
    else:
        monkeypatch.setattr(sieve, "version", lambda name: "another" if name == library else version(name))
    sifted = sieve.RowSieve._sifted  # noqa: SLF001 - watched

    def watched(self: sieve.RowSieve, pages: Any, known: pl.DataFrame) -> Any:
        found = sifted(self, pages, known)
        met.append(found.met.height)
        return found

    monkeypatch.setattr(sieve.RowSieve, "_sifted", watched)
    world.run()
    assert not any(met)
    world.run()
    assert met[-1] == 5
