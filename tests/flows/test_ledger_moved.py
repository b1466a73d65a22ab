"""`caspio-sync ledger`: a backup that can be put back, and a move to another database that loses and repeats nothing."""

import sqlite3
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.engagement.events import Post
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.inbox import Inbox
from caspio_sync.ledger import copying
from caspio_sync.ledger.copying import MovingLedger, copy_table
from caspio_sync.ledger.schema import metadata
from caspio_sync.ledger.store import Ledger
from tests.flows.world import World


def told(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["ledger", *arguments, "--json"])
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return orjson.loads(done.stdout)


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["ledger", *arguments])
    assert isinstance(done.exception, CaspioSyncError), done.output
    return str(done.exception)


@pytest.fixture
def sent(world: World) -> World:
    """Three people in Braze, one set aside."""
    world.people(3)
    world.caspio.update_rows("Customers", {"Email": "nobody at all"}, "CustomerNo='c3'")
    world.sync()
    world.run()
    return world


@pytest.fixture(params=["sqlite", "postgresql"])
def goal(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/another place/ledger.db"
    return str(request.getfixturevalue("postgresql_ledger"))


def test_a_moved_ledger_sends_nothing_again(sent: World, goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sent.verdicts()
    with sent.ledger() as ledger:
        salt, outcomes = ledger.salt, ledger.runs()
    copied = {each["table"]: each["rows"] for each in told("copy", "--to", goal)["tables"]}
    assert copied["row"] == sum(before.values())
    assert copied["outcome"] > 0
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", goal)
    with sent.ledger() as ledger:
        assert (ledger.salt, ledger.runs()) == (salt, outcomes)
    assert sent.verdicts() == before
    sent.forget()
    assert sent.run(full=True).sent == 0
    assert sent.sent() == []
    sent.caspio.update_rows("Customers", {"FirstName": "Zoe"}, "CustomerNo='c1'")
    sent.clock.advance(3600)
    assert sent.run().verdicts == {"sent": 1}  # numbers go on after those that were copied


def test_the_old_ledger_is_closed_until_it_is_taken_back(sent: World, tmp_path: Path) -> None:
    with sent.ledger() as open_before:
        told("copy", "--to", f"sqlite:///{tmp_path}/new.db")
        with pytest.raises(ConfigurationError, match="moved to another database"):
            open_before.acquire_lease("customers", "a process of before")
    with pytest.raises(ConfigurationError, match=r"CASPIO_SYNC_LEDGER_URL.*ledger reopen"):
        sent.ledger()
    assert sent.ended().code == 2
    assert "--unused" in refused("reopen")
    assert CliRunner().invoke(app, ["ledger", "reopen", "--unused"]).stdout == "The ledger takes writes again.\n"
    assert sent.run().sent == 0
    assert CliRunner().invoke(app, ["ledger", "reopen"]).stdout == "The ledger was not closed.\n"


def test_taking_the_old_one_back_closes_its_copy(sent: World, goal: str) -> None:
    told("copy", "--to", goal)
    assert "takes writes again" in CliRunner().invoke(app, ["ledger", "reopen", "--copy", goal]).stdout
    with pytest.raises(ConfigurationError, match="moved to another database"):
        Ledger.open(goal, clock=sent.clock)
    assert sent.run().sent == 0


def test_a_copy_that_was_used_is_not_left(sent: World, goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told("copy", "--to", goal)
    with monkeypatch.context() as patch:
        patch.setenv("CASPIO_SYNC_LEDGER_URL", goal)
        sent.caspio.update_rows("Customers", {"FirstName": "Zoe"}, "CustomerNo='c1'")
        sent.clock.advance(3600)
        assert sent.run().sent == 1
    assert "written into since" in refused("reopen", "--copy", goal)
    assert sent.ended().code == 2  # the old one stays closed
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", goal)
    assert sent.run().sent == 0  # and the copy goes on


def test_posts_in_a_copy_keep_it_in_use(sent: World, postgresql_ledger: str) -> None:
    post = Post(source="currents", count=1, lines=b'{"name": "one"}\n', malformed=())
    with Inbox.open(f"sqlite:///{sent.folder}/home/inbox.db", clock=sent.clock) as inbox:
        inbox.add([post])
    told("copy", "--to", postgresql_ledger)
    with Inbox.open(postgresql_ledger, clock=sent.clock) as moved:
        moved.add([post])
        assert "table inbox_post" in refused("reopen", "--copy", postgresql_ledger)
        moved.add([post])
        assert moved.waiting(0).posts == 3


def test_an_unfinished_copy_is_left_behind(sent: World, goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, goal, "DELETE FROM row WHERE source_pk > 1")
    assert "takes writes again" in CliRunner().invoke(app, ["ledger", "reopen", "--copy", goal]).stdout
    assert sent.run().sent == 0
    with pytest.raises(ConfigurationError, match="not all of the ledger"):
        Ledger.open(goal)


@pytest.mark.parametrize("named", ["nothing", "another ledger"])
def test_what_is_no_copy_does_not_open_the_old_one(sent: World, tmp_path: Path, named: str) -> None:
    told("copy", "--to", f"sqlite:///{tmp_path}/new.db")
    if named == "another ledger":
        with Ledger.open(f"sqlite:///{tmp_path}/other.db", clock=sent.clock):
            pass
    assert ("is not there" if named == "nothing" else "no copy of this") in refused(
        "reopen", "--copy", f"sqlite:///{tmp_path}/other.db"
    )
    assert (tmp_path / "other.db").exists() == (named == "another ledger")
    assert sent.ended().code == 2


def interrupt(monkeypatch: pytest.MonkeyPatch, url: str, then: str) -> None:
    """Let a copy break off behind the rows, and have somebody do this to them in the target."""

    def cut(source: sa.Connection, target: sa.Engine, table: sa.Table) -> Any:
        copied = copy_table(source, target, table)
        if table.name == "row":
            with target.connect() as connection:
                connection.execution_options(ledger_writes=True)
                with connection.begin():
                    connection.execute(sa.text(then))
            raise CaspioSyncError("the line went dead")
        return copied

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy_table", cut)
        assert "line went dead" in refused("copy", "--to", url)


def test_an_interrupted_copy_is_gone_on_with(sent: World, goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_ROWS_AT_ONCE", 2)
    interrupt(monkeypatch, goal, "DELETE FROM row WHERE source_pk > 1")
    with pytest.raises(ConfigurationError, match="not all of the ledger"):
        Ledger.open(goal)
    with pytest.raises(ConfigurationError, match="moved"):
        sent.ledger()
    assert {each["table"]: each["rows"] for each in told("copy", "--to", goal)["tables"]}["row"] == 3
    with Ledger.open(goal, clock=sent.clock) as ledger:
        assert ledger.runs()[0].sync == "customers"


def test_a_copy_that_differs_is_not_used(sent: World, goal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, goal, "UPDATE row SET verdict = 'sent'")
    assert "table row has 3 rows here and 3 in the copy, or they differ" in refused("copy", "--to", goal)
    with pytest.raises(ConfigurationError, match="not all of the ledger"):
        Ledger.open(goal)


def test_nothing_is_copied_while_a_run_is_under_way(sent: World, goal: str) -> None:
    with sent.ledger() as ledger:
        lease = ledger.acquire_lease("customers", "run 7f3a on host web1, process 4711")
        assert "customers: run 7f3a on host web1" in refused("copy", "--to", goal)
        ledger.release_lease(lease)
    assert sent.run().sent == 0  # the old one goes on


@pytest.mark.parametrize("other", ["itself", "another ledger"])
def test_a_database_that_is_in_use_is_refused(sent: World, tmp_path: Path, other: str) -> None:
    url = f"sqlite:///{sent.ledger_file if other == 'itself' else tmp_path / 'other.db'}"
    if other == "another ledger":
        with Ledger.open(url, clock=sent.clock) as ledger:
            ledger.start_run(run="1", sync="customers", kind="profiles", mode="full")
    assert ("ledger itself" if other == "itself" else "another ledger already") in refused("copy", "--to", url)
    assert sent.run().sent == 0


def test_posts_that_wait_move_along_and_later_ones_are_refused(
    sent: World, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Inbox.open(f"sqlite:///{sent.folder}/home/inbox.db", clock=sent.clock) as inbox:
        post = Post(source="currents", count=1, lines=b'{"name": "one"}\n', malformed=())
        inbox.add([post])
        assert {each["table"]: each["rows"] for each in told("copy", "--to", postgresql_ledger)["tables"]}[
            "inbox_post"
        ] == 1
        with pytest.raises(CaspioSyncError, match="moved to another database"):
            inbox.add([post])
    with Inbox.open(postgresql_ledger, clock=sent.clock) as moved:
        assert [each.lines for part in moved.posts(0) for each in part] == [post.lines]
        moved.add([post])
        assert moved.waiting(0).posts == 2


def test_a_backup_can_be_put_back_while_a_run_holds_the_ledger(sent: World, tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    with sent.ledger() as ledger:
        ledger.acquire_lease("customers", "somebody")
        assert told("backup", str(file))["files"] == {str(file): file.stat().st_size}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".kept*")) + list(tmp_path.glob("kept.db-*"))
    before = sent.verdicts()
    for each in sent.ledger_file.parent.glob("ledger.db*"):
        each.unlink()
    file.rename(sent.ledger_file)
    assert sent.verdicts() == before
    sent.clock.advance(3600)
    assert sent.run(full=True).sent == 0


def test_a_backup_of_postgresql_is_a_ledger(
    world: World, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", postgresql_ledger)
    world.people(2)
    world.sync()
    world.run()
    told("backup", str(tmp_path / "kept.db"))
    with Ledger.open(f"sqlite:///{tmp_path}/kept.db", clock=world.clock) as kept, world.ledger() as ledger:
        assert kept.runs() == ledger.runs()
        assert kept.salt == ledger.salt
    assert world.run().sent == 0


def test_no_file_is_written_over(sent: World, tmp_path: Path) -> None:
    (tmp_path / "kept.db").write_text("mine")
    assert "is there already" in refused("backup", str(tmp_path / "kept.db"))
    assert (tmp_path / "kept.db").read_text() == "mine"
    assert "no folder" in refused("backup", str(tmp_path / "nowhere" / "kept.db"))


def test_every_table_is_closed_and_opened(tmp_path: Path) -> None:
    with MovingLedger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.close_to_writers()
        with sqlite3.connect(tmp_path / "ledger.db") as bare:
            closed = {name for (name,) in bare.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")}
            assert closed == set(metadata.tables)
        assert ledger.reopen()
        with sqlite3.connect(tmp_path / "ledger.db") as bare:
            assert bare.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (0,)
