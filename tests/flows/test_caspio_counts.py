"""A run counts what Caspio gives, against answers that are short, foreign, or tell a wrong time.

What arrived in Braze is held against the rows; a run that cannot know its rows ends with exit code 4, and the next one
makes up for it.
"""

from datetime import timedelta
from typing import Any

import pytest

from caspio_sync.delivery.sender import InlineSender
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import Shop
from tests.flows.crashes import around
from tests.flows.world import World

RECORDS = "/integrations/rest/v3/tables/Customers/records"
PEOPLE = 3000
AN_HOUR = 3600.0
EVERY = tuple(range(1, 100_000))


@pytest.fixture
def holed(world: World) -> World:
    """A table with holes between its keys, read in several batches."""
    world.people(PEOPLE)
    world.caspio.delete_rows("Customers", "PK_ID % 7 = 3 AND PK_ID < 2990")
    world.sync(world.SYNC + "batch_size: 1000\n")
    world.clock.advance(AN_HOUR)
    return world


def assert_all_arrived(world: World) -> None:
    keys = {row["CustomerNo"] for row in world.caspio.rows("Customers")}
    assert world.profiles().keys() == keys
    assert world.verdicts() == {"sent": len(keys)}


# Of the calls for records the first counts; the pages follow.
SHORT = [
    pytest.param(Fault(kind="short", path=RECORDS, nth=(2,), rows=0), id="the first page is empty"),
    pytest.param(Fault(kind="short", path=RECORDS, nth=(4,), rows=0), id="a later page is empty"),
    pytest.param(Fault(kind="short", path=RECORDS, nth=(3,), rows=400), id="a page is cut"),
    pytest.param(Fault(kind="short", path=RECORDS, nth=EVERY[1:], rows=500), id="a server gives 500 of 1,000"),
    pytest.param(Fault(kind="foreign", path=RECORDS, nth=(1,)), id="a stray {} for the count"),
    pytest.param(Fault(kind="foreign", path=RECORDS, nth=(3,), body='{"Result":null}'), id="a stray null for a page"),
    pytest.param(
        Fault(kind="foreign", path=RECORDS, nth=(2, 3), body='{"Result":[{"Sku":"a","PK_ID":1}]}'), id="another table"
    ),
]


@pytest.mark.parametrize("fault", SHORT)
def test_rows_that_an_answer_leaves_out_are_read_all_the_same(holed: World, fault: Fault) -> None:
    holed.break_caspio(fault)
    ended = holed.ended()
    assert (ended.code, ended.message) == (0, "")
    assert ended.report.counted == ended.report.read == len(holed.caspio.rows("Customers"))
    assert_all_arrived(holed)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(kind="short", path=RECORDS, nth=EVERY[3:], rows=0), "is not known to be the answer of that host itself"),
        (Fault(kind="foreign", path=RECORDS, nth=EVERY[2:]), "is not known to be the answer of that host itself"),
        (
            Fault(kind="foreign", path=RECORDS, nth=EVERY, body='{"Result":[{"row_count":3000,"high_key":null}]}'),
            "aggregate without low_key",
        ),
        (
            Fault(
                kind="foreign",
                path=RECORDS,
                nth=EVERY,
                body='{"Result":[{"row_count":3000,"low_key":null,"high_key":null}]}',
            ),
            "counts 3,000 rows, with PK_ID from None to None",
        ),
    ],
    ids=["empty from the third page on", "{} from the second page on", "no low_key", "null keys"],
)
def test_a_run_that_cannot_know_its_rows_fails_and_the_next_one_reads_them(
    holed: World, fault: Fault, said: str
) -> None:
    holed.break_caspio(fault)
    ended = holed.ended()
    assert ended.code == 4
    assert said in ended.message
    assert holed.watermark() is None
    holed.break_caspio()
    holed.clock.advance(AN_HOUR)
    assert holed.ended().code == 0
    assert len(holed.sent()) == len(holed.caspio.rows("Customers"))
    assert_all_arrived(holed)


def test_changes_that_a_short_page_left_out_are_still_read(holed: World) -> None:
    holed.run()
    holed.clock.advance(AN_HOUR)
    holed.caspio.update_rows("Customers", {"FirstName": "Edited"}, "PK_ID % 2 = 0")
    holed.clock.advance(600)
    holed.forget()
    holed.break_caspio(Fault(kind="short", path=RECORDS, nth=(2,), rows=0))
    edited = [row for row in holed.caspio.rows("Customers") if row["FirstName"] == "Edited"]
    report = holed.run()
    assert (report.mode, report.sent, len(holed.sent())) == ("incremental", len(edited), len(edited))


def test_rows_that_leave_and_join_the_condition_meanwhile_end_no_run(world: World) -> None:
    world.people(PEOPLE)
    world.caspio.update_rows("Customers", {"Newsletter": "no"}, "PK_ID % 3 = 0")
    world.sync(world.SYNC.replace("  cursor: ChangedAt\n", "  where: Newsletter = 'yes'\n") + "batch_size: 1000\n")
    app, calls = world.caspio.app, 0

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        if scope["type"] == "http" and scope["path"] == RECORDS:
            calls += 1
            world.caspio.update_rows("Customers", {"Newsletter": "yes"}, f"PK_ID = {calls * 3}")
            world.caspio.update_rows("Customers", {"Newsletter": "no"}, f"PK_ID = {PEOPLE - calls * 3 - 1}")
        await app(scope, receive, send)

    world.caspio.app = changing  # type: ignore[assignment]
    assert world.ended().code == 0
    world.caspio.app = app
    assert world.ended().code == 0
    assert world.profiles().keys() >= {
        r["CustomerNo"] for r in world.caspio.rows("Customers") if r["Newsletter"] == "yes"
    }


