"""Erased keys and the audit trail, on both databases."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.ledger.audit import FIRST_HASH, AuditBrokenError, chained
from caspio_sync.ledger.erasure import Erased, Keyspace
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.form import microseconds
from caspio_sync.ledger.raw_prints import PRINTS
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.ledger.store import Ledger
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
IDS = Keyspace("external_id", naming=NAMING)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=VirtualClock(START)) as opened:
        yield opened


def record(ledger: Ledger, rows: dict[int, str], *, sync: str = "customers", run: str = "r1") -> None:
    """Rows Braze accepted, by their PK_ID and key."""
    keys = pl.Series(list(rows.values()), dtype=pl.String)
    count = len(rows)
    frame = pl.DataFrame(
        {
            "source_pk": list(rows),
            "key": keys,
            "key_hash": key_hashes(keys, ledger.salt),
            "fp": [b"f" * 16] * count,
            "sent_fields": [b"s" * 8] * count,
            "changed": [b"\x80"] * count,
            "part": ["profile"] * count,
            "verdict": ["sent"] * count,
            "reason": pl.Series([None] * count, dtype=pl.String),
            "request": [1] * count,
            "status": [201] * count,
            "suite_version": [1] * count,
            "mapping_version": [1] * count,
        }
    )
    ledger.start_run(run=run, sync=sync, kind="profiles", mode="sweep")
    ledger.record(sync=sync, run=run, batch=1, rows=frame)


def proven(ledger: Ledger, *keys: str) -> int:
    """Take keys through all steps; how many rows left the ledger."""
    ledger.request_erasure("customers", IDS, keys, by="hand")
    pending = ledger.pending_erasures("customers")
    ledger.mark_deleted("customers", [one.key_digest for one in pending], details={"status": 201})
    return ledger.mark_proven("customers", IDS, pending)


def events(ledger: Ledger) -> list[str]:
    ledger.verify_audit()
    return [entry.event for entry in ledger.audit_entries()]


def test_a_request_blocks_the_key_in_any_spelling_and_no_other(ledger: Ledger) -> None:
    assert ledger.request_erasure("customers", IDS, ["C1"], by="hand") == 1
    keys = pl.Series(["c1", " C1 ", "c2", None], dtype=pl.String)
    assert ledger.blocked(IDS, keys).to_list() == [True, True, False, False]
    assert not ledger.blocked(Keyspace("user_alias", "crm", naming=NAMING), keys).any()


def test_nobody_erased_blocks_nobody_but_who_is_planned(ledger: Ledger) -> None:
    keys = pl.Series(["a", "b"])
    assert ledger.blocked(IDS, keys).to_list() == [False, False]
    (planned,) = ledger.key_digests(IDS, ["b"])
    assert ledger.blocked(IDS, keys, more=frozenset({planned})).to_list() == [False, True]


def test_digests_differ_between_ledgers_and_hold_no_key(ledger: Ledger) -> None:
    with Ledger.open("sqlite://") as other:
        ours, theirs = ledger.key_digests(IDS, ["c1"]), other.key_digests(IDS, ["c1"])
    assert ours != theirs
    assert len(ours[0]) == 64


def test_every_spelling_the_ledger_knows_is_to_be_deleted(ledger: Ledger) -> None:
    record(ledger, {1: "C1", 2: "c2"})
    ledger.request_erasure("customers", IDS, ["c1"], by="hand")
    (pending,) = ledger.pending_erasures("customers")
    assert pending.identifiers == ({"external_id": "c1"}, {"external_id": "C1"})


def test_proof_takes_rows_history_and_mentions_out_and_leaves_the_others(ledger: Ledger) -> None:
    record(ledger, {1: "c1", 2: "c2", 3: "c3"})
    record(ledger, {7: "C2"}, sync="more", run="r2")
    examples = [{"verdict": "quarantined", "reason": "x", "rows": 2, "examples": ["C2", "c3"]}]
    ledger.finish_run("r1", state="done", exit_code=0, report={"reasons": examples})
    assert proven(ledger, "c2") == 2
    assert ledger.read_rows("customers", 0, 9)["key"].to_list() == ["c1", "c3"]
    assert ledger.read_rows("more", 0, 9).is_empty()
    assert ledger.delivered("customers", "r1", 1)["source_pk"].to_list() == [1, 3]
    assert ledger.delivered("more", "r2", 1).is_empty()
    run = ledger.last_run("customers")
    assert run is not None
    assert run.report == {"reasons": [{**examples[0], "examples": ["c3"]}]}
    story = ledger.story("customers", "c1")
    assert story is not None
    assert len(story.outcomes) == 1
    (entry,) = ledger.erased(ledger.key_digests(IDS, ["c2"])).values()
    assert (entry.state, entry.identifiers) == ("proven", ())
    assert [each.details for each in ledger.audit_entries()][-1] == {"rows": 2}


def test_each_step_is_repeatable(ledger: Ledger) -> None:
    ledger.request_erasure("customers", IDS, ["c1"], by="hand")
    assert ledger.request_erasure("customers", IDS, ["c1", "C1"], by="hand", again=True) == 0
    (one,) = ledger.pending_erasures("customers")
    for _ in range(2):
        ledger.mark_deleted("customers", [one.key_digest], details={})
    assert [each.state for each in ledger.pending_erasures("customers")] == ["deleted"]
    ledger.mark_proven("customers", IDS, [one])
    assert ledger.request_erasure("customers", IDS, ["c1"], by="table") == 0
    assert ledger.pending_erasures("customers") == []
    assert ledger.request_erasure("customers", IDS, ["c1"], by="hand", again=True) == 1
    assert events(ledger) == ["requested", "deleted", "deleted", "proven", "cleared", "requested"]


def test_a_release_lifts_the_block_and_forgets_what_was_sent(ledger: Ledger) -> None:
    proven(ledger, "c1")
    record(ledger, {1: "c1"})
    assert len(ledger.release_erased("customers", IDS, ["C1", "c9"])) == 1
    assert not ledger.blocked(IDS, pl.Series(["c1"])).any()
    assert ledger.read_rows("customers", 1, 1).is_empty()
    assert ledger.release_erased("customers", IDS, ["c1"]) == []
    assert events(ledger)[-1] == "released"


def test_thousands_are_requested_at_once(ledger: Ledger) -> None:
    keys = [f"c{number}" for number in range(3_000)]
    record(ledger, dict(enumerate(keys[:1_500])))
    assert proven(ledger, *keys) == 1_500
    assert ledger.blocked(IDS, pl.Series(keys)).all()
    assert ledger.verify_audit().entries == 4 * 3_000


# The chain.


def test_the_hash_is_of_the_hash_before_and_the_canonical_entry(ledger: Ledger) -> None:
    proven(ledger, "c1")
    before = FIRST_HASH
    for entry in ledger.audit_entries():
        told = {name: getattr(entry, name) for name in ("number", "sync", "event", "key_digest", "details")}
        before = chained(before, {**told, "at": microseconds(entry.at)})
        assert entry.hash == before
    assert ledger.verify_audit().hash == before


def test_no_entry_names_a_key(ledger: Ledger) -> None:
    proven(ledger, "zoe@example.com")  # "zoe" is no part of a hexadecimal number
    assert not any("zoe" in str(entry) for entry in ledger.audit_entries())


def test_an_empty_trail_is_sound(ledger: Ledger) -> None:
    assert ledger.verify_audit().entries == 0


def _write_many(url: str, worker: int, count: int) -> None:
    with Ledger.open(url) as ledger:
        for number in range(count):
            ledger.request_erasure(f"s{worker}", IDS, [f"w{worker}-{number}"], by="hand")


def test_processes_that_append_at_once_do_not_fork_the_chain(ledger_url: str) -> None:
    Ledger.open(ledger_url).close()
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write_many, args=(ledger_url, worker, 25)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Ledger.open(ledger_url) as ledger:
        assert ledger.verify_audit().entries == 75


COLUMNS = ("number", "at", "sync", "event", "key_digest", "details", "hash")
ENTRIES = 8


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a trail of eight entries."""
    file = tmp_path_factory.mktemp("trail") / "ledger.db"
    with Ledger.open(f"sqlite:///{file}", clock=VirtualClock(START)) as made:
        proven(made, "c1")
        proven(made, "ada@example.com")
    return file


