"""Backfills: chosen rows in shards, runs like any other that leave the cursor alone, exclude each other by range, and go on."""

import asyncio
import contextlib
import importlib
import io
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import polars as pl
import pytest
import sqlalchemy as sa

from caspio_sync.deployed.backfill import BackfillError, BackfillReport
from caspio_sync.engine.line import Batch, move
from caspio_sync.engine.opening import open_run
from caspio_sync.errors import ConfigurationError
from caspio_sync.kinds.profiles.line import PROFILES
from caspio_sync.ledger.leases import LEASE_SECONDS, Lease, LeaseHeldError
from caspio_sync.ledger.shards import Shard
from caspio_sync.ledger.store import Ledger
from caspio_sync.observe.report import RunOptions
from caspio_sync.settings import current_settings
from expectations.suites import Gates
from tests.flows.killing import KilledError, killed_after
from tests.flows.world import World
from tests.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

PEOPLE = 4000
BATCH = 1000
AN_HOUR = 3600.0


@pytest.fixture
def many(world: World) -> World:
    """A sync that has run; an hour ago."""
    world.people(PEOPLE)
    world.sync(world.SYNC + f"batch_size: {BATCH}\n")
    world.run()
    world.forget()
    world.clock.advance(AN_HOUR)
    return world


def backfilled(**chosen: Any) -> BackfillReport:
    from flows.backfill import BackfillParameters, run_backfill

    return run_backfill(BackfillParameters(sync="customers", **chosen))


def ends(report: BackfillReport) -> list[tuple[int, int]]:
    return [(each.low_pk, each.high_pk) for each in report.shards]


