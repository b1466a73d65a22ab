"""What is read past the ledger's own code is what that code reads, and reading writes nothing and waits for nobody."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.errors import ConfigurationError
from caspio_sync.hints import Hint, Hints, Message
from caspio_sync.ledger import schema
from caspio_sync.ledger.events_schema import journal
from caspio_sync.ledger.form import VERSION_TABLE
from caspio_sync.ledger.overview import Overview
from caspio_sync.ledger.sent_rows import Accepted, Sending
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.workspace import Workspace
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict
from tests.virtual_clock import VirtualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SYNCS = ("customers", "orders", "nobody")
DAY = NOW.replace(hour=0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def ledger(ledger_url: str, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened


@contextlib.contextmanager
def overview(ledger: Ledger, clock: VirtualClock) -> Iterator[Overview]:
    """Of a file past SQLAlchemy, as the commands look at it; else through the ledger."""
    with Overview.of_file(ledger.location, clock) as found:
        if found is not None:
            yield found
            return
    assert not ledger.location.startswith("sqlite:///")
    with ledger.overview() as made:
        yield made


def told(source: Any, sync: str) -> dict[str, Any]:
    """What both tell alike."""
    return {
        "names": source.sync_names(),
        "runs": source.runs(sync, limit=3),
        "all": source.runs(limit=100),
        "last": source.last_run(sync),
        "cursor": source.cursor(sync),
        "oldest": source.oldest_held(sync),
        "calls": source.calls_used("c.caspio.com", DAY),
        "workspace": source.workspace(sync),
        "salt": source.salt,
        "now": source.now(),
        "paused": None
        if (found := source.paused(sync)) is None
        else (found.at, found.everything, found.reason, found.of_all),
        "source": None if (found := source.known_source(sync)) is None else (found.at, found.fields),
        "incidents": [(each.kind, each.since) for each in source.open_incidents(sync)],
    }


def by_ledger(ledger: Ledger, sync: str) -> dict[str, Any]:
    """What the ledger's own code says; it folds."""
    return told(ledger, sync) | {
        "counts": (ledger.verdict_counts(sync), ledger.newest_delivered(sync)),
        "unknown": ledger.unknown_events(sync).height,
        "held": bool(ledger.leases(sync)),
    }


def by_overview(ledger: Ledger, clock: VirtualClock, sync: str) -> dict[str, Any]:
    with overview(ledger, clock) as found:
        return told(found, sync) | {
            "counts": tuple(found.row_counts(sync)),
            "unknown": found.unknown_events(sync),
            "held": found.is_held(sync),
        }


def recorded(pks: list[int], verdict: str) -> pl.DataFrame:
    width = {"fp": 16, "sent_fields": 24, "changed": 1}
    return pl.DataFrame({SOURCE_PK: pks}, schema={SOURCE_PK: pl.Int64}).select(
        SOURCE_PK,
        pl.format("C-{}", SOURCE_PK).alias(KEY),
        (pl.col(SOURCE_PK) * 7).alias("key_hash"),
        *(
            pl.Series(name, [bytes([pk % 255 + 1]) * size for pk in pks], dtype=pl.Binary)
            for name, size in width.items()
        ),
        part=pl.lit("profile"),
        verdict=pl.lit(verdict),
        reason=pl.lit(None if verdict == "sent" else "why", dtype=pl.String),
        request=pl.lit(1, dtype=pl.Int64),
        status=pl.lit(201, dtype=pl.Int64),
        suite_version=pl.lit(1, dtype=pl.Int64),
        mapping_version=pl.lit(1, dtype=pl.Int64),
    )


def sending(sync: str, run: str, batch: int, pks: list[int]) -> Sending:
    rows = recorded(pks, "sent").select(SOURCE_PK, KEY, "key_hash", "fp", "sent_fields", "changed", moved=pl.lit(False))
    return Sending(sync=sync, run=run, batch=batch, rows=rows, suite_version=1, mapping_version=1)