def tampered(text: Any, place: int, flip: int) -> Any:
    """A value with one byte changed, in its own type."""
    if isinstance(text, int):
        return text ^ (1 << place % 50)
    raw = bytearray(str(text).encode())
    raw[place % len(raw)] ^= flip
    return raw.decode("latin-1")


@given(
    number=st.integers(1, ENTRIES),
    column=st.sampled_from(COLUMNS),
    place=st.integers(0, 10_000),
    flip=st.integers(1, 127),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_of_any_entry_that_is_changed_is_found(
    trail: Path, number: int, column: str, place: int, flip: int
) -> None:
    with sqlite3.connect(":memory:") as memory, sqlite3.connect(trail) as stored:
        stored.backup(memory)
        (old,) = memory.execute(f"SELECT {column} FROM audit WHERE number = ?", (number,)).fetchone()
        new = tampered(old, place, flip)
        other = memory.execute("SELECT 1 FROM audit WHERE number = ?", (new,)).fetchone()
        if column == "number" and other:  # two entries exchange their numbers
            memory.execute("UPDATE audit SET number = -1 WHERE number = ?", (new,))
            memory.execute("UPDATE audit SET number = ? WHERE number = ?", (new, number))
            memory.execute("UPDATE audit SET number = ? WHERE number = -1", (number,))
        else:
            memory.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (new, number))
        memory.commit()
        first = min(number, new) if column == "number" and other else number
        with pytest.raises(AuditBrokenError) as caught:
            verified(memory)
        # An entry with a number beyond the others leaves a hole; one below 1 stands first.
        assert caught.value.number == (1 if column == "number" and new < 1 else first)