def refused(**chosen: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        backfilled(**chosen)
    return str(caught.value)


def test_a_range_of_keys_is_sent_again_and_the_cursor_stays(many: World) -> None:
    before = many.watermark()
    report = backfilled(pk_range=(101, 300), resend=True)
    assert sorted(int(each["external_id"][1:]) for each in many.sent()) == list(range(101, 301))
    assert ends(report) == [(101, 300)]
    assert report.exit_code == 0
    assert many.watermark() == before
    with many.ledger() as ledger:
        run = ledger.last_run("customers")
    assert (run.mode, run.state, run.exit_code, run.low_pk, run.high_pk) == ("partial", "done", 0, 101, 300)


def test_what_was_sent_is_not_sent_again_unless_asked(many: World) -> None:
    report = backfilled(pk_range=(1, 1000))
    assert report.shards[0].report is not None
    assert report.shards[0].report.unchanged == 1000
    assert many.sent() == []


def test_a_window_of_time_is_read_by_the_cursor_field(many: World) -> None:
    start = many.clock.now()
    for pk in (10, 20, 30):
        many.clock.advance(AN_HOUR)
        many.caspio.update_rows("Customers", {"FirstName": f"New{pk}"}, f"PK_ID = {pk}")
    window = (start + timedelta(minutes=90), start + timedelta(minutes=150))
    before = many.watermark()
    backfilled(since=window[0], until=window[1])
    assert [each["external_id"] for each in many.sent()] == ["c20"]
    assert many.watermark() == before


def test_shards_cover_every_row_once(many: World) -> None:
    report = backfilled(pk_range=(1, PEOPLE), shards=4, resend=True)
    assert ends(report) == [(1, 1000), (1001, 2000), (2001, 3000), (3001, 4000)]
    assert sorted(int(each["external_id"][1:]) for each in many.sent()) == list(range(1, PEOPLE + 1))
    with many.ledger() as ledger:
        assert len(ledger.runs("customers")) == 5


def test_shards_of_a_window_find_their_keys_by_one_call(many: World) -> None:
    start = many.clock.now()
    many.clock.advance(AN_HOUR)
    many.caspio.update_rows("Customers", {"FirstName": "New"}, "PK_ID > 1000 AND PK_ID <= 1400")
    report = backfilled(since=start, shards=2)
    assert ends(report) == [(1001, 1200), (1201, 1400)]
    assert len(many.sent()) == 400


def test_no_row_is_no_run(many: World) -> None:
    report = backfilled(pk_range=(90_000, 99_000), shards=3)
    assert report.shards == []
    assert report.exit_code == 0


def test_bad_input_is_refused_before_anything_is_read(many: World) -> None:
    now: datetime = many.clock.now()
    assert "no PK_ID from 9 to 1" in refused(pk_range=(9, 1))
    assert "earlier time first" in refused(since=now, until=now - timedelta(days=1))
    assert "--from T --to T" in refused()
    many.sync(many.SYNC.replace("  cursor: ChangedAt\n", ""))
    assert "cursor field" in refused(since=now)


@pytest.mark.parametrize("end", ["since", "until"])
def test_a_bare_number_in_prefects_form_is_no_time(many: World, end: str) -> None:
    parameters = importlib.import_module("flows.backfill").BackfillParameters
    with pytest.raises(ValueError, match="no date or time"):
        parameters(sync="customers", **{end: "2026"})
    assert getattr(parameters(sync="customers", **{end: "20260131"}), end).isoformat() == "2026-01-31T00:00:00+00:00"


def test_a_killed_shard_goes_on_after_its_recorded_batches(many: World) -> None:
    with killed_after(1):
        backfilled(pk_range=(1, 2000), resend=True)
    many.clock.advance(600)
    many.forget()
    report = backfilled(pk_range=(1, 2000), resend=True)
    run = report.shards[0].report
    assert run is not None
    assert any(note.startswith("goes on after PK_ID 1,000") for note in run.notes)
    # The second batch was acknowledged as well when its record was lost: Braze would bill it twice.
    assert (run.read, run.unchanged) == (1000, 1000)
    assert many.sent() == []


def test_what_dead_runs_of_a_shard_had_acknowledged_is_not_sent_again(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is asked for once more, and Braze bills it: the next run sends what nobody acknowledged, and no more."""
    monkeypatch.setattr("caspio_sync.delivery.outcomes.COMMIT_REQUESTS", 2)
    for _ in range(3):
        with killed_after(2, "record_sent"):
            backfilled(pk_range=(1, PEOPLE), resend=True)
        many.clock.advance(600)
    acknowledged = sent_once_more(many)
    assert 0 < len(acknowledged) < PEOPLE
    many.forget()
    report = backfilled(pk_range=(1, PEOPLE), resend=True)
    again = [int(each["external_id"][1:]) for each in many.sent()]
    assert sorted([*acknowledged, *again]) == list(range(1, PEOPLE + 1))
    run = report.shards[0].report
    assert run is not None
    assert run.unchanged == run.read - len(again)
    # Asked for anew, all of it goes again.
    many.forget()
    backfilled(pk_range=(1, PEOPLE), resend=True)
    assert len(many.sent()) == PEOPLE


def sent_once_more(world: World) -> list[int]:
    """`source_pk` of the rows with two acknowledged outcomes, of which the backfill made the second."""
    with world.ledger() as ledger, ledger.reading("look") as connection:
        packed = connection.execute(sa.text("SELECT rows FROM outcome WHERE sync = 'customers'")).scalars()
        told = Counter(pk for rows in packed for pk in pl.read_ipc(io.BytesIO(rows))["source_pk"])
    assert max(told.values()) == 2
    return [pk for pk, times in told.items() if times == 2]


def test_shards_that_are_done_are_not_done_again_after_a_failure(many: World) -> None:
    with killed_after(3):  # the first shard, and half of the second
        backfilled(pk_range=(1, 4000), shards=2, resend=True)
    many.clock.advance(600)
    report = backfilled(pk_range=(1, 4000), shards=2, resend=True)
    assert ends(report) == [(2001, 4000)]
    assert report.notes == ["goes on with the 1 shards that the last attempt left to do"]
    assert [each.report.read for each in report.shards if each.report] == [1000]
    again = backfilled(pk_range=(1, 4000), shards=2)
    assert ends(again) == [(1, 2000), (2001, 4000)]


def test_another_backfill_or_mapping_does_not_go_on_from_a_dead_one(many: World) -> None:
    with killed_after(1):
        backfilled(pk_range=(1, 2000), resend=True)
    many.clock.advance(600)
    assert backfilled(pk_range=(1, 2000)).shards[0].report.read == 2000
    many.sync(many.SYNC.replace("truncate: 255", "truncate: 99") + f"batch_size: {BATCH}\n")
    assert backfilled(pk_range=(1, 2000), resend=True).shards[0].report.read == 2000


def test_an_ordinary_run_after_a_dead_shard_goes_its_own_way(many: World) -> None:
    with killed_after(1):
        backfilled(pk_range=(1, 2000))
    many.clock.advance(600)
    report = many.run()
    assert report.mode == "incremental"
    assert any("was killed" in note for note in report.notes)


def test_ranges_exclude_each_other_where_they_overlap(many: World) -> None:
    async def side_by_side(first: tuple[int, int] | None, second: tuple[int, int] | None) -> bool:
        settings = current_settings()
        async with open_run("customers", RunOptions(pk_range=first), settings=settings):
            try:
                async with open_run("customers", RunOptions(pk_range=second), settings=settings):
                    return True
            except LeaseHeldError:
                return False

    assert asyncio.run(side_by_side((1, 100), (101, 200)))
    assert not asyncio.run(side_by_side((1, 100), (100, 200)))
    assert not asyncio.run(side_by_side((1, 100), None))
    assert not asyncio.run(side_by_side(None, (1, 100)))


def test_a_shard_that_begins_does_not_call_its_living_neighbour_dead(many: World) -> None:
    async def both() -> str:
        settings = current_settings()
        async with open_run("customers", RunOptions(pk_range=(1, 100)), settings=settings) as first:
            async with open_run("customers", RunOptions(pk_range=(101, 200)), settings=settings):
                pass
            with many.ledger() as ledger:
                return next(each.state for each in ledger.runs("customers") if each.id == first.id)

    assert asyncio.run(both()) == "running"


def test_a_key_in_two_shards_under_way_is_sent_once(world: World) -> None:
    """Both are read before either is recorded; the ledger's rows alone would tell nobody."""
    world.people(20)
    world.caspio.update_rows("Customers", {"CustomerNo": "c1"}, "PK_ID = 15")
    world.sync()

    async def both() -> None:
        settings = current_settings()
        async with (
            open_run("customers", RunOptions(pk_range=(1, 10)), settings=settings, gates=Gates) as first,
            open_run("customers", RunOptions(pk_range=(11, 20)), settings=settings, gates=Gates) as second,
        ):
            batches = [(run, await run.reading.next_batch()) for run in (first, second)]
            await asyncio.gather(*(move(run, PROFILES, Batch(batch)) for run, batch in batches if batch is not None))

    asyncio.run(both())
    assert [each["external_id"] for each in world.sent()].count("c1") == 1
    assert world.verdicts() == {"sent": 19, "quarantined": 1}


def test_left_shards_of_another_day_are_forgotten(tmp_path: Any) -> None:
    clock = VirtualClock()
    with contextlib.closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)) as ledger:
        began = clock.now()
        ledger.plan_shards("s", [Shard(1, 5, 5), Shard(6, 9, 4)], digest="d", asked="1..9", before=began)
        clock.advance(60)
        assert ledger.left_shards("s", digest="d", asked="1..9", since=began) == [Shard(1, 5, 5), Shard(6, 9, 4)]
        assert ledger.left_shards("s", digest="d", asked="1..9", since=clock.now()) == []
        assert ledger.left_shards("s", digest="d", asked="1..8", since=began) == []


