"""A verification that is killed, that meets a run, or that Braze or Caspio hold up."""

import asyncio

import pytest

from caspio_sync.errors import ConfigurationError, TransientError
from caspio_sync.ledger.leases import LeaseHeldError
from caspio_sync.observe.verify_report import Estimate, VerifyReport
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.verified import (
    drift,
    rich_world,
    rows_by_field,
    verify,
    verifying,
)
from tests.flows.world import World


class KilledError(Exception):
    pass


def test_a_killed_verification_goes_on_where_it_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "STRETCH_ROWS", 4)
    rich_world(world)
    drift(world, "c1", spend=99)
    drift(world, "c11", spend=99)
    told: list[Estimate] = []
    seen: list[int] = []

    def kill(report: VerifyReport) -> None:
        seen.append(report.looked_at)
        if len(seen) == 2:
            raise KilledError

    watching = verifying.Watching(announce=told.append, observe=kill)
    with pytest.raises(KilledError):
        verify(world, watching=watching)
    requests = world.braze.requests
    report = verify(world, watching=verifying.Watching(announce=told.append))
    assert seen == [4, 8]
    assert [(each.rows, each.resumed) for each in told] == [(12, 0), (4, 8)]
    assert world.braze.requests - requests == 4  # two looks at the last stretch: an export and a group each
    assert (report.looked_at, rows_by_field(report), report.cleared) == (12, {"spend": 2}, 2)
    world.forget()
    world.run(full=True)
    assert sorted(each["external_id"] for each in world.sent()) == ["c1", "c11"]
    # A finished one begins anew, and so does an unfinished one where that is asked for.
    seen[:] = [0]
    with pytest.raises(KilledError):
        verify(world, watching=watching)
    assert verify(world, restart=True).rows == 12
    assert verify(world).accuracy == 1.0


def test_a_sample_is_drawn_from_all_rows_and_again_the_same_when_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "STRETCH_ROWS", 50)
    world.sync()
    world.people(600)
    world.run()
    seen: list[int] = []

    def kill(_report: VerifyReport) -> None:
        if not seen:
            seen.append(1)
            raise KilledError

    requests = world.braze.requests
    with pytest.raises(KilledError):
        verify(world, 200, watching=verifying.Watching(observe=kill))
    report = verify(world, 200)
    assert (report.compared, report.accuracy, world.braze.requests - requests) == (200, 1.0, 4)
    with world.ledger() as ledger:
        begun = ledger.verification("customers")
        sent = ledger.sent_pks("customers")
    assert begun is not None
    assert begun.ended_at is not None
    chosen = verifying.drawn_rows(sent, begun)
    assert chosen.equals(verifying.drawn_rows(sent, begun))
    assert 60 < sum(chosen <= 300) < 140


def test_it_refuses_while_a_run_is_under_way_and_waits_for_one_that_began_meanwhile(world: World) -> None:
    rich_world(world)
    drift(world, "c2", spend=9)
    with world.ledger() as ledger:
        ledger.acquire_lease("customers", "run 20260302-abc on web1")
        with pytest.raises(LeaseHeldError, match="run 20260302-abc on web1"):
            verify_now(world)
        world.clock.advance(100)  # its holder died: the lease is taken over
        started = world.clock.monotonic()

        def begin(_estimate: Estimate) -> None:
            ledger.acquire_lease("customers", "run 20260302-def on web1")

        report = asyncio.run(
            verifying.verify("customers", settings=current_settings(), watching=verifying.Watching(announce=begin))
        )
    assert report.recent == 1 or report.differing == 1
    assert world.clock.monotonic() - started < 120


def verify_now(world: World) -> VerifyReport:
    return asyncio.run(verifying.verify("customers", settings=current_settings()))


def test_it_keeps_to_the_limit_that_braze_announces(world: World) -> None:
    world.braze = BrazeSandbox(BrazeBehaviour(export_per_second=2), world.clock)
    world.sync()
    world.people(1000)
    world.run()
    started = world.clock.monotonic()
    report = verify(world)
    assert report.accuracy == 1.0
    assert 600 + 9 <= world.clock.monotonic() - started <= 600 + 14
    assert world.braze.statuses[429] <= 20


def test_trouble_for_a_moment_is_waited_out_and_lasting_trouble_ends_it(world: World) -> None:
    rich_world(world)
    world.break_braze(Fault(kind="status", status=503, nth=(1, 2)))
    assert verify(world).accuracy == 1.0
    world.break_braze(Fault(kind="status", status=503))
    with pytest.raises(TransientError):
        verify(world)


def test_a_key_without_the_permission_is_named(world: World) -> None:
    rich_world(world)
    narrow = BrazeBehaviour(keys={"sandbox-key": frozenset({"users.track"})})
    world.braze = BrazeSandbox(narrow, world.clock)
    with pytest.raises(ConfigurationError, match=r"users\.export\.ids"):
        verify(world)
