"""The page: every figure by a query computed apart, who may look, and what is never shown."""

import json
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.workspace import Workspace
from caspio_sync.mapping.sync_file import load_sync
from tests.unit.cli.conftest import EVIL, SYNC, Shop, ended
from tests.unit.cli.dashboard_visitor import LOCAL, TOKEN, Visitor, figures, table, text_of

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def database(months: Shop) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(months.folder / "home" / "ledger.db")) as connection:
        yield connection


def reports(database: sqlite3.Connection, sync: str, days: int, now: datetime) -> list[dict[str, Any]]:
    """The reports of the runs that ended in the last days, today included; computed apart from the page."""
    first = datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=days - 1)
    found = database.execute(
        "SELECT ended_at, report, exit_code FROM run WHERE sync = ? AND ended_at IS NOT NULL", (sync,)
    )
    return [
        {**json.loads(report), "exit_code": code}
        for at, report, code in found
        if datetime.fromtimestamp(at / 1e6, UTC) >= first
    ]


def test_every_figure_of_the_overview_is_what_the_ledger_holds(months: Shop, database: sqlite3.Connection) -> None:
    page = Visitor().get("/").text
    card = page[page.index('id="sync-customers"') : page.index('id="sync-quiet"')]
    verdicts = dict(database.execute("SELECT verdict, COUNT(*) FROM row WHERE sync = 'customers' GROUP BY verdict"))
    assert figures(card, "rows") == [f"{verdict} {rows}" for verdict, rows in sorted(verdicts.items())] != []
    month = reports(database, "customers", 30, months.clock.now())
    assert len(month) == 10
    for name, label in (
        ("sent", "sent"),
        ("opt_outs", "opt-outs"),
        ("data_points", "data points"),
        ("caspio_calls", "Caspio calls"),
    ):
        assert figures(card, name) == [f"{label} {sum(each[name] for each in month):,}"]
    assert figures(card, "runs") == [f"runs {len(month)}, 1 not with exit code 0"]
    assert figures(card, "held") == ["email_format 1", f"refused {EVIL} 1"]
    used = dict(database.execute("SELECT window_start, used FROM budget"))
    assert sorted(used.values()) == [5, 17, 1_000]
    assert (figures(page, "calls_today"), figures(page, "calls_30_days")) == (["17"], ["22"])
    assert "it has not run yet caspio-sync plan quiet" in text_of(page)


def test_what_needs_a_person_comes_first_with_its_remedy(months: Shop) -> None:
    months.clock.advance(60)
    with months.ledger() as ledger:
        ended(months, ledger, "r-end", code=3, error="250 of 250 rows failed")
        ledger.remember_workspace("customers", Workspace("other.caspio.com", "braze", "rest.eu", "x"), instead_of=None)
        ledger.remember_source(
            "customers", {"drift": ["Phone is gone"], "stopped": [], "fields": [], "source": "table Customers"}
        )
        ledger.move_cursor("customers", watermark=months.clock.now() - timedelta(hours=3), where_digest="x")
        ledger.open_incident("customers", "share")
    page = text_of(Visitor().get("/").text)
    for said in (
        "its last run ended as blocked: 250 of 250 rows failed caspio-sync show r-end",
        "late: changes are read up to 3 h ago, the promise is 5 min caspio-sync doctor",
        "runs are refused and say why caspio-sync check customers",
        "its source has changed: Phone is gone caspio-sync plan customers",
        "many rows are not taken, since 2026-",
        "1 rows failed our gate caspio-sync quarantine list customers",
        "1 rows were refused where they went caspio-sync quarantine list customers --verdict rejected",
    ):
        assert said in page
    assert page.index("customers late") < page.index("quiet no promise")
    assert Visitor().get("/").text.count('class="card urgent"') == 1


