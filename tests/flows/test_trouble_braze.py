"""Braze throttles, fails, hangs and breaks off, in virtual time: every row arrives, or the run says what is missing.

Sections are those of the reference page on Braze.
"""

from typing import Any

import pytest

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.world import World

TRACK = "/users/track"
PEOPLE = 400
AN_HOUR = 3600.0


@pytest.fixture
def many(world: World) -> World:
    world.people(PEOPLE)
    world.sync()
    return world


def assert_all_there(world: World, people: int = PEOPLE) -> None:
    """The end that every trouble must come to: each profile as its row, one verdict a row, the cursor moved."""
    profiles = world.profiles()
    assert set(profiles) == {f"c{number}" for number in range(1, people + 1)}
    for number in range(1, people + 1):
        profile = profiles[f"c{number}"]
        assert (profile["first_name"], profile["email"], profile["email_subscribe"]) == (
            f"Name{number}", f"c{number}@example.com", "subscribed",
        )  # fmt: skip
        assert profile["custom_attributes"]["spend"] == number / 4
    assert world.verdicts() == {"sent": people}
    assert world.watermark() is not None
    world.clock.advance(AN_HOUR)
    world.forget()
    assert world.run(full=True).unchanged == people
    assert world.sent() == []


@pytest.mark.parametrize("rate", ["data_points", "mau"])
@pytest.mark.parametrize("refusal", ["x-ratelimit", "x-ratelimit-retry-after", "retry-after", "http-date", "absent"])
def test_429_of_a_real_window_in_each_form(many: World, rate: Any, refusal: Any) -> None:
    """Section 2.2: both contracts; the limit is a tenth of what the settings say."""
    many.braze = BrazeSandbox(BrazeBehaviour(rate=rate, burst_limit=2, refusal=refusal), many.clock)
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": PEOPLE})
    assert_all_there(many)


def test_the_hourly_pool_is_waited_for_up_to_the_clock_hour_and_not_longer(world: World) -> None:
    """Section 2.2: hourly windows reset on the clock hour; on such contracts a 429 names only seconds to wait."""
    world.people(PEOPLE)
    world.sync()
    world.clock.advance(55 * 60 + 30)  # 12:55:30
    world.braze = BrazeSandbox(BrazeBehaviour(rate="mau", hourly_limit=3), world.clock)
    ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": PEOPLE})
    # Six requests, three an hour: the second half leaves right after one o'clock.
    assert 13 * 60 <= world.clock.now().hour * 60 + world.clock.now().minute <= 13 * 60 + 1
    assert world.braze.statuses[429] <= 3
    assert_all_there(world)


def test_a_window_in_the_last_seconds_of_the_hour_is_not_taken_for_the_burst_window(world: World) -> None:
    """Section 2.2: two seconds before the hour, an hourly pool of two million looks like two million in 3 s."""
    world.people(3000)
    world.sync()
    world.clock.advance(AN_HOUR - 2)
    world.braze = BrazeSandbox(BrazeBehaviour(rate="mau", burst_limit=12), world.clock)
    ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": 3000})
    assert_all_there(world, 3000)


def test_5xx_for_two_minutes_is_outlasted_by_the_task(many: World) -> None:
    """Section 2.4: 5XX, retry with exponential backoff. A request has 60 s, the task repeats the batch."""
    many.break_braze(Fault(kind="status", path=TRACK, status=502, for_seconds=120))
    ended = many.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"sent": PEOPLE})
    many.break_braze()
    assert_all_there(many)


def test_5xx_for_an_hour_ends_the_run_clearly_and_the_next_one_completes(many: World) -> None:
    many.break_braze(Fault(kind="status", path=TRACK, status=503, for_seconds=AN_HOUR, nth=tuple(range(3, 100_000))))
    before = many.clock.monotonic()
    ended = many.ended()
    assert ended.code == 4
    assert "503 from POST /users/track" in ended.message
    # Four tries of the task, each of them a minute of one request; Prefect's own waits come on top.
    assert many.clock.monotonic() - before < 600
    assert many.watermark() is None
    sent = len(many.profiles())
    assert sent == 150  # the two requests before it
    assert many.verdicts() == {"sent": sent}
    many.break_braze()
    many.clock.advance(AN_HOUR)
    again = many.ended()
    assert (again.code, again.report.sent) == (0, PEOPLE - sent)
    assert len(many.sent()) == PEOPLE  # nothing acknowledged was sent twice
    assert_all_there(many)


