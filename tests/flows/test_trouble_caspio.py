"""Caspio fails, changes and vanishes while it is read, in virtual time: no row is lost, and none is read for ever.

Sections are those of the reference page on Caspio.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caspio_sync.sandbox.caspio.behaviour import CaspioBehaviour
from caspio_sync.sandbox.caspio.emulator import CaspioSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.world import World
from tests.virtual_clock import VirtualClock

RECORDS = "/integrations/rest/v3/tables/Customers/records"
ANY = "/integrations/rest"
PEOPLE = 3000
AN_HOUR = 3600.0


@pytest.fixture
def many(world: World) -> World:
    world.people(PEOPLE)
    world.sync(world.SYNC + "batch_size: 1000\n")
    world.clock.advance(AN_HOUR)
    return world


def assert_as_in_caspio(world: World) -> None:
    """Each profile as its row is now, one verdict a row."""
    rows = {row["CustomerNo"]: row for row in world.caspio.rows("Customers")}
    profiles = world.profiles()
    assert {key: (held["first_name"], held["email"]) for key, held in profiles.items() if key in rows} == {
        key: (row["FirstName"], row["Email"]) for key, row in rows.items()
    }
    assert world.verdicts() == {"sent": len(profiles)}


def while_reading(world: World, page: int, change: Callable[[], object]) -> None:
    """Make a change just before the n-th page of the next run is answered."""
    app, pages = world.caspio.app, 0

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal pages
        if scope["type"] == "http" and scope["path"] == RECORDS and b"q.limit" in scope["query_string"]:
            pages += 1
            if pages == page:
                change()
        await app(scope, receive, send)

    world.caspio.app = changing  # type: ignore[assignment]


def calls_of(world: World, run: Callable[[], object]) -> int:
    before = world.caspio.calls
    run()
    return int(world.caspio.calls - before)


@pytest.mark.parametrize("body", [None, '{"Message":"Authorization has been denied for this request."}'])
def test_a_token_that_ends_mid_run_is_renewed(many: World, body: str | None) -> None:
    """Section 1.2: 401, its body open; one retry on a new token."""
    many.break_caspio(Fault(kind="expired_token", path=RECORDS, nth=(3,), body=body))
    ended = many.ended()
    assert (ended.code, ended.report.read, ended.report.sent) == (0, PEOPLE, PEOPLE)
    assert_as_in_caspio(many)


def test_all_tokens_revoked_in_the_middle_of_a_parallel_read_are_renewed_once(many: World) -> None:
    tokens = many.caspio.app.tokens
    while_reading(many, 2, tokens.expire)
    report = many.run()
    assert (report.read, report.sent) == (PEOPLE, PEOPLE)
    assert_as_in_caspio(many)


def test_tokens_of_two_seconds_last_for_a_slow_read(many: World) -> None:
    """Section 1.2: a token is asked for again before it ends."""
    sandbox = CaspioSandbox(CaspioBehaviour(token_seconds=2), clock=many.clock)
    sandbox.create_table("Customers", many.CUSTOMERS)
    sandbox.insert_rows("Customers", [many.person(number) for number in range(1, PEOPLE + 1)])
    many.caspio.close()
    many.caspio = sandbox
    many.break_caspio(Fault(kind="latency", path=RECORDS, seconds=0.5))
    ended = many.ended()
    assert (ended.code, ended.report.sent) == (0, PEOPLE)
    assert_as_in_caspio(many)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", path=RECORDS, status=500, every=2),
        Fault(kind="refuse", path=RECORDS, every=2, header="absent", body='{"Code":"api-calls-rate"}'),
        Fault(kind="refuse", path=RECORDS, every=3, header="retry-after", seconds=7),
        Fault(kind="truncate", path=RECORDS, every=2),
        Fault(kind="reset_before", path=RECORDS, every=2),
        Fault(kind="reset_after", path=RECORDS, every=2),
        Fault(
            kind="slow", path=RECORDS, every=3, seconds=61
        ),  # no answer: a call has 60 s in all, and the step another try
        Fault(kind="slow", path=RECORDS, every=2, seconds=20),
        Fault(
            kind="status", path=ANY, status=503, for_seconds=25
        ),  # with the longest jitter still within a call's 60 s
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status if fault.kind == 'status' else fault.seconds}",
)
def test_a_page_that_fails_is_asked_for_again_and_no_row_is_read_twice(many: World, fault: Fault) -> None:
    """Sections 4.1 and 4.2: 429 `api-calls-rate`, 500: retry later."""
    many.break_caspio(fault)
    ended = many.ended()
    assert (ended.code, ended.report.read, ended.report.sent) == (0, PEOPLE, PEOPLE)
    many.break_caspio()
    assert len(many.sent()) == PEOPLE
    assert_as_in_caspio(many)


def test_an_hour_without_caspio_ends_the_run_clearly_and_the_next_one_completes(many: World) -> None:
    many.break_caspio(Fault(kind="status", path=RECORDS, status=500, nth=tuple(range(3, 100_000))))
    ended = many.ended()
    assert ended.code == 4
    assert "500 from GET" in ended.message
    assert many.watermark() is None
    sent = len(many.sent())
    assert sent < PEOPLE
    many.break_caspio()
    many.clock.advance(AN_HOUR)
    again = many.ended()
    assert (again.code, again.report.sent, again.report.unchanged) == (0, PEOPLE - sent, sent)
    assert len(many.sent()) == PEOPLE
    assert_as_in_caspio(many)


def test_rows_edited_while_they_are_read_arrive_now_or_with_the_next_run(many: World) -> None:
    def edit() -> None:
        many.clock.advance(1)
        many.caspio.update_rows("Customers", {"FirstName": "Edited"}, "PK_ID % 7 = 0")

    while_reading(many, 2, edit)
    assert many.ended().code == 0
    many.clock.advance(60)
    assert many.ended().code == 0
    assert_as_in_caspio(many)


def test_rows_deleted_while_they_are_read_cost_no_other_row(many: World) -> None:
    """Section 3.2: pages by the key, never by offset: what vanishes moves nothing else."""
    while_reading(many, 2, lambda: many.caspio.delete_rows("Customers", "PK_ID % 5 = 0 AND PK_ID < 2900"))
    assert many.ended().code == 0
    assert_as_in_caspio(many)


def test_rows_inserted_while_others_are_read_arrive_with_the_next_run(many: World) -> None:
    more = [many.person(number) for number in range(PEOPLE + 1, PEOPLE + 101)]
    while_reading(many, 2, lambda: many.caspio.insert_rows("Customers", more))
    assert many.ended().code == 0
    many.clock.advance(60)
    assert many.ended().code == 0
    assert len(many.profiles()) == PEOPLE + 100
    assert_as_in_caspio(many)


def test_an_import_that_stamps_everything_in_one_second_is_read_once(world: World) -> None:
    """Section 7, and the design: the watermark is a run's start, never the largest value seen."""
    world.people(10_000)
    world.sync()
    world.run()
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"FirstName": "Imported"}, "PK_ID > 0")
    world.clock.advance(1)
    world.run()
    runs = []
    for _ in range(5):
        world.clock.advance(60)
        runs.append((calls_of(world, world.run), world.braze.requests))
    # Token, fields, count; the pages once more within the overlap of two minutes, and then no more.
    assert [calls for calls, _ in runs[3:]] == [3, 3]
    assert sum(calls for calls, _ in runs) <= 5 * 3 + 3 * 12
    assert runs[0][1] == runs[-1][1]
    assert_as_in_caspio(world)


