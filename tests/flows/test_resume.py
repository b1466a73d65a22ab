"""A sweep that was killed or failed: the next run goes on after the unbroken prefix, and nothing is overlooked there."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import sqlalchemy as sa

from caspio_sync.engine.selection import Selection, choose
from caspio_sync.ledger.store import Ledger
from caspio_sync.settings import current_settings
from caspio_sync.verification import verifying
from tests.flows.killing import KilledError, killed_after
from tests.flows.world import World

RECORDS = "/integrations/rest/v3/tables/Customers/records"
PEOPLE = 4000
BATCH = 1000
AN_HOUR = 3600.0


@pytest.fixture
def many(world: World) -> World:
    world.people(PEOPLE)
    write_sync(world)
    world.clock.advance(AN_HOUR)
    return world


def write_sync(world: World, change: Callable[[str], str] = str) -> None:
    world.sync(change(world.SYNC) + f"batch_size: {BATCH}\n")


def without_cursor(text: str) -> str:
    return text.replace("  cursor: ChangedAt\n", "")


def dead_after(world: World, batches: int, **options: Any) -> datetime:
    """A run that dies when so many batches are recorded, ten minutes before now; when it began."""
    began: datetime = world.clock.now()
    with killed_after(batches):
        world.run(**options)
    world.clock.advance(600)
    return began


def conditions_of(world: World, run: Callable[[], Any]) -> list[str]:
    """`q.where` of every page that a run asks for."""
    app, asked = world.caspio.app, []

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        query = parse_qs(scope["query_string"].decode()) if scope["type"] == "http" else {}
        if "q.limit" in query and scope["path"] == RECORDS:
            asked.append(query["q.where"][0])
        await app(scope, receive, send)

    world.caspio.app = watching  # type: ignore[assignment]
    try:
        run()
    finally:
        world.caspio.app = app
    return asked


def gone_on(report: Any) -> list[str]:
    return [note for note in report.notes if note.startswith("goes on after")]


def change(world: World, pk: int, **values: Any) -> None:
    world.caspio.update_rows("Customers", values, f"PK_ID = {pk}")


def first_name(world: World, number: int) -> Any:
    return world.profiles()[f"c{number}"]["first_name"]


def test_a_killed_sweep_goes_on_after_the_recorded_batches(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[bool] = []

    def watched(*args: Any) -> Selection:
        chosen = choose(*args)
        whole.append(chosen.whole)
        return chosen

    monkeypatch.setattr("caspio_sync.engine.opening.choose", watched)
    began = dead_after(many, 2)
    reports: list[Any] = []
    pages = conditions_of(many, lambda: reports.append(many.run()))
    (report,) = reports
    assert (report.mode, report.read, report.expected) == ("sweep", 2 * BATCH, 2 * BATCH)
    assert len(pages) == 2  # none of them for what changed: there is nothing
    assert all(f"PK_ID>{2 * BATCH}" in page for page in pages)
    with many.ledger() as ledger:
        last, killed = ledger.runs("customers")
        cursor = ledger.cursor("customers")
    assert killed.state == "killed"
    assert gone_on(report) == [f"goes on after PK_ID 2,000, where run {killed.id} was killed"]
    assert last.state == "done"
    assert len(many.sent()) == len(many.profiles()) == PEOPLE
    # The next run looks back to the start of the first read: nothing that changed since is overlooked.
    assert cursor.watermark == cursor.full_sweep_at == began.replace(microsecond=0)
    assert whole == [True, False]
    many.clock.advance(600)
    again = many.run()
    assert (again.mode, again.read) == ("incremental", 0)


@pytest.mark.parametrize("step", ["forget_sweep", "try_recording"])
def test_a_run_that_is_broken_off_while_it_begins_is_written_down(many: World, step: str) -> None:
    with killed_after(0, step, silently=False):
        many.run()
    with many.ledger() as ledger:
        assert [each.state for each in ledger.runs("customers")] == ["interrupted"]
    assert many.run().sent == PEOPLE


def test_a_failed_sweep_goes_on_too(many: World) -> None:
    with killed_after(2, silently=False):
        many.run()
    report = many.run()
    assert gone_on(report)[0].endswith("was interrupted")
    assert report.read == 2 * BATCH
    assert len(many.profiles()) == PEOPLE


def test_what_changed_below_is_read_again_and_what_is_gone_or_new_does_no_harm(many: World) -> None:
    dead_after(many, 2)
    change(many, 5, FirstName="Changed")
    change(many, 2001, FirstName="Later")
    many.caspio.delete_rows("Customers", "PK_ID = 7")
    many.caspio.insert_rows("Customers", [many.person(PEOPLE + 1)])
    report = many.run()
    assert report.read == 2 * BATCH + 1 + 1  # the rest, the new row, the changed one
    assert [first_name(many, number) for number in (5, 2001, PEOPLE + 1)] == ["Changed", "Later", f"Name{PEOPLE + 1}"]
    assert len(many.profiles()) == PEOPLE + 1
    # What changed while it went on, below where it began, is the next run's.
    many.clock.advance(600)
    change(many, 6, FirstName="Changed")
    assert many.run().sent == 1
    assert first_name(many, 6) == "Changed"


def test_a_row_that_changed_during_the_killed_run_is_read_again(many: World) -> None:
    app, pages = many.caspio.app, 0

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal pages
        if scope["type"] == "http" and b"q.limit" in scope["query_string"]:
            pages += 1
            if pages == 3:  # the first page has been read
                many.clock.advance(1)
                change(many, 5, FirstName="Changed")
        await app(scope, receive, send)

    many.caspio.app = changing  # type: ignore[assignment]
    dead_after(many, 2)
    many.caspio.app = app
    assert first_name(many, 5) == "Name5"
    assert many.run().sent >= 1
    assert first_name(many, 5) == "Changed"


def test_a_chain_of_killed_runs_goes_on_from_all_they_read(many: World) -> None:
    began = dead_after(many, 1)
    change(many, 5, FirstName="Changed")
    dead_after(many, 1)  # it dies before it comes to the changed row
    change(many, 1005, FirstName="Changed")
    with killed_after(0, "begin_sweep"):  # and one dies before its first batch
        many.run()
    report = many.run()
    assert gone_on(report)[0].startswith("goes on after PK_ID 2,000")
    assert report.read == 2 * BATCH + 2
    assert (first_name(many, 5), first_name(many, 1005)) == ("Changed", "Changed")
    assert len(many.profiles()) == PEOPLE
    assert many.watermark() == began.replace(microsecond=0)


def test_one_killed_among_the_changed_rows_has_read_all_the_rest(many: World) -> None:
    dead_after(many, 2)
    change(many, 5, FirstName="Changed")
    dead_after(many, 2)
    report = many.run()
    assert gone_on(report)[0].startswith("goes on after PK_ID 4,000")
    assert report.read == 1
    assert first_name(many, 5) == "Changed"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("  spend: Spend\n", ""),
        lambda text: text.replace("  cursor: ChangedAt\n", "  cursor: ChangedAt\n  where: \"Newsletter = 'yes'\"\n"),
        lambda text: text + "gate: {max_quarantined_rows: 5}\n",
    ],
    ids=["mapping", "where", "gate"],
)
def test_under_another_definition_everything_is_read(many: World, edit: Callable[[str], str]) -> None:
    dead_after(many, 2)
    write_sync(many, edit)
    report = many.run()
    assert (gone_on(report), report.read) == ([], PEOPLE)


@pytest.mark.parametrize("options", [{"full": True}, {"resend": True}, {"baseline": True}])
def test_who_asks_for_everything_gets_everything(many: World, options: dict[str, Any]) -> None:
    dead_after(many, 2)
    report = many.run(**options)
    assert (gone_on(report), report.read) == ([], PEOPLE)


def blocked(world: World) -> None:
    world.caspio.update_rows("Customers", {"Email": "none"}, "PK_ID > 3500 AND PK_ID < 3700")
    assert world.ended().code == 3
    world.caspio.update_rows("Customers", {"Email": "one@example.com"}, "PK_ID > 3500 AND PK_ID < 3700")


@pytest.mark.parametrize(
    "between",
    [
        lambda world: world.run(keys=("c5",)),
        lambda world: dead_after(world, 3, baseline=True),
        lambda world: world.clock.advance(25 * AN_HOUR),
        blocked,
    ],
    ids=["other rows", "baseline", "a day", "blocked"],
)
def test_nothing_is_skipped_after(many: World, between: Callable[[Any], object]) -> None:
    dead_after(many, 2)
    between(many)
    report = many.run()
    assert (gone_on(report), report.read) == ([], PEOPLE)


def test_a_plan_shows_the_whole(many: World) -> None:
    dead_after(many, 2)
    plan = many.plan()
    assert plan.report.read == PEOPLE
    assert gone_on(plan.report) == []
    assert gone_on(many.run())  # and leaves the prefix to the run


def test_without_a_cursor_field_what_changed_below_waits_for_the_run_after(many: World) -> None:
    write_sync(many, without_cursor)
    dead_after(many, 2)
    change(many, 5, FirstName="Changed")
    assert many.run().read == 2 * BATCH
    assert first_name(many, 5) == "Name5"
    many.clock.advance(600)
    assert many.run().read == PEOPLE
    assert first_name(many, 5) == "Changed"
    dead_after(many, 2)
    many.clock.advance(AN_HOUR)  # too long ago to be skipped unseen
    assert many.run().read == PEOPLE


def test_a_lost_answer_below_is_read_again(many: World) -> None:
    write_sync(many, without_cursor)
    dead_after(many, 2)
    with many.ledger() as ledger, ledger.writing("lose an answer") as connection:
        connection.execute(sa.text("UPDATE row SET verdict = 'unknown' WHERE source_pk = 5"))
    many.forget()
    report = many.run()
    assert report.read == 2 * BATCH + 1
    assert "c5" in {sent["external_id"] for sent in many.sent()}
    assert many.verdicts() == {"sent": PEOPLE}


def test_what_a_verification_took_back_is_met_by_the_next_run(many: World) -> None:
    async def drift() -> None:
        headers = {"Authorization": "Bearer sandbox-key"}
        transport = httpx.ASGITransport(many.braze.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
            item = {"external_id": "c5", "_update_existing_only": True, "first_name": "Edited"}
            await client.post("/users/track", json={"attributes": [item]})

    write_sync(many, without_cursor)
    dead_after(many, 2)
    asyncio.run(drift())
    assert first_name(many, 5) == "Edited"
    asyncio.run(verifying.verify("customers", settings=current_settings(), sample=None))
    many.run()
    assert first_name(many, 5) == "Name5"


def test_a_no_is_told_again_where_the_killed_run_may_have_sent_a_yes(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(many, 2500, Newsletter="no")
    many.run()
    many.clock.advance(AN_HOUR)
    change(many, 2500, Newsletter="yes")
    write_sync(many, lambda text: text.replace("  spend: Spend\n", "  spent: Spend\n"))

    def recorded(number: int) -> int:
        with many.ledger() as ledger:
            return sum(each.state == "recorded" for each in ledger.batches(ledger.runs("customers")[number].id))

    real = Ledger.record_sent

    def dying(self: Ledger, sending: Any, accepted: Any) -> Any:
        if 2500 in sending.rows["source_pk"]:
            raise KilledError
        return real(self, sending, accepted)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_sent", dying)
        with pytest.raises(KilledError):
            many.run()
    assert recorded(0) == 2
    assert many.profiles()["c2500"]["email_subscribe"] == "subscribed"
    many.clock.advance(600)
    change(many, 2500, Newsletter="no")
    report = many.run()
    assert gone_on(report)
    assert many.profiles()["c2500"]["email_subscribe"] == "unsubscribed"
