"""A ledger of an older version, that took a path for a name: its state goes over to the sync that is meant."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.engine.connect import open_ledger
from caspio_sync.errors import TransientError
from caspio_sync.ledger import schema
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.schema import RECORD_SCHEMA
from caspio_sync.ledger.store import Ledger
from caspio_sync.settings import load_settings
from tests.flows.world import ENVIRONMENT
from tests.unit.test_ledger_rows import START, a_row
from tests.virtual_clock import VirtualClock

PATH = "syncs/customers.yaml"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


def sent(ledger: Ledger, sync: str, *pks: int) -> None:
    """A run of a sync, in every table that a run writes to."""
    ledger.mapping_version(sync, f"digest of {sync}", ("first_name",))
    ledger.suite_version(sync, "suite")
    ledger.start_run(run=f"run of {sync}", sync=sync, kind="profiles", mode="sweep")
    rows = pl.DataFrame([a_row(pk) for pk in pks], schema=RECORD_SCHEMA)
    ledger.record(sync=sync, run=f"run of {sync}", batch=1, rows=rows)
    ledger.move_cursor(sync, watermark=START, where_digest="w", full_sweep_at=START)
    ledger.remember_source(sync, {"fields": []})
    ledger.finish_run(f"run of {sync}", state="done", exit_code=0, report=None)


def under(ledger: Ledger, sync: str) -> dict[str, int]:
    """Entries of each table that bear a name."""
    found = {}
    with ledger.reading("count") as connection:
        for table in schema.metadata.tables.values():
            if "sync" in table.c:
                counted = sa.select(sa.func.count()).select_from(table).where(table.c.sync == sync)
                found[table.name] = connection.execute(counted).scalar_one()
    return {name: count for name, count in found.items() if count}


def test_a_sync_without_a_state_takes_all_of_it_over(ledger: Ledger) -> None:
    sent(ledger, PATH, 1, 2, 3)
    before = under(ledger, PATH)
    assert {"row", "outcome", "run", "cursor", "mapping", "suite", "source"} <= before.keys()
    assert ledger.path_names() == [PATH]
    assert ledger.take_over("customers", [PATH]) == PATH
    assert under(ledger, PATH) == {}
    assert under(ledger, "customers") == before
    assert ledger.path_names() == []


def test_a_run_that_never_sent_anything_is_no_state(ledger: Ledger) -> None:
    sent(ledger, PATH, 1)
    ledger.mapping_version("customers", "another digest", ("first_name",))
    ledger.start_run(run="failed", sync="customers", kind="profiles", mode="sweep")
    ledger.finish_run("failed", state="failed", exit_code=4, report=None)
    assert ledger.take_over("customers", [PATH]) == PATH
    assert ledger.known_mapping_version("customers", f"digest of {PATH}") == 1
    assert {each.id for each in ledger.runs("customers")} == {"failed", f"run of {PATH}"}


def test_a_sync_with_a_state_of_its_own_keeps_it(ledger: Ledger) -> None:
    sent(ledger, "customers", 1, 2)
    sent(ledger, PATH, 1)
    own, other = under(ledger, "customers"), under(ledger, PATH)
    assert ledger.take_over("customers", [PATH]) is None
    assert (under(ledger, "customers"), under(ledger, PATH)) == (own, other)


def test_of_several_paths_the_one_that_ran_last_counts(ledger: Ledger, clock: VirtualClock) -> None:
    sent(ledger, "./syncs/customers.yaml", 1)
    clock.advance(3600)
    sent(ledger, PATH, 1, 2)
    assert ledger.take_over("customers", ["./syncs/customers.yaml", PATH]) == PATH
    assert ledger.verdict_counts("customers") == {"sent": 2}


@pytest.mark.parametrize("own", [True, False])
def test_no_erasure_is_forgotten(ledger: Ledger, own: bool) -> None:
    ids = Keyspace("external_id", naming=NAMING)
    sent(ledger, PATH, 1)
    if own:
        sent(ledger, "customers", 1)
        ledger.request_erasure("customers", ids, ["a"], by="test")
    ledger.request_erasure(PATH, ids, ["b"], by="test")
    trail = under(ledger, PATH)["audit"]
    ledger.take_over("customers", [PATH])
    assert under(ledger, "customers")["erased"] == (2 if own else 1)
    assert ledger.blocked(ids, pl.Series(["b", "c"])).to_list() == [True, False]
    assert under(ledger, PATH)["audit"] == trail  # what is hashed stays as it was written
    ledger.verify_audit()


def test_nothing_moves_under_a_run_that_is_at_work(ledger: Ledger) -> None:
    sent(ledger, PATH, 1)
    with ledger.writing("hold") as connection:
        connection.execute(
            sa.insert(schema.lease).values(
                sync=PATH, low_pk=0, high_pk=9, holder="run 7", expires_at=START + timedelta(seconds=60), process=None
            )
        )
    with pytest.raises(TransientError, match=r"syncs/customers.yaml: run 7 is at work under this name"):
        ledger.take_over("customers", [PATH])
    assert under(ledger, PATH)["row"] == 1


def test_of_two_that_open_at_once_the_second_leaves_what_the_first_took_over(
    ledger_url: str, ledger: Ledger, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it deleted in favour of the empty former name, everything would be sent again."""
    sent(ledger, PATH, 1, 2, 3)
    with Ledger.open(ledger_url, clock=clock) as other:
        write = other.writing

        def after_the_first(doing: str, **options: bool) -> AbstractContextManager[sa.Connection]:
            assert ledger.take_over("customers", [PATH]) == PATH
            return write(doing, **options)

        monkeypatch.setattr(other, "writing", after_the_first)
        assert other.take_over("customers", [PATH]) is None
    assert under(ledger, "customers")["row"] == 3


@pytest.mark.parametrize(
    ("written", "file", "taken"),
    [
        ("syncs/customers.yaml", "customers.yaml", True),
        ("./syncs/customers.yaml", "customers.yaml", True),
        ("/srv/shop/syncs/customers.yaml", "customers.yaml", True),
        ("syncs/customers.yml", "customers.yml", True),
        ("drafts/customers.yaml", "customers.yaml", False),  # perhaps of another table
        ("syncs/people.yaml", "customers.yaml", False),
    ],
)
def test_opening_the_ledger_of_the_settings_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, file: str, taken: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "syncs").mkdir()
    (tmp_path / "syncs" / file).write_text("kind: profiles\n")
    settings, clock = load_settings(), VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with Ledger.open(settings.ledger_url, clock=clock) as old:
        sent(old, written, 1, 2)
    with open_ledger(settings, clock) as opened:
        assert opened.verdict_counts("customers") == ({"sent": 2} if taken else {})
        assert opened.verdict_counts(written) == ({} if taken else {"sent": 2})