@pytest.mark.parametrize("seconds", [30, 100])
def test_a_row_committed_late_below_the_cursor_is_found_by_the_overlap(many: World, seconds: int) -> None:
    """A transaction that stamped its rows before the run and committed them after it."""
    many.run()
    before = many.clock.now()
    many.clock.advance(60)
    many.run()
    late = VirtualClock(before + timedelta(seconds=60 - seconds))
    committed_late(many, late, 9001)
    many.clock.advance(1)
    assert many.run().sent == 1
    assert "c9001" in many.profiles()
    assert_as_in_caspio(many)


def test_a_row_committed_later_than_the_overlap_is_found_by_the_full_sweep(many: World) -> None:
    many.run()
    before = many.clock.now()
    many.clock.advance(600)
    many.run()
    committed_late(many, VirtualClock(before), 9002)
    many.clock.advance(60)
    assert many.run().sent == 0
    assert many.run(full=True).sent == 1
    assert_as_in_caspio(many)


def committed_late(world: World, stamped: VirtualClock, number: int) -> None:
    """Insert a row whose timestamp is that of another clock."""
    account = world.caspio.account
    present, account.clock = account.clock, stamped
    try:
        world.caspio.insert_rows("Customers", [world.person(number)])
    finally:
        account.clock = present


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("GMT Standard Time", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("GMT Standard Time", datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("Pacific Standard Time", datetime(2026, 3, 8, 10, tzinfo=UTC)),
        ("Pacific Standard Time", datetime(2026, 11, 1, 9, tzinfo=UTC)),
    ],
    ids=lambda value: f"{value:%b%d}" if isinstance(value, datetime) else value.split()[0],
)
def test_every_edit_around_a_change_of_the_clock_arrives(world: World, zone: str, around: datetime) -> None:
    """Section 2.4: Timestamps are wall-clock readings in the field's own zone, by Windows id."""
    world.clock.advance((around - world.clock.now()).total_seconds() - 7200)
    fields = [{**each, **({"TimeZone": zone} if each["Name"] == "ChangedAt" else {})} for each in world.CUSTOMERS]
    world.customers([world.person(number) for number in range(1, 41)], fields)
    world.sync()
    world.run()
    for quarter in range(1, 9):
        world.clock.advance(30 * 60 - 7)
        world.caspio.update_rows("Customers", {"FirstName": f"At{quarter}"}, f"PK_ID = {quarter}")
        world.clock.advance(7)
        report = world.run()
        assert report.mode == "incremental"
        assert report.sent == 1, quarter
        assert_as_in_caspio(world)
    world.clock.advance(AN_HOUR)
    assert world.run().read <= 8