NO_DATE = Fault(kind="date", header="absent")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (NO_DATE, "tell no time"),
        (Fault(kind="date", seconds=AN_HOUR), "3,600 s ahead of"),
        (Fault(kind="date", seconds=-AN_HOUR), "3,599 s behind"),
        (Fault(kind="date", seconds=60), None),
    ],
    ids=["no Date", "Date ahead", "Date behind", "a minute"],
)
def test_no_edit_is_lost_to_a_date_that_is_wrong(holed: World, fault: Fault, told: str | None) -> None:
    holed.break_caspio(fault)
    first = holed.run()
    assert first.read == len(holed.caspio.rows("Customers"))
    assert any("Date header" in note for note in first.notes) is (told is not None)
    assert told is None or any(told in note for note in first.notes)
    watermark = holed.watermark()
    assert watermark is not None
    assert watermark <= holed.clock.now()
    holed.clock.advance(60)
    holed.caspio.update_rows("Customers", {"FirstName": "Edited"}, "PK_ID <= 40")
    holed.clock.advance(60)
    second = holed.run()
    edited = [row for row in holed.caspio.rows("Customers") if row["FirstName"] == "Edited"]
    assert (second.mode, second.sent) == ("incremental", len(edited))
    assert_all_arrived(holed)


def test_a_date_that_is_years_behind_sets_no_cursor_back(world: World) -> None:
    world.people(40)
    world.sync()
    world.run()
    world.clock.advance(AN_HOUR)
    world.run()
    before = world.watermark()
    world.break_caspio(Fault(kind="date", seconds=-10 * 365 * 24 * AN_HOUR))
    for name in ("Once", "Twice"):
        world.clock.advance(AN_HOUR)
        world.caspio.update_rows("Customers", {"FirstName": name}, "PK_ID <= 10")
        world.clock.advance(AN_HOUR)
        report = world.run()
        assert (report.mode, report.read, report.sent) == ("incremental", 10, 10)
        assert world.watermark() == before


def test_a_cursor_that_stands_in_the_future_reads_everything_and_is_set_anew(world: World) -> None:
    world.people(40)
    world.sync()
    world.run()
    with world.ledger() as ledger:  # as an earlier version left it, where the server's clock was ahead
        stored = ledger.cursor("customers")
        ledger.move_cursor(
            "customers", watermark=stored.watermark + timedelta(hours=5), where_digest=stored.where_digest
        )
    world.clock.advance(600)
    world.caspio.update_rows("Customers", {"FirstName": "Edited"}, "PK_ID <= 10")
    world.clock.advance(600)
    report = world.run()
    assert (report.mode, report.sent) == ("sweep", 10)
    assert any("its cursor stood in the future" in note for note in report.notes)
    assert world.watermark() <= world.clock.now()
    world.clock.advance(600)
    assert world.run().mode == "incremental"


def test_rows_without_a_verdict_leave_the_batch_open_and_the_cursor_where_it_was(
    holed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = InlineSender.send

    async def losing(self: InlineSender, requests: Any) -> Any:
        async for answer in sound(self, requests):
            if answer.number != 2:
                yield answer

    with monkeypatch.context() as patch:
        patch.setattr(InlineSender, "send", losing)
        ended = holed.ended()
    assert (ended.code, "got no verdict" in ended.message) == (4, True)
    assert holed.watermark() is None
    holed.clock.advance(60)
    again = holed.ended()
    assert again.code == 0
    assert again.report.accounted == again.report.read
    assert_all_arrived(holed)


def test_a_batch_that_got_lost_between_two_steps_ends_the_run(holed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def losing(step: Any) -> Any:
        async def map_rows(run: Any, batch: Any) -> None:
            await step(run, batch)
            run.report.read -= 1

        return map_rows

    with monkeypatch.context() as patch:
        around(patch, "map", losing)
        ended = holed.ended()
    assert (ended.code, "that Caspio gave were not looked at" in ended.message) == (4, True)
    assert holed.watermark() is None


def test_no_item_is_deleted_on_a_short_answer(shop: Shop) -> None:
    shop.open(1200)
    shop.run()
    shop.drop("p5")
    short = Fault(kind="short", path="/integrations/rest/v3/tables/Products/records", nth=EVERY[1:], rows=0)
    shop.world.break_caspio(short)
    ended = shop.ended()
    assert (ended.code, ended.report.deleted) == (4, 0)
    assert len(shop.items()) == 1200
    shop.world.break_caspio()
    assert shop.run().deleted == 1
    assert shop.items() == shop.expected()


def test_nobody_is_left_out_of_an_erasure_by_a_short_list(world: World) -> None:
    world.people(5)
    world.caspio.create_table("ErasureRequests", [{"Name": "CustomerNo", "Type": "STRING"}])
    world.sync(world.SYNC + "erasure:\n  table: ErasureRequests\n  key: CustomerNo\n")
    world.run()
    world.clock.advance(24 * AN_HOUR)
    world.caspio.insert_rows("ErasureRequests", [{"CustomerNo": "c2"}, {"CustomerNo": "c3"}])
    world.break_caspio(
        Fault(kind="short", path="/integrations/rest/v3/tables/ErasureRequests/records", nth=(2,), rows=0)
    )
    assert world.run(full=True).erased == 2
    assert world.profiles().keys() == {"c1", "c4", "c5"}
