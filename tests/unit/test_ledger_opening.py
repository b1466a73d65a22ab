"""Opening a ledger: made, migrated, shared, or refused with what to do."""

import sqlite3
import threading
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from caspio_sync.clock import SystemClock
from caspio_sync.errors import CaspioSyncError, ConfigurationError, TransientError
from caspio_sync.inbox import Inbox
from caspio_sync.ledger import migrations
from caspio_sync.ledger.engine import database_url
from caspio_sync.ledger.form import REVISION, VERSION_TABLE
from caspio_sync.ledger.schema import metadata
from caspio_sync.ledger.store import Ledger


def test_the_salt_is_made_once_a_ledger(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as first, Ledger.open(ledger_url) as second:
        assert first.salt == second.salt
        assert 0 <= first.salt < 2**64


def test_each_ledger_has_secrets_of_its_own(tmp_path: Path) -> None:
    ledgers = [Ledger.open(f"sqlite:///{tmp_path}/{number}.db") for number in range(3)]
    assert len({each.salt for each in ledgers}) == len({each.erasure_secret for each in ledgers}) == len(ledgers)
    for each in ledgers:
        each.close()


def test_the_migrations_make_the_tables_that_the_code_uses(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger, ledger.reading("compare") as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_the_known_version_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == REVISION


def test_a_ledger_of_a_newer_version_is_refused(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger, ledger.writing("age") as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
    with pytest.raises(ConfigurationError, match=r"version 0999.*newer caspio-sync"):
        Ledger.open(ledger_url)


def test_a_database_with_tables_of_others_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE run (id)")
    other.close()
    with pytest.raises(ConfigurationError, match=r"not a ledger's \(run\)"):
        Ledger.open(f"sqlite:///{tmp_path}/other.db")


def test_two_openers_at_once_make_one_ledger(ledger_url: str) -> None:
    salts: list[int] = []

    def open_it() -> None:
        with Ledger.open(ledger_url) as ledger:
            salts.append(ledger.salt)

    threads = [threading.Thread(target=open_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(salts) == 2
    assert len(set(salts)) == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ledger.db", "cannot be read"),
        ("mysql://host/db", "neither SQLite nor PostgreSQL"),
        ("postgresql+asyncpg://host/db", r"asks for the driver asyncpg.*Write postgresql://"),
        ("postgresql://user:p@ss:word@host:port/db", r"cannot be read.*%40"),
        ("sqlite:////proc/nowhere/ledger.db", "cannot be made"),
    ],
)
def test_an_unusable_url_is_refused_with_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Ledger.open(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary " * 100)
    with pytest.raises(ConfigurationError, match="not an SQLite database"):
        Ledger.open(f"sqlite:///{tmp_path}/notes.txt")


def test_a_server_out_of_reach_is_transient_and_its_password_is_not_shown() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        Ledger.open("postgresql://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value)


def test_a_ledger_locked_by_another_process_is_transient(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger.open(url).close()
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with Ledger.open(url, busy_timeout_seconds=0.01) as ledger:
            assert ledger.read_rows("customers", 1, 2).is_empty()
            with pytest.raises(TransientError, match=r"start a run in sqlite:.*locked by another process"):
                ledger.start_run(run="r", sync="customers", kind="profiles", mode="full")
    finally:
        other.close()


def test_a_full_disk_is_told_and_leaves_the_ledger_whole(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        with ledger.reading("measure") as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")
        with pytest.raises(CaspioSyncError, match="disk is full"):
            ledger.start_run(run="r" * 100_000, sync="customers", kind="profiles", mode="full")
        assert ledger.runs() == []


def test_a_ledger_in_memory_serves_several_threads() -> None:
    with Ledger.open("sqlite://") as ledger:
        ledger.suite_version("customers", "digest")
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(ledger.suite_version("customers", "digest")))
        thread.start()
        thread.join()
        assert seen == [1]
        assert ledger.claims("customers", pl.Series([], dtype=pl.Int64)).is_empty()


@pytest.mark.parametrize(
    "url",
    ["postgresql://u@h/d", "postgres://u@h/d", "postgresql+psycopg2://u@h/d", " Postgres://u@h/d ", "postgresql+psycopg://u@h/d"],
)  # fmt: skip
def test_every_usual_name_of_postgresql_is_psycopg(url: str) -> None:
    assert database_url(url).render_as_string() == "postgresql+psycopg://u@h/d"


@pytest.mark.parametrize("kind", [Ledger, Inbox])
def test_what_others_call_postgresql_opens(kind: type[Ledger | Inbox], postgresql_ledger: str) -> None:
    kind.open(postgresql_ledger.replace("postgresql://", "postgres://"), clock=SystemClock()).close()


def test_no_statement_is_kept_prepared_on_postgresql(postgresql_ledger: str) -> None:
    """A pooler that hands connections out by the transaction gives them to others meanwhile."""
    with Ledger.open(postgresql_ledger) as ledger:
        for _ in range(20):  # psycopg prepares what it meets a sixth time
            ledger.runs()
            ledger.start_run(run="r", sync="customers", kind="profiles", mode="full")
        with ledger.reading("look") as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one() == 0


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("kind", [Ledger, Inbox])
def test_a_file_that_was_deleted_while_it_was_open_is_told_at_the_next_commit(
    kind: type[Ledger | Inbox], replaced: bool, tmp_path: Path
) -> None:
    file = tmp_path / "state.db"
    with kind.open(f"sqlite:///{file}", clock=SystemClock()) as opened:
        _write_to(opened)
        file.rename(tmp_path / "gone.db")
        if replaced:
            kind.open(f"sqlite:///{file}", clock=SystemClock()).close()
        with pytest.raises(CaspioSyncError, match="deleted or replaced while it was in use"):
            _write_to(opened)


def test_a_file_that_is_deleted_in_the_middle_of_a_commit_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with (
        Ledger.open(f"sqlite:///{file}") as ledger,
        pytest.raises(CaspioSyncError, match="Could not record outcomes"),
        ledger.writing("record outcomes"),
    ):
        file.unlink()


def _write_to(opened: Ledger | Inbox) -> None:
    if isinstance(opened, Ledger):
        opened.start_run(run="r", sync="customers", kind="profiles", mode="full")
    else:
        opened.add([])
