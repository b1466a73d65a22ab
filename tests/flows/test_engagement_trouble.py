"""Caspio's troubles while it is written: limits, lost answers, and counts that do not add up."""

from datetime import timedelta

import pytest

from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.spans import utc_day
from tests.flows.returns import RECORDS, RETURN, Told, customers, opened, row, told_by_braze  # noqa: F401 - fixtures
from tests.flows.world import START, World

EXACT = RETURN.replace("LastOpened: email_last_open_at", "LastOpened: {measure: email_last_open_at, as: exact}")


def one_call_a_row(told: Told, count: int) -> None:
    told.measures = {f"c{number}": opened(START + timedelta(seconds=number), 3) for number in range(1, count + 1)}


def test_a_write_that_takes_effect_and_times_out_is_made_once_more(world: World, told: Told) -> None:
    customers(world, 2)
    told.measures = {"c1": opened(START, 1), "c2": opened(START, 1)}
    world.break_caspio(Fault(kind="slow", path=RECORDS, method="PUT", seconds=120, nth=(1,)))
    report = world.run("engagement")
    assert report.writeback is not None
    assert (report.sent, row(world, 2)["EmailOpens"]) == (2, "1")
    assert world.struck("caspio", "slow") == 1


def test_the_daily_budget_holds_for_writes(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    customers(world, 40)
    world.sync(EXACT, "engagement")
    one_call_a_row(told, 40)
    monkeypatch.setenv("CASPIO_CALLS_PER_DAY", "25")
    report = world.run("engagement")
    assert report.sent == 40
    assert world.clock.now() >= START + timedelta(hours=12)  # midnight
    assert report.stretched is not None
    with world.ledger() as ledger:
        since = [ledger.calls_used("caspio.test", utc_day(START + timedelta(days=day))) for day in range(3)]
    assert since[0] == report.caspio_calls
    assert max(since[0] - since[1], since[1] - since[2]) <= 25


def test_the_limit_of_a_second_is_never_met(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    world.caspio = CaspioSandbox(CaspioBehaviour(calls_per_second=5), clock=world.clock)
    customers(world, 30)
    world.sync(EXACT, "engagement")
    one_call_a_row(told, 30)
    monkeypatch.setenv("CASPIO_CALLS_PER_SECOND", "5")
    report = world.run("engagement")
    assert report.writeback is not None
    assert (report.sent, report.writeback.calls) == (30, 30)
    assert world.caspio.calls == report.caspio_calls


def test_rows_that_triggered_actions_touch_are_no_fault(world: World, told: Told) -> None:
    world.caspio = CaspioSandbox(CaspioBehaviour(triggered_rows=3), clock=world.clock)
    customers(world, 2)
    told.measures = {"c1": opened(START, 1), "c2": opened(START, 1)}
    assert world.run("engagement").verdicts == {"sent": 2}


@pytest.mark.parametrize("status", [400, 500])
def test_a_column_that_turned_read_only_is_named_and_the_others_go(world: World, told: Told, status: int) -> None:
    customers(world, 2)
    told.measures = {"c1": opened(START, 1), "c2": opened(START, 1)}
    body = '{"Code":"AlterReadOnlyData","Message":"Cannot alter read-only data in the following field(s): EmailOpens"}'
    world.break_caspio(Fault(kind="status", path=RECORDS, method="PUT", status=status, body=body, nth=(1,)))
    report = world.run("engagement")
    assert report.verdicts == {"rejected": 2}
    assert "Caspio refuses EmailOpens: " in report.reasons[0].reason
    assert (row(world, 1)["Engaged"], row(world, 1)["EmailOpens"]) == (True, "")
    world.break_caspio()
    assert world.run("engagement").verdicts == {"sent": 2}
    assert world.verdicts("engagement") == {"sent": 2}


def test_a_failure_without_a_word_is_unknown_until_the_next_run_looks(world: World, told: Told) -> None:
    customers(world, 2)
    told.measures = {"c1": opened(START, 1), "c2": opened(START, 1)}
    world.break_caspio(Fault(kind="status", path=RECORDS, method="PUT", status=500, nth=(1, 2)))
    assert world.run("engagement").verdicts == {"unknown": 2}
    world.break_caspio()
    assert world.run("engagement").verdicts == {"sent": 2}