def filled(ledger: Ledger, clock: VirtualClock) -> None:
    """A ledger in which something of everything is."""
    for number, sync in enumerate(SYNCS[:2]):
        for run in range(4):
            ledger.start_run(run=f"{sync}-{run}", sync=sync, kind="profiles", mode="full")
            clock.advance(60 + number)
            if run < 3:
                report = {"mapping_version": 1 + run // 2, "freshness": None, "text": "é\N{GRINNING FACE}"}
                ledger.finish_run(
                    f"{sync}-{run}", state=("done", "failed", "done")[run], exit_code=4 * (run == 1), report=report
                )
        for first, verdict in enumerate(Verdict, start=1):
            ledger.record(
                sync=sync,
                run=f"{sync}-3",
                batch=1,
                rows=recorded([100 * first + each for each in range(first)], verdict),
            )
            clock.advance(10)
        ledger.move_cursor(sync, watermark=clock.now(), where_digest="x", full_sweep_at=clock.now())
        ledger.mapping_version(sync, "a", ["email", "name"])
        ledger.mapping_version(sync, "b", ["email", "phone"])
        ledger.remember_source(sync, {"drift": ["Email is gone"], "stopped": []})
        ledger.open_incident(sync, "failed")
        ledger.open_incident(sync, "share")
        ledger.end_incident(sync, "share")
        here = Workspace("c0.caspio.com", "braze", "rest.eu", f"digest {sync}")
        ledger.remember_workspace(sync, here, instead_of=None)
    ledger.acquire_lease("customers", "run customers-3 (process 1 on here)")
    ledger.take_calls("c.caspio.com", DAY, 11)
    ledger.take_calls("c.caspio.com", DAY - timedelta(days=1), 5)
    with ledger.writing("note events") as connection:
        rows = (("customers", "customers-3", "leaving"), ("customers", "customers-0", "leaving"), ("orders", "orders-3", "leaving"),
                ("orders", "orders-1", "unknown"), ("orders", "orders-2", "released"))  # fmt: skip
        for place, (of, by, state) in enumerate(rows):
            values = {
                "sync": of,
                "run": by,
                "state": state,
                "source_pk": place,
                "fp": b"f",
                "fields": b"",
                "batch": 1,
            }
            more = {"mapping_version": 1, "suite_version": 1, "request": 1, "at": clock.now()}
            connection.execute(sa.insert(journal).values(**values, **more))


def test_a_new_ledger_is_told_alike(ledger: Ledger, clock: VirtualClock) -> None:
    assert by_overview(ledger, clock, "nobody") == by_ledger(ledger, "nobody")


@pytest.mark.parametrize("sync", SYNCS)
def test_a_filled_ledger_is_told_alike(ledger: Ledger, clock: VirtualClock, sync: str) -> None:
    filled(ledger, clock)
    expected = by_ledger(ledger, sync)
    assert by_overview(ledger, clock, sync) == expected
    if sync == "customers":  # and it is worth telling
        assert expected["counts"][0] == {verdict: number for number, verdict in enumerate(Verdict, start=1)} | {
            "sent": 1
        }
        assert (expected["unknown"], expected["held"], expected["calls"]) == (1, True, 11)
        assert all(expected[name] for name in ("oldest", "cursor", "workspace", "source", "incidents"))


@pytest.mark.parametrize("sync", SYNCS)
def test_pauses_are_told_alike_and_end_one_by_one(ledger: Ledger, clock: VirtualClock, sync: str) -> None:
    def told_alike() -> Any:
        with overview(ledger, clock) as found:
            assert told(found, sync)["paused"] == told(ledger, sync)["paused"]
            return told(found, sync)["paused"]

    assert told_alike() is None
    ledger.pause("orders", everything=True, reason="a wrong price")
    own = told_alike()
    assert own == ((NOW, True, "a wrong price", False) if sync == "orders" else None)
    clock.advance(60)
    ledger.pause(None)
    later = NOW + timedelta(seconds=60)
    assert told_alike() == (later, sync == "orders", "a wrong price" if sync == "orders" else "", True)
    ledger.pause("orders", reason="still")
    assert told_alike()[1:3] == (False, "still" if sync == "orders" else "")
    assert (ledger.resume(None), ledger.resume(None), ledger.resume("nobody")) == (True, False, False)
    assert (told_alike() is None) == (sync != "orders")
    assert ledger.resume("orders")
    assert told_alike() is None


def test_rows_count_as_acknowledged_before_they_have_learnt_it(ledger: Ledger, clock: VirtualClock) -> None:
    filled(ledger, clock)
    known = sending("customers", "customers-3", 2, [200, 201, 300, 9_000, 9_001])  # held, refused, new
    ledger.record_sent(known, [Accepted(0, 2, 1, 201)])
    clock.advance(5)
    ledger.record_sent(known, [Accepted(2, 2, 2, 201)])
    seen = {sync: by_overview(ledger, clock, sync) for sync in SYNCS}
    assert unfolded(ledger) == 2, "looking has written"
    assert seen == {sync: by_ledger(ledger, sync) for sync in SYNCS}
    assert unfolded(ledger) == 0
    assert seen["customers"]["counts"][0]["sent"] == 5


def test_of_a_batch_that_is_lost_no_row_learns_anything(ledger: Ledger, clock: VirtualClock) -> None:
    filled(ledger, clock)
    ledger.record_sent(sending("orders", "orders-3", 7, [9_000]), [Accepted(0, 1, 1, 201)])
    with ledger.writing("lose a batch", fold=False) as connection:
        connection.execute(sa.delete(schema.sending))
    assert unfolded(ledger) == 1
    assert by_overview(ledger, clock, "orders") == by_ledger(ledger, "orders")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_commits_in_any_order_count_alike(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    clock = VirtualClock(NOW)
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db", clock=clock) as ledger:
        filled(ledger, clock)
        pks = st.lists(
            st.sampled_from([100, 200, 201, 300, 400, 601, 7_000, 7_001]), min_size=1, max_size=5, unique=True
        )
        for batch in range(data.draw(st.integers(1, 4))):
            chosen = data.draw(pks)
            part = sending("customers", "customers-3", batch // 2 + 1, chosen)
            clock.advance(data.draw(st.integers(-30, 30)) if batch == 0 else 3)
            start = data.draw(st.integers(0, len(chosen) - 1))
            ledger.record_sent(part, [Accepted(start, len(chosen) - start, batch, 201)])
        assert by_overview(ledger, clock, "customers") == by_ledger(ledger, "customers")


def test_a_ledger_that_somebody_writes_to_is_read_at_once(tmp_path: Path, clock: VirtualClock) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock) as ledger:
        filled(ledger, clock)
        ledger.record_sent(sending("customers", "customers-3", 2, [200]), [Accepted(0, 1, 1, 201)])
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM row")
            assert by_overview(ledger, clock, "customers")["counts"][0]["sent"] == 2
            writer.rollback()


@pytest.mark.parametrize(
    "make",
    [
        lambda _path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: path.mkdir(),
        lambda path: aged(path, "0004"),
        lambda path: aged(path, "0999"),
        lambda path: named_by_path(path),  # noqa: PLW0108 - it stands below
        lambda path: foreign(path),  # noqa: PLW0108 - it stands below
    ],
)
def test_what_has_to_be_made_migrated_or_refused_is_left_to_who_opens_it(
    tmp_path: Path, clock: VirtualClock, make: Any
) -> None:
    make(tmp_path / "ledger.db")
    with Overview.of_file(f"sqlite:///{tmp_path}/ledger.db", clock) as found:
        assert found is None


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "postgresql://u:p@h/d", "sqlite:///a.db?x=1", "nonsense"]
)
def test_what_is_no_plain_file_is_left_to_who_opens_it(url: str, clock: VirtualClock) -> None:
    with Overview.of_file(url, clock) as found:
        assert found is None


