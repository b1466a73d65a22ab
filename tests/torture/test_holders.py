"""One writer: runs that meet, pause, or die while they hold the lease; and a ledger that does not do what it should."""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.torture.arena import Arena, Ended, copied
from tests.torture.watched import Watched
from tests.torture.watched_items import WatchedItems
from tests.torture.watched_profiles import WatchedProfiles

pytestmark = pytest.mark.long

Play = Callable[[Awaitable[Any]], Any]


@pytest.fixture
def watched(arena: Arena, template: Path, tmp_path: Path) -> WatchedProfiles:
    """A shop with forty sound customers."""
    made = WatchedProfiles(arena, tmp_path, copied(template, tmp_path), random.Random(1))
    for _ in range(40):
        made.shop.add()
    made.clock.offset += 4000
    return made


@pytest.fixture
def watched_items(arena: Arena, template: Path, tmp_path: Path) -> WatchedItems:
    """A shop with forty sound products, all in the catalog, of which five are gone from Caspio since."""
    made = WatchedItems(arena, tmp_path, copied(template, tmp_path), random.Random(1))
    made.shop.described.cursor = False
    made.describe()
    for _ in range(40):
        made.shop.add()
    made.clock.offset += 4000
    return made


async def finished(watched: Watched, **more: Any) -> Ended:
    """A run that is left alone, and what it left behind."""
    watched.clock.offset += 4000
    ended = await watched.run(watched.order(**more))
    assert ended.status == 0, ended.message
    watched.look_at_everything(shared=False)
    assert watched.faults == []
    return ended


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def stored(watched: Watched, what: str) -> list[Any]:
    connection = sqlite3.connect(watched.folder / "ledger.db")
    try:
        return connection.execute(what).fetchall()
    finally:
        connection.close()


def test_a_dead_run_is_recorded_as_killed_and_the_next_takes_over_at_once(
    watched: WatchedProfiles, runner: asyncio.Runner
) -> None:
    async def play() -> Any:
        watched.moments["track:done", 3] = watched.kill
        assert (await watched.run(watched.order())).killed
        return await watched.run(watched.order())

    ended = runner.run(play())
    assert ended.status == 0
    (first, *_), (second, *_) = stored(watched, "SELECT id, state FROM run ORDER BY started_at")
    assert stored(watched, "SELECT id, state, exit_code FROM run ORDER BY started_at") == [
        (first, "killed", 137),
        (second, "done", 0),
    ]
    notes = " ".join(ended.report["notes"])
    assert f"run {first} was killed" in notes
    assert "took the lease over" in notes
    assert watched.faults == []


def test_a_second_run_is_refused_or_waits(watched: WatchedProfiles, runner: asyncio.Runner) -> None:
    async def play() -> None:
        order = watched.order(at="Ledger.record_sent:before", count=2, stop="STOP")
        first = await watched.arena.start(order)
        await until(lambda: is_stopped(first))
        refused = await watched.run(watched.order())
        assert refused.status == 2
        (holder,) = stored(watched, "SELECT holder FROM lease")[0]
        assert str(first) in holder
        assert holder in refused.message
        patient = watched.order(options={"wait": True})
        second = await watched.arena.start(patient)
        await asyncio.sleep(1.0)
        assert state_of(second) in "SR"
        os.kill(first, signal.SIGCONT)
        assert (await watched.arena.ended(first, order)).status == 0
        assert (await watched.arena.ended(second, patient)).status == 0
        assert watched.faults == []
        await finished(watched)

    runner.run(play())