def test_an_outage_costs_few_requests_once_the_breaker_is_open(many: World) -> None:
    many.braze.statuses.clear()
    many.break_braze(Fault(kind="status", path=TRACK, status=503))
    ended = many.ended()
    assert ended.code == 4
    # Six requests of one minute each, four times over, would be some two hundred tries.
    assert ended.report.sent == 0
    assert many.struck("braze", "status") <= 80


def test_a_connection_cut_before_braze_took_the_request_is_repeated(many: World) -> None:
    many.break_braze(Fault(kind="reset_before", path=TRACK, nth=(1, 2, 5)))
    assert many.ended().report.verdicts == {"sent": PEOPLE}
    many.break_braze()
    assert len(many.sent()) == PEOPLE
    assert_all_there(many)


def test_a_connection_cut_after_braze_took_the_request_is_repeated_harmlessly(many: World) -> None:
    """Section 3: whole values only; a request whose answer was lost is sent again within its own minute."""
    many.break_braze(Fault(kind="reset_after", path=TRACK, nth=(1, 2)))
    assert many.ended().report.verdicts == {"sent": PEOPLE}
    many.break_braze()
    assert len(many.sent()) == PEOPLE + 150
    assert_all_there(many)


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate"])
def test_a_line_that_always_breaks_ends_the_run_and_the_next_one_completes(many: World, kind: Any) -> None:
    many.break_braze(Fault(kind=kind, path=TRACK, nth=tuple(range(3, 100_000))))
    ended = many.ended()
    assert ended.code == 4
    assert "sending profiles: " in ended.message
    assert many.watermark() is None
    # What was taken without an answer has no verdict: the next run reads and sends it again.
    assert sum(many.verdicts().values()) == many.verdicts()["sent"] == 150
    many.break_braze()
    many.clock.advance(AN_HOUR)
    assert many.ended().report.sent == PEOPLE - 150
    assert_all_there(many)


def test_a_cut_answer_is_repeated(many: World) -> None:
    """Section 3.9: a cut answer may have lost its errors, so that it is no acknowledgement."""
    many.break_braze(Fault(kind="truncate", path=TRACK, every=2))
    assert many.ended().report.verdicts == {"sent": PEOPLE}
    many.break_braze()
    assert_all_there(many)


def test_an_answer_slower_than_its_limit_is_repeated_and_one_within_is_awaited(many: World) -> None:
    many.break_braze(
        Fault(kind="slow", path=TRACK, seconds=20, nth=(2,)), Fault(kind="slow", path=TRACK, seconds=31, nth=(1,))
    )
    assert many.ended().report.verdicts == {"sent": PEOPLE}
    many.break_braze()
    assert len(many.sent()) == PEOPLE + 75
    assert_all_there(many)


def test_a_server_error_for_the_opt_out_does_not_let_anything_else_of_that_user_leave(many: World) -> None:
    many.run()
    many.clock.advance(AN_HOUR)
    many.forget()
    many.caspio.update_rows("Customers", {"FirstName": "Ada", "Newsletter": "no"}, "CustomerNo = 'c7'")
    many.break_braze(Fault(kind="status", path=TRACK, status=503))
    assert many.ended().code == 4
    assert many.sent() == []
    many.break_braze()
    many.clock.advance(AN_HOUR)
    assert many.run().sent == 1
    first, second = many.sent()
    assert first == {"external_id": "c7", "email_subscribe": "unsubscribed", "_update_existing_only": True}
    assert (second["first_name"], second.get("email_subscribe", "unsubscribed")) == ("Ada", "unsubscribed")
    assert many.profiles()["c7"]["email_subscribe"] == "unsubscribed"
    assert many.verdicts() == {"sent": PEOPLE}