class Workers:
    """Stands for a Prefect server and one worker: takes a shard whenever it is asked how they stand."""

    def __init__(self, clock: VirtualClock, dying: int, ending: dict[str, Any] | None) -> None:
        self._clock = clock
        self.ending = ending  # how flow runs end that cannot even be opened
        self._prefect = importlib.import_module("prefect.states")  # whose settings are read at its first import
        self.dying = dying  # shards whose process is killed after its first batch
        self.silent = 0  # shards whose worker dies before their run has begun
        self.given_up: list[UUID] = []
        self.waiting: list[tuple[UUID, RunOptions]] = []
        self.states: dict[UUID, State[Any]] = {}
        self.marked: list[UUID] = []
        self.deployments: set[str] = set()

    async def trigger(self, deployment: str, sync: str, options: RunOptions, *, name: str) -> UUID:
        assert name.startswith(f"backfill-{sync}-")
        self.deployments.add(deployment)
        flow_run = uuid4()
        self.waiting.append((flow_run, options))
        self.states[flow_run] = self._prefect.Scheduled()
        return flow_run

    async def flow_runs_of(self, ids: list[UUID]) -> dict[UUID, "FlowRun"]:
        from prefect.client.schemas.objects import FlowRun

        if self.ending is not None:
            return {each: FlowRun(id=each, flow_id=uuid4(), **self.ending) for each in ids}
        if self.waiting:
            flow_run, options = self.waiting.pop(0)
            self.states[flow_run] = self._prefect.Running()
            if self.silent > 0:
                self.silent -= 1
                self.states[flow_run] = self._prefect.Pending()
                return await self.flow_runs_of(ids)
            dies, self.dying = self.dying > 0, self.dying - 1
            with contextlib.suppress(KilledError):
                await self._work(flow_run, options, dies=dies)
                self.states[flow_run] = self._prefect.Completed()
        return {each: FlowRun(id=each, flow_id=uuid4(), state=self.states[each]) for each in ids}

    async def mark_killed(self, flow_runs: list[str]) -> None:
        self.marked += map(UUID, flow_runs)

    async def give_up(self, flow_run: UUID) -> None:
        self.given_up.append(flow_run)

    async def _work(self, flow_run: UUID, options: RunOptions, *, dies: bool) -> None:
        def silent(*_: Any, **__: Any) -> None:
            raise KilledError

        with pytest.MonkeyPatch.context() as patch:
            own = open_run("customers", options, settings=current_settings(), gates=Gates, flow_run=str(flow_run))
            async with own as run:
                while (batch := await run.reading.next_batch()) is not None:
                    await move(run, PROFILES, Batch(batch))
                    if dies:
                        patch.setattr(Ledger, "finish_run", silent)
                        patch.setattr(Ledger, "release_lease", silent)
                        self._clock.advance(LEASE_SECONDS)  # nobody sees on another machine that it is dead
                        raise KilledError