@pytest.mark.parametrize("days", [30, 90])
def test_every_figure_of_a_sync_is_what_the_ledger_holds(months: Shop, database: sqlite3.Connection, days: int) -> None:
    page = Visitor().get(f"/sync/customers?days={days}").text
    found = reports(database, "customers", days, months.clock.now())
    shown = dict(re.findall(r"<dt>([^<]+)</dt><dd>([\d,]+)", page[page.index('class="row"') :]))
    expected = {
        "sent": sum(each["sent"] for each in found),
        "quarantined": sum(each["verdicts"].get("quarantined", 0) for each in found),
        "rejected": sum(each["verdicts"].get("rejected", 0) for each in found),
        "opt-outs": sum(each["opt_outs"] for each in found),
        "data points": sum(each["data_points"] for each in found),
        "Caspio calls": sum(each["caspio_calls"] for each in found),
        "runs": len(found),
    }
    assert {name: shown[name] for name in expected} == {name: f"{value:,}" for name, value in expected.items()}
    series = json.loads(page[page.index('id="series">') + 12 : page.index("</script>", page.index('id="series">'))])
    assert len(series) == days
    assert sum(each["sent"] for each in series) == expected["sent"]
    assert [each["day"] for each in series] == sorted({each["day"] for each in series})
    rows = table(page, "day-table")
    assert [row[2] for row in reversed(rows)] == [f"{each['sent']:,}" for each in series]
    runs = table(page, "run-table")
    assert len(runs) == 25
    assert runs[1][:1] + runs[1][2:] == ["r-last", "blocked, 3", "75 s", "250", "0", "250", "0"]
    assert table(page, "held-table")[0][:3] == ["quarantined", "email_format", "1"]
    mapping = {each[3]: each for each in table(page, "mapping-table")}
    assert list(mapping) == ["external_id (the key)", "first_name", "email", "spend", "cursor (tells what changed)"]
    assert mapping["first_name"][0] == "FirstName"
    assert mapping["first_name"][5].startswith("2026-05-01")
    assert mapping["spend"][5] == "-"


def test_a_command_that_is_copied_is_one_that_the_command_line_takes(months: Shop) -> None:
    page = Visitor().get("/sync/customers").text
    commands = [text_of(each) for each in re.findall(r'data-copy="([^"]*)"', page)]
    assert commands[0] == "caspio-sync quarantine release customers --reason email_format"
    done = months.run(*shlex.split(commands[0])[1:])
    assert "1 rows were to be released" in done.output, done.output
    name, *rest = shlex.split(commands[1])
    assert (name, rest[-2:]) == ("caspio-sync", ["--reason", f"refused {EVIL}"])


def test_a_run_is_shown_with_its_gate(months: Shop) -> None:
    page = Visitor().get("/run/r-last").text
    shown = text_of(page)
    for said in (
        "blocked, exit code 3",
        "250 of 250 rows failed",
        "took 75 s",
        "What is no address is dropped there",
        "quarantined 250",
    ):
        assert said in shown
    assert table(page, "gate-table") == [
        ["email_format", "critical", "250", "250", "What is no address is dropped there"]
    ]


def test_nothing_of_the_ledger_is_markup_and_no_key_is_on_a_page(months: Shop) -> None:
    visitor = Visitor()
    for path in ("/", "/sync/customers", "/run/r-last"):
        page = visitor.get(path).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        for personal in ("ada@example.com", "A1", "B2"):
            assert personal not in page, path


@pytest.mark.parametrize(
    "path", ["/sync/nobody", "/sync/customers.yaml", "/run/r99", "/run/%2e%2e", "/nowhere", "/static/../pages.py"]
)
def test_what_is_not_there_is_said_so(months: Shop, path: str) -> None:
    assert Visitor().get(path).status_code == 404


def test_days_that_nobody_offers_are_thirty(months: Shop) -> None:
    for asked in ("", "?days=0", "?days=-1", "?days=10000000000", "?days=x", "?days=30&days=90"):
        assert "The last 30 days" in Visitor().get(f"/sync/customers{asked}").text or "90" in asked


def test_a_broken_sync_file_is_shown_with_what_is_wrong(months: Shop) -> None:
    months.write_sync(SYNC + "fieldz: {}\n")
    page = text_of(Visitor().get("/sync/customers").text)
    assert "fieldz" in page
    months.write_sync(SYNC)
    (months.folder / "syncs" / "customers.yaml").unlink()
    assert "its sync file is gone" in text_of(Visitor().get("/sync/customers").text)