@pytest.mark.parametrize("where", ["sending.send_batch:before", "BrazeClient.track:after", "Ledger.record_sent:before"])
def test_a_run_that_was_paused_neither_sends_nor_writes_once_another_took_over(
    watched: WatchedProfiles, runner: asyncio.Runner, where: str
) -> None:
    async def play() -> None:
        short = {"lease_seconds": 1.2, "batch_rows": 40, "objects_per_request": 1}
        order = watched.order(at=where, stop="STOP", **short)
        paused = await watched.arena.start(order)
        await until(lambda: is_stopped(paused))
        await asyncio.sleep(short["lease_seconds"])  # by the machine's own time, which is what a sender goes by
        watched.clock.offset += 600
        for pk in list(watched.shop.rows):
            watched.shop.change(pk, FirstName="Eve", Newsletter="no")
        ended = await watched.run(watched.order(**short))
        assert ended.status == 0, ended.message
        requests = watched.shop.braze.requests
        rows = stored(watched, "SELECT * FROM row")
        # The ledger is slow to say that the lease is lost; what counts is what the run does until it knows.
        lock = sqlite3.connect(watched.folder / "ledger.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        os.kill(paused, signal.SIGCONT)
        await asyncio.sleep(1.0)
        lock.execute("ROLLBACK")
        lock.close()
        lost = await watched.arena.ended(paused, order)
        assert lost.status == 2, lost.message
        assert "lease" in lost.message
        # What stood between the look at the lease and the socket may still leave: no more than the connections.
        assert watched.shop.braze.requests - requests <= order.connections
        assert stored(watched, "SELECT * FROM row") == rows
        assert [state for (state,) in stored(watched, "SELECT state FROM run ORDER BY started_at")][1:] == ["done"]

    runner.run(play())


@pytest.mark.parametrize(
    "where", ["sending.send_batch:before", "CatalogClient.write_items:after", "vanished.delete_vanished:before"]
)
def test_a_paused_run_neither_writes_nor_deletes_items_once_another_took_over(
    watched_items: WatchedItems, runner: asyncio.Runner, where: str
) -> None:
    watched, shop = watched_items, watched_items.shop

    async def play() -> None:
        assert (await watched.run(watched.order())).status == 0
        gone = [shop.rows[pk]["Code"] for pk in sorted(shop.rows)[:5]]
        for pk in sorted(shop.rows)[:5]:
            shop.drop(pk)
        for pk in list(shop.rows):
            shop.change(pk, Name="Teapot")
        watched.forget_edited()
        short = {"lease_seconds": 1.2, "batch_rows": 40, "objects_per_request": 1}
        order = watched.order(at=where, stop="STOP", **short)
        paused = await watched.arena.start(order)
        await until(lambda: is_stopped(paused), 120.0)
        await asyncio.sleep(short["lease_seconds"])
        watched.clock.offset += 600
        for code in gone:  # they are back, in new rows
            shop.add(Code=code, Name="Saucer")
        for pk in list(shop.rows):
            shop.change(pk, Price=20.0)
        watched.forget_edited()
        # Everything anew: without a cursor field, a run that goes on from the lost one leaves what changed to the next.
        ended = await watched.run(watched.order(options={"full": True}, **short))
        assert ended.status == 0, ended.message
        written = watched.written
        os.kill(paused, signal.SIGCONT)
        lost = await watched.arena.ended(paused, order)
        assert lost.status == 2, lost.message
        assert "lease" in lost.message
        # What stood between the look at the lease and the socket may still leave: no more than the connections.
        assert watched.written - written <= order.connections
        assert set(gone) <= set(shop.items())
        watched.clock.offset += 4000
        assert (await watched.run(watched.order(options={"full": True}))).status == 0
        watched.look_at_everything(shared=False)
        assert shop.faults_of_all() == []
        assert watched.faults == []

    runner.run(play())


@pytest.mark.parametrize("limited", [False, True])
def test_the_sender_process_does_not_outlive_a_killed_run(
    watched: WatchedProfiles, runner: asyncio.Runner, limited: bool
) -> None:
    """`limited`: it waits for four minutes, as long as it has patience, with requests handed over."""
    from caspio_sync.sandbox.faults import Fault, Faults, FaultyApp

    children: list[int] = []

    def kill() -> None:
        told = Path(f"/proc/{watched.pid}/task/{watched.pid}/children").read_text().split()
        children.extend(int(pid) for pid in told)
        watched.kill()

    async def play() -> None:
        app = watched.shop.braze.app
        faults = [Fault(kind="latency", path="/users/track", seconds=0.05)]
        if limited:
            faults.append(Fault(kind="refuse", path="/users/track", nth=tuple(range(6, 400)), seconds=240))
        watched.shop.braze.app = FaultyApp(app, Faults(faults=tuple(faults)))  # type: ignore[method-assign]
        later = asyncio.get_running_loop().call_later
        watched.moments["track:done", 6] = (lambda: later(0.4, kill)) if limited else kill
        order = watched.order(sender="process", objects_per_request=1, batch_rows=40)
        ended = await watched.run(order)
        assert ended.killed, (ended.status, ended.message)
        assert len(children) == 1
        requests = watched.shop.braze.requests
        await until(lambda: state_of(children[0]) in {"gone", "Z"}, 2.0)
        await asyncio.sleep(0.3)
        assert watched.shop.braze.requests - requests <= order.connections
        watched.shop.braze.app = app  # type: ignore[method-assign]
        await finished(watched, sender="process")

    runner.run(play())


def test_a_killed_verification_goes_on_and_what_it_took_back_is_repaired(
    watched: WatchedProfiles, runner: asyncio.Runner
) -> None:
    """Each stretch is an export; one with a drift is looked at twice, the second time under the lease."""

    async def drift() -> None:
        headers = {"Authorization": "Bearer sandbox-key"}
        transport = httpx.ASGITransport(watched.shop.braze.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
            item = {"external_id": "c15", "_update_existing_only": True, "first_name": "Edited"}
            await client.post("/users/track", json={"attributes": [item]})

    async def play() -> None:
        assert (await watched.run(watched.order())).status == 0
        await drift()
        watched.acknowledged.discard("c15")
        watched.clock.offset += 4000
        watched.moments["track:done", 3] = watched.kill  # at the second look at the second stretch
        assert (await watched.run(watched.order(verify=True))).killed
        assert stored(watched, "SELECT done_pk, ended_at FROM verification") == [(10, None)]
        ((holder,),) = stored(watched, "SELECT holder FROM lease")
        assert holder.startswith("verification")
        ended = await watched.run(watched.order(verify=True))
        assert ended.status == 0, ended.message
        assert watched.seen["track:comes"] == 4  # the first stretch was not looked at again
        report = ended.report
        assert (report["rows"], report["equal"], report["differing"], report["cleared"]) == (40, 39, 1, 1)
        assert all("c15: " in fault for fault in watched.faults)  # the drift itself was noticed
        watched.faults.clear()
        watched.acknowledged.discard("c15")
        await finished(watched, options={"full": True})

    runner.run(play())


def test_while_the_ledger_is_locked_little_is_sent_and_then_all(
    watched: WatchedProfiles, runner: asyncio.Runner
) -> None:
    """What is sent and not committed is what a kill repeats: it stays bounded however slow the ledger is."""
    taken: list[int] = []

    async def play() -> None:
        lock = sqlite3.connect(watched.folder / "ledger.db", isolation_level=None, timeout=10)

        def hold() -> None:
            lock.execute("BEGIN IMMEDIATE")
            taken.append(watched.shop.braze.requests)
            asyncio.get_running_loop().call_later(1.5, release)

        def release() -> None:
            taken.append(watched.shop.braze.requests)
            lock.execute("ROLLBACK")

        for _ in range(80):
            watched.shop.add()
        watched.clock.offset += 4000
        watched.moments["track:done", 6] = hold
        order = watched.order(objects_per_request=1, batch_rows=120)
        ended = await watched.run(order)
        lock.close()
        assert ended.status == 0, ended.message
        waiting = 5 * order.commit_requests
        assert 0 < taken[1] - taken[0] <= 2 * waiting + 3 * order.connections
        watched.look_at_everything(shared=False)
        assert watched.faults == []

    runner.run(play())


def test_a_full_disk_ends_the_run_and_loses_nothing(watched: WatchedProfiles, runner: asyncio.Runner) -> None:
    async def play() -> None:
        size = (watched.folder / "ledger.db").stat().st_size
        ended = await watched.run(watched.order(file_bytes=size + 60_000, objects_per_request=1))
        assert ended.status == 4
        assert "disk" in ended.message
        assert watched.shop.braze.requests > 0
        assert watched.faults == []
        await finished(watched)

    runner.run(play())


def test_a_ledger_of_a_newer_version_is_left_alone(watched: WatchedProfiles, runner: asyncio.Runner) -> None:
    with sqlite3.connect(watched.folder / "ledger.db") as ledger:
        ledger.execute("UPDATE ledger_version SET version_num = '0999'")
    ledger.close()
    order = watched.order()

    async def play() -> Any:
        return await watched.arena.ended(await watched.arena.start(order), order)

    ended = runner.run(play())
    assert ended.status == 2
    assert "newer" in ended.message
    assert watched.shop.braze.requests == 0


def test_a_clock_that_was_set_back_keeps_neither_lease_nor_cursor_from_their_work(
    watched: WatchedProfiles, runner: asyncio.Runner
) -> None:
    async def play() -> None:
        watched.moments["track:done", 2] = watched.kill
        assert (await watched.run(watched.order())).killed
        back = watched.clock.offset - 7200
        assert (await watched.run(watched.order(offset=back))).status == 0
        watched.clock.offset += 300
        watched.edit()
        watched.clock.offset += 300
        ended = await watched.run(watched.order(offset=back))
        assert ended.report["mode"] == "incremental"
        watched.look_at_everything(shared=False)
        assert watched.faults == []

    runner.run(play())