def verified(memory: sqlite3.Connection) -> None:
    """`verify_audit` on an SQLite connection."""
    engine = sa.create_engine("sqlite://", creator=lambda: memory, poolclass=sa.StaticPool)
    Ledger(engine, clock=VirtualClock(START)).verify_audit()


@pytest.mark.parametrize("number", range(1, ENTRIES + 1))
def test_an_entry_that_was_taken_out_is_named(trail: Path, number: int) -> None:
    with sqlite3.connect(":memory:") as memory, sqlite3.connect(trail) as stored:
        stored.backup(memory)
        memory.execute("DELETE FROM audit WHERE number = ?", (number,))
        memory.commit()
        with pytest.raises(AuditBrokenError) as caught:
            verified(memory)
    assert caught.value.number == number


def test_an_entry_that_was_added_is_named(ledger: Ledger, ledger_url: str) -> None:
    proven(ledger, "c1")
    added = "INSERT INTO audit SELECT 5, at, sync, event, key_digest, details, hash FROM audit WHERE number = 4"
    if ledger_url.startswith("sqlite"):
        with sqlite3.connect(sa.make_url(ledger_url).database or "") as connection:
            connection.execute(added)
    else:
        with psycopg.connect(ledger_url) as connection:
            connection.execute(added)
    with pytest.raises(AuditBrokenError, match="entry 5"):
        ledger.verify_audit()


def test_a_proof_of_somebody_unknown_is_harmless(ledger: Ledger) -> None:
    ledger.mark_proven("customers", IDS, [Erased("0" * 64, "deleted", ({"external_id": "c9"},))])
    assert ledger.erased(["0" * 64]) == {}


def test_proof_takes_a_person_out_of_a_batch_that_was_being_sent_as_well(ledger: Ledger) -> None:
    ledger.start_run(run="r1", sync="customers", kind="profiles", mode="sweep")
    keys = pl.Series(["C1", "c2", "C3"])
    rows = pl.DataFrame({"source_pk": [1, 2, 3], "key": keys}).with_columns(
        key_hashes(keys, ledger.salt),
        *(pl.lit(bytes(16)).alias(name) for name in ("fp", "sent_fields", "changed")),
        moved=pl.lit(value=False),
    )
    sending = Sending(sync="customers", run="r1", batch=1, rows=rows, suite_version=1, mapping_version=1)
    ledger.record_sent(sending, [Accepted(0, 1, 1, 201)])  # then the run is killed
    assert proven(ledger, "C1", "C2") == 1  # of the second one nobody knows whether it was sent
    with ledger.reading("look") as connection:
        kept = connection.execute(sa.text("SELECT rows FROM sending")).scalar_one()
    assert pl.read_ipc(bytes(kept))["key"].to_list() == ["C3"]
    assert ledger.read_rows("customers", 1, 3).is_empty()
    assert ledger.delivered("customers", "r1", 1).is_empty()


def test_what_a_row_became_is_forgotten_with_the_person(ledger: Ledger) -> None:
    record(ledger, {1: "c1", 2: "c2"})
    prints = pl.DataFrame([(1, 11, b"1" * 16, 3), (2, 22, b"2" * 16, 3)], PRINTS, orient="row")
    ledger.record_prints("customers", "d", prints, prints["source_pk"], low=1, high=2, today=START.date())
    assert ledger.has_prints("customers", "d")
    proven(ledger, "c1")
    assert not ledger.has_prints("customers", "d")