@pytest.mark.parametrize("name", sorted(each.stem for each in EXAMPLES.glob("*.yaml")))
def test_every_kind_of_sync_has_its_page(months: Shop, name: str) -> None:
    months.write_sync((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"), name=name)
    page = Visitor().get(f"/sync/{name}").text
    rows = table(page, "mapping-table")
    definition = load_sync(months.folder / "syncs" / f"{name}.yaml")
    shown = " ".join(row[0] for row in rows)
    assert rows[0][0] == definition.identity.source_field
    back = definition.columns_back()
    assert {row[3] for row in rows} >= set(back or definition.fields)
    assert all(field in shown for field in ([] if back else definition.roles()) if field != "None"), name


def test_a_new_day_and_a_purged_run_are_seen(months: Shop, database: sqlite3.Connection) -> None:
    visitor = Visitor()

    def sent() -> list[str]:
        return figures(visitor.get("/").text, "sent")[:1]

    before = sent()
    with months.ledger() as ledger:
        ended(months, ledger, "more", verdicts={"sent": 1_000_000})
    assert sent() != before
    months.clock.advance(86_400 * 2)
    now = months.clock.now()
    assert sent() == [f"sent {sum(each['sent'] for each in reports(database, 'customers', 30, now)):,}"]
    database.execute("DELETE FROM run WHERE id = 'more'")
    database.commit()
    assert sent() == [f"sent {sum(each['sent'] for each in reports(database, 'customers', 30, now)):,}"]
    assert "1,000" not in sent()[0]


def test_rows_are_counted_again_once_anything_was_written(months: Shop, database: sqlite3.Connection) -> None:
    visitor = Visitor()
    for _ in range(50):
        database.execute(
            "UPDATE row SET verdict = iif(verdict = 'sent', 'rejected', 'sent') WHERE sync = 'customers' AND source_pk = 1"
        )
        database.commit()
        expected = dict(database.execute("SELECT verdict, COUNT(*) FROM row GROUP BY verdict"))
        page = visitor.get("/sync/customers").text
        assert figures(page, "rows") == [f"{verdict} {rows}" for verdict, rows in sorted(expected.items())]
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("DELETE FROM row")
    database.commit()
    assert figures(visitor.get("/sync/customers").text, "rows") == []


def test_a_ledger_in_postgresql_is_shown_alike(
    shop: Shop, postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    for url in (None, postgresql_ledger):
        if url is not None:
            monkeypatch.setenv("CASPIO_SYNC_LEDGER_URL", url)
        shop.write_sync()
        with shop.ledger() as ledger:
            ended(shop, ledger, "r1", verdicts={"sent": 3, "quarantined": 1}, data_points=9, caspio_calls=2)
            ledger.take_calls("caspio.test", shop.clock.now().replace(hour=0, minute=0, second=0, microsecond=0), 17)
            ledger.pause("customers", reason="a price")
        shop.record({"A1": ("sent", None), "B2": ("quarantined", "email_format | email: is no address")}, run="r2")
        visitor = Visitor()
        names = ("rows", "sent", "data_points", "held", "runs", "calls_today")
        told = {name: figures(visitor.get("/").text, name) for name in names}
        page = visitor.get("/sync/customers").text
        assert visitor.get("/run/r1").status_code == 200
        pages.append((told, table(page, "held-table")[0][:3], "paused" in page, len(table(page, "run-table"))))
    assert pages[0] == pages[1]
    assert pages[0][0]["rows"] == ["quarantined 1", "sent 1"]


# The report, and the command.


def test_the_report_is_one_file_that_needs_no_other(months: Shop) -> None:
    file = months.folder / "syncs.html"
    assert months.run("report", "--html", str(file)).exit_code == 0
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import|data-copy|hx-", page)
    for personal in ("ada@example.com", "A1", "B2"):
        assert personal not in page
    overview = Visitor().get("/").text
    for name in (
        "rows",
        "sent",
        "opt_outs",
        "data_points",
        "caspio_calls",
        "runs",
        "held",
        "calls_today",
        "calls_30_days",
    ):
        assert figures(page, name) == figures(overview, name) != []
    assert months.run("report", "--html", "-").output.startswith("<!doctype html>")
    assert isinstance(
        months.run("report", "--html", str(months.folder / "no" / "x.html")).exception, ConfigurationError
    )


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--host", "0.0.0.0"], TOKEN, "reached from other machines"),
        (["--host", "::"], None, "reached from other machines"),
        (["--url", "https://sync.company.example"], None, "CASPIO_SYNC_UI_TOKEN is not set"),
        (["--url", "http://sync.company.example"], TOKEN, "begins with http://"),
        (["--url", "sync.company.example"], TOKEN, "no address of a server"),
        (["--url", "https://sync.company.example/page"], TOKEN, "no address of a server"),
        (["--url", "https://me:secret@sync.company.example"], TOKEN, "no address of a server"),
        ([], "short", "CASPIO_SYNC_UI_TOKEN"),
    ],
)
def test_a_page_that_others_could_read_is_not_opened(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, arguments: list[str], token: str | None, said: str
) -> None:
    if token is not None:
        monkeypatch.setenv("CASPIO_SYNC_UI_TOKEN", token)
    found = shop.run("ui", "--port", "0", *arguments).exception
    assert isinstance(found, ConfigurationError)
    assert said in str(found)
    assert "secret" not in str(found) or "me:" not in str(found)


def test_a_bug_in_a_page_quotes_nobody(
    months: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor()

    def broken() -> str:
        raise ValueError("ada@example.com")

    monkeypatch.setattr(visitor.pages, "overview", broken)
    answer = visitor.get("/")
    assert answer.status_code == 500
    assert "ada@example.com" not in answer.text + caplog.text
    assert "ValueError" in caplog.text
    assert visitor.base == LOCAL