def on_workers(
    world: World, monkeypatch: pytest.MonkeyPatch, dying: int = 0, ending: dict[str, Any] | None = None
) -> Workers:
    workers = Workers(world.clock, dying, ending)
    for name in ("trigger", "flow_runs_of", "mark_killed", "give_up"):
        monkeypatch.setattr(f"flows.backfill.{name}", getattr(workers, name))
    return workers


def test_a_shard_whose_worker_died_is_given_to_another_and_goes_on(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = on_workers(many, monkeypatch, dying=1)
    report = backfilled(pk_range=(1, PEOPLE), shards=2, resend=True, on_workers=True)
    assert workers.deployments == {"profile-sync/customers"}
    assert len(workers.states) == 3
    assert len(workers.marked) == 1
    assert [(each.state, each.exit_code) for each in report.shards] == [("Completed", 0)] * 2
    assert sorted(each.report.read for each in report.shards if each.report) == [1000, 2000]
    assert sorted(int(each["external_id"][1:]) for each in many.sent()) == list(range(1, PEOPLE + 1))


def test_a_shard_whose_worker_died_before_it_began_is_given_to_another(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is Pending for ever, and in no ledger."""
    workers = on_workers(many, monkeypatch)
    workers.silent = 1
    began = many.clock.monotonic()
    report = backfilled(pk_range=(1, PEOPLE), shards=2, resend=True, on_workers=True)
    assert 120 <= many.clock.monotonic() - began < 180
    assert [(each.state, each.exit_code) for each in report.shards] == [("Completed", 0)] * 2
    assert len(workers.given_up) == 1
    assert str(workers.given_up[0]) not in {each.flow_run for each in report.shards}
    assert sorted(int(each["external_id"][1:]) for each in many.sent()) == list(range(1, PEOPLE + 1))


def test_a_shard_that_waits_for_another_run_is_not_taken_for_dead(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = on_workers(many, monkeypatch)
    workers.silent = 1
    began = many.clock.monotonic()
    other = Lease("customers", 1, PEOPLE, "run of somebody else", many.clock.now())
    monkeypatch.setattr(Ledger, "leases", lambda *_: [other] if many.clock.monotonic() - began < 300 else [])
    backfilled(pk_range=(1, PEOPLE), on_workers=True)
    assert many.clock.monotonic() - began >= 300 + 120  # from the end of the other one
    assert len(workers.given_up) == 1


def test_a_shard_whose_workers_keep_dying_is_given_up(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    on_workers(many, monkeypatch, dying=99)
    with pytest.raises(BackfillError, match="died 3 times") as caught:
        backfilled(pk_range=(1, PEOPLE), on_workers=True)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("labels", "code"), [({"caspio-sync.exit-code": 2}, 2), ({}, 4)])
def test_a_shard_that_could_not_be_opened_ends_with_the_code_on_its_flow_run(
    many: World, monkeypatch: pytest.MonkeyPatch, labels: dict[str, int], code: int
) -> None:
    failed = importlib.import_module("prefect.states").Failed(message=f"exit code {code}: no such field")
    on_workers(many, monkeypatch, ending={"state": failed, "labels": labels})
    with pytest.raises(BackfillError, match="PK_ID 1 to 4000: no such field") as caught:
        backfilled(pk_range=(1, PEOPLE), on_workers=True)
    assert caught.value.exit_code == code


def test_shards_that_nobody_follows_are_only_started(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = on_workers(many, monkeypatch, dying=0)
    report = backfilled(pk_range=(1, PEOPLE), shards=2, on_workers=True, follow=False)
    assert [(each.state, each.exit_code) for each in report.shards] == [("Scheduled", None)] * 2
    assert [each.flow_run for each in report.shards] == [str(each) for each in workers.states]
    assert report.exit_code == 0