def test_a_ledger_in_memory_is_told_as_well(clock: VirtualClock) -> None:
    with Ledger.open("sqlite://", clock=clock) as ledger:
        filled(ledger, clock)
        expected = ledger.verdict_counts("customers")
        with ledger.overview() as found:
            assert found.row_counts("customers").verdicts == expected
        assert ledger.runs("customers")  # the connection is in no transaction any more


def test_a_damaged_page_is_refused_by_what_it_means(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", clock=clock) as ledger:
        filled(ledger, clock)
        for batch in range(20):
            ledger.record(
                sync="customers",
                run="customers-3",
                batch=9 + batch,
                rows=recorded([*range(5000 + 500 * batch, 5500 + 500 * batch)], "sent"),
            )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        root, size = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'row'").fetchone()[0], 4096
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with Overview.of_file(f"sqlite:///{path}", clock) as found:
        assert found is not None
        with pytest.raises(
            ConfigurationError, match=r"Could not count verdicts in sqlite:///.*damaged.*SQLITE_CORRUPT"
        ):
            found.row_counts("customers")


def test_runs_are_chosen_by_time_and_by_how_they_ended(ledger: Ledger, clock: VirtualClock) -> None:
    filled(ledger, clock)
    with overview(ledger, clock) as found:
        assert [each.id for each in found.runs("customers", failed=True)] == ["customers-1"]  # the last is under way
        assert [each.id for each in found.runs("orders", failed=True)] == ["orders-3", "orders-1"]  # it died
        began = found.run("orders-2").started_at
        assert [each.id for each in found.runs(since=began)] == ["orders-3", "orders-2"]
        assert [each.id for each in found.runs(since=began + timedelta(microseconds=1))] == ["orders-3"]
        assert [each.id for each in found.runs_before(found.run("orders-2"))] == ["orders-1", "orders-0"]
        assert found.run("no-such-run") is None
        assert found.run_ids(limit=2) == ["orders-3", "orders-2"]
        assert (found.mapping_version("orders", 2).fields, found.mapping_version("orders", 3)) == (
            ("email", "phone"),
            None,
        )


def test_held_rows_are_counted_by_the_first_of_their_reasons(ledger: Ledger, clock: VirtualClock) -> None:
    filled(ledger, clock)
    began = clock.now()
    for start, verdict, reason, rows in (
        (5_000, "quarantined", "email_format | email: is no address xxx@x", 3),
        (5_100, "quarantined", "email_format | phone: is too short", 2),
        (5_200, "quarantined", "key_unique", 4),
        (5_300, "rejected", "email_format", 1),
        (5_400, "blocked", None, 6),
        (5_500, "superseded", "newer", 9),
    ):
        held = recorded([*range(start, start + rows)], verdict).with_columns(reason=pl.lit(reason, dtype=pl.String))
        ledger.record(sync="apart", run="customers-3", batch=9, rows=held)
        clock.advance(10)
    ledger.record_sent(sending("apart", "customers-3", 10, [5_000, 5_200]), [Accepted(0, 2, 1, 201)])
    with overview(ledger, clock) as found:
        groups = {(each.verdict, each.reason): each for each in found.held_reasons("apart")}
        counts = found.row_counts("apart").verdicts
        assert [each.rows for each in found.held_reasons("apart", limit=2)] == [6, 4]
        assert found.held_reasons("nobody") == []
    assert groups["quarantined", "email_format"].rows == 4  # of five, one is acknowledged meanwhile
    assert groups["quarantined", "email_format"][3:] == (began, began + timedelta(seconds=10))
    assert {key: each.rows for key, each in groups.items()} == {
        ("quarantined", "email_format"): 4, ("quarantined", "key_unique"): 3, ("rejected", "email_format"): 1, ("blocked", ""): 6,
    }  # fmt: skip
    for verdict in ("quarantined", "rejected", "blocked"):
        assert sum(each.rows for each in groups.values() if each.verdict == verdict) == counts[verdict]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_runs_are_summed_by_the_day_on_which_they_ended(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    clock = VirtualClock(NOW)
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db", clock=clock) as ledger:
        summed_by_day(ledger, clock, data)


def test_runs_are_summed_by_day_on_either_database(ledger: Ledger, clock: VirtualClock) -> None:
    run = 0

    class Chosen:
        def draw(self, _strategy: Any) -> Any:
            nonlocal run
            run += 1
            return (run * 7919) % 90_000 if run % 3 else (run % 17)

    summed_by_day(ledger, clock, Chosen())


def summed_by_day(ledger: Ledger, clock: VirtualClock, data: Any) -> None:
    """Ends runs at drawn times with drawn counts, and adds them up apart."""
    expected: dict[date, list[float]] = {}
    first = clock.now().date()
    for number in range(12):
        ledger.start_run(run=f"r{number}", sync="customers" if number % 4 else "orders", kind="profiles", mode="sweep")
        took = data.draw(st.integers(0, 90_000))
        clock.advance(took)
        counts = [int(data.draw(st.integers(0, 10**6))) for _ in range(4)]
        report = {
            "read": counts[0],
            "sent": counts[1],
            "verdicts": {"quarantined": counts[2], "sent": counts[1]},
            "freshness": {"age_seconds": counts[3] / 8, "waited_seconds": None} if number % 3 else None,
        }
        if number == 11:  # is never ended: no day has it
            break
        ledger.finish_run(
            f"r{number}", state="done", exit_code=3 * (number % 2), report=None if number == 5 else report
        )
        if number % 4:
            told = [0, 0, 0, 0.0] if number == 5 else [*counts[:3], counts[3] / 8 if number % 3 else 0.0]
            day = expected.setdefault(clock.now().date(), [0, 0, 0, 0, 0, 0, 0])
            day[0] += 1
            day[1] += bool(number % 2)
            day[2:5] = [before + more for before, more in zip(day[2:5], told, strict=False)]
            day[5] = max(day[5], took)
            day[6] = max(day[6], told[3])
    with overview(ledger, clock) as found:
        last = clock.now().date()
        days = found.days("customers", first, last)
        assert {each.day: [each.runs, each.failed, each.read, each.sent, each.quarantined, each.seconds, each.waited_seconds or 0.0] for each in days} == expected  # fmt: skip
        middle = first + (last - first) // 2
        parts = [*found.days("customers", first, middle), *found.days("customers", middle + timedelta(days=1), last)]
        assert parts == days
        assert found.runs_begun_before("customers", last + timedelta(days=1)) == 9
        assert found.runs_begun_before("customers", first) == 0


def test_recorded_batches_are_counted(ledger: Ledger, clock: VirtualClock) -> None:
    filled(ledger, clock)
    for number, state in enumerate(("recorded", "recorded", None), start=1):
        ledger.open_batch(run="customers-3", number=number, low_pk=number, high_pk=number, rows=10 * number)
        if state:
            ledger.close_batch("customers-3", number, state=state)
    with overview(ledger, clock) as found:
        assert (found.rows_recorded("customers-3"), found.rows_recorded("x")) == ((2, 30), (0, 0))


def test_what_webhooks_announced_is_counted_beside_the_ledger(
    ledger_url: str, tmp_path: Path, clock: VirtualClock
) -> None:
    inbox = tmp_path / "inbox.db"
    of_file = ledger_url.startswith("sqlite")
    url = f"sqlite:///{inbox}" if of_file else ledger_url
    with Ledger.open(ledger_url, clock=clock) as ledger:
        filled(ledger, clock)
        with ledger.overview(inbox=None) as found:
            assert found.heard("customers", date(2026, 1, 1)) is None
        with Hints.open(url, clock=clock) as hints:
            hints.add([Message("customers", "m1", (Hint(4, "update", None), Hint(5, "update", None)), "kept")])
            clock.advance(7)
            hints.add([Message("customers", "m2", (), "empty"), Message("orders", "m3", (), "stale")])
            expected = hints.heard("customers", date(2026, 1, 1))
        opened = Overview.of_file(ledger_url, clock, inbox=inbox) if of_file else ledger.overview(inbox=None)
        with opened as found:
            heard = found.heard("customers", date(2026, 1, 1))
            assert (heard.messages, heard.last_at, heard.waiting) == (expected.messages, expected.last_at, 2)
            assert found.heard("customers", NOW.date() + timedelta(days=2)) is None
            assert found.heard("nobody", date(2026, 1, 1)) is None


def unfolded(ledger: Ledger) -> int:
    with ledger._engine.connect() as connection:  # noqa: SLF001
        return int(connection.execute(sa.select(sa.func.count()).select_from(schema.unfolded)).scalar_one())


def aged(path: Path, version: str) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger, ledger.writing("age") as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"))


def named_by_path(path: Path) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        ledger.mapping_version("syncs/customers.yaml", "a", ["email"])


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE run (id)")
