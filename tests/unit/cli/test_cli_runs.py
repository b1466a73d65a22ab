"""`runs` and `show`: what runs did, told from the ledger alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.errors import ConfigurationError
from caspio_sync.observe.report import CheckTotals, Reason, RunReport
from tests.unit.cli.conftest import Shop


def report_of(run: str, at: datetime, **counts: Any) -> dict[str, Any]:
    """As a run leaves it in the ledger."""
    return RunReport(run=run, sync="customers", mode="incremental", started_at=at, **counts).model_dump(mode="json")


@pytest.fixture
def nights(shop: Shop) -> Shop:
    """Two days of runs: a good one, a blocked one, a killed one, one that nobody has ended, one under way elsewhere."""
    shop.write_sync()
    with shop.ledger() as ledger:
        for name in ("a", "b"):
            ledger.mapping_version("customers", name, ["email", "name"] if name == "a" else ["email", "loyalty"])
        for run, state, code, counts in (
            ("20260301T020000-aaaaaa", "done", 0, {"read": 4372, "new": 4372, "mapping_version": 1, "verdicts": {"sent": 4372}}),
            (
                "20260301T030000-bbbbbb", "blocked", 3,
                {
                    "read": 250, "changed": 250, "mapping_version": 2, "verdicts": {"sent": 50, "quarantined": 1200}, "held": {"rejected": 7},
                    "data_points": 1_234_567, "data_points_full": 2_000_000, "requests": 4, "caspio_calls": 9,
                    "reasons": [Reason(verdict="quarantined", reason="email_format | email: is no address [bold]x", rows=1200, examples=["C-1", "C-2"])],
                    "checks": [CheckTotals(name="email_format", why="Braze drops what is no address", severity="row", rows=1250, failed=1200),
                               CheckTotals(name="key_unique", why="one profile a key", severity="row", rows=1250)],
                    "changed_fields": {"loyalty": 250}, "drift": ["Phone is gone"], "notes": ["a note"], "error": "1,200 of 1,250 rows failed",
                },
            ),
        ):  # fmt: skip
            ledger.start_run(run=run, sync="customers", kind="profiles", mode="incremental", flow_run_id=f"flow {run}")
            shop.clock.advance(75)
            ledger.finish_run(run, state=state, exit_code=code, report=report_of(run, shop.clock.now(), **counts))
            shop.clock.advance(3600)
        ledger.start_run(run="20260302T020000-cccccc", sync="orders", kind="events", mode="sweep", pk_range=(1, 500))
        ledger.open_batch(run="20260302T020000-cccccc", number=1, low_pk=1, high_pk=9, rows=9)
        ledger.close_batch("20260302T020000-cccccc", 1, state="recorded")
        ledger.end_killed_runs("orders", but="x")
        shop.clock.advance(60)
        ledger.start_run(run="20260302T030000-dddddd", sync="customers", kind="profiles", mode="incremental")
        shop.clock.advance(60)
        ledger.start_run(run="20260302T040000-eeeeee", sync="orders", kind="events", mode="incremental")
        ledger.acquire_lease("orders", "run 20260302T040000-eeeeee (process 1 on elsewhere)")
        shop.clock.advance(30)
    return shop


def test_runs_are_listed_newest_first_with_how_they_ended(nights: Shop) -> None:
    found = [(each["run"][-6:], each["state"], each["exit_code"]) for each in nights.document("runs")]
    assert found == [
        ("eeeeee", "running", None),
        ("dddddd", "abandoned", None),
        ("cccccc", "killed", 137),
        ("bbbbbb", "blocked", 3),
        ("aaaaaa", "done", 0),
    ]


def test_runs_are_chosen(nights: Shop) -> None:
    def chosen(*options: str) -> list[str]:
        return [each["run"][-6:] for each in nights.document("runs", *options)]

    assert chosen("--failed") == ["dddddd", "cccccc", "bbbbbb"]
    assert chosen("customers") == ["dddddd", "bbbbbb", "aaaaaa"]
    assert chosen("customers", "--failed", "--limit", "1") == ["dddddd"]
    since = (nights.clock.now() - timedelta(seconds=200)).isoformat()
    assert chosen("--since", since) == ["eeeeee", "dddddd", "cccccc"]
    assert "dddddd" in nights.run("runs", "--since", since.replace("+00:00", "")).output
    assert nights.run("runs", "--since", "yesterday").exit_code == 2
    assert "no such run" in nights.run("runs", "--since", "2030-01-01").output


def test_a_line_fits_a_terminal_of_80_columns(nights: Shop) -> None:
    from caspio_sync.cli.main import app

    for arguments in (["runs"], ["show", "20260301T030000-bbbbbb"]):
        output = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}).output
        tables = [line for line in output.splitlines() if not line.startswith("  ")]
        assert max(map(len, tables)) <= 80, output
    output = CliRunner().invoke(app, ["runs"], env={"COLUMNS": "80"}).output
    line = next(each for each in output.splitlines() if "bbbbbb" in each)
    assert line.split() == ["20260301T030000-bbbbbb", "blocked,", "3", "75", "s", "250", "50", "1,207", "1,234,567"]
    line = next(each for each in output.splitlines() if "cccccc" in each)
    assert line.split()[-4:] == ["-"] * 4  # of a killed run nobody knows


def test_a_run_is_told(nights: Shop) -> None:
    output = nights.run("show", "20260301T030000-bbbbbb").output
    for said in (
        "blocked, exit code 3",
        "1,200 of 1,250 rows failed",
        "75 s",
        "read 250, new 0, changed 250, unchanged 0",
        "sent 50, quarantined 1,200",
        "rejected 7",
        "data points 1,234,567, data points saved 765,433, requests 4, caspio calls 9",
        "version 2, 1 in the run before: + loyalty, - name",
        "loyalty 250",
        "flow run flow 20260301T030000-bbbbbb",
        "is no address [bold]x",
        "C-1, C-2",
        "source: Phone is gone",
        "note: a note",
    ):
        assert said in output, said
    assert output.index("email_format  ") < output.index("key_unique")  # what failed most, first


def test_a_run_is_told_to_programs(nights: Shop) -> None:
    found = nights.document("show", "20260301T030000-bbbbbb")
    assert (found["state"], found["exit_code"], found["took_seconds"]) == ("blocked", 3, 75.0)
    assert found["mapping"] == {"version": 2, "before": 1, "added": ["loyalty"], "removed": ["name"]}
    assert found["counts"]["verdicts"] == {"sent": 50, "quarantined": 1200}
    assert (found["reasons"][0]["rows"], found["checks"][0]["failed"], found["data_points"]) == (1200, 1200, 1_234_567)
    first = nights.document("show", "20260301T020000-aaaaaa")["mapping"]
    assert first == {"version": 1, "before": None, "added": [], "removed": []}


def test_of_a_run_without_an_end_is_told_what_is_known(nights: Shop) -> None:
    killed = nights.run("show", "20260302T020000-cccccc").output
    assert "killed, exit code 137" in killed
    assert "9 in 1 recorded batches" in killed
    assert "PK_ID          1 to 500" in killed
    assert "not known" in killed
    abandoned = nights.run("show", "20260302T030000-dddddd").output
    assert "abandoned: its process ended without a word" in abandoned
    under_way = nights.run("show", "20260302T040000-eeeeee").output
    assert "running" in under_way
    assert "took           30 s" in under_way
    found = nights.document("show", "20260302T020000-cccccc")
    assert (found["recorded"], found["counts"], found["pk_range"]) == ({"batches": 1, "rows": 9}, None, [1, 500])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("20260301T030000-bbbbba", "did you mean 20260301T030000-bbbbbb"),
        ("20260302T0", "did you mean 20260302T040000-eeeeee, 20260302T030000-dddddd, 20260302T020000-cccccc?"),
        ("zzz", "`caspio-sync runs` lists them"),
    ],
)
def test_an_unknown_run_is_answered_by_close_ones(nights: Shop, given: str, said: str) -> None:
    result = nights.run("show", given)
    assert isinstance(result.exception, ConfigurationError)
    assert said in str(result.exception)


def test_where_nothing_has_run_that_is_said(shop: Shop) -> None:
    shop.write_sync()
    assert "no run" in shop.run("runs").output
    assert shop.document("runs") == []
    assert "the ledger knows none" in str(shop.run("show", "x").exception)
    assert "no sync of this name" in str(shop.run("runs", "custmers").exception)


def test_reports_of_any_version_and_shape_are_told(shop: Shop) -> None:
    """A report of an older version lacks what later ones count."""
    with shop.ledger() as ledger:
        empty = dict.fromkeys(("held", "verdicts", "reasons", "seconds", "checks"))
        reports: list[dict[str, Any]] = [{}, {"read": 3}, empty]
        for number, report in enumerate(reports):
            ledger.start_run(run=f"r{number}", sync="old", kind="profiles", mode="full")
            ledger.finish_run(f"r{number}", state="done", exit_code=0, report=report)
    assert len(shop.document("runs", "old")) == 3
    for number in range(3):
        assert "done, exit code 0" in shop.run("show", f"r{number}").output


def test_looking_makes_no_call(nights: Shop) -> None:
    calls = nights.caspio.calls
    nights.run("runs")
    nights.run("show", "20260301T030000-bbbbbb")
    assert (nights.caspio.calls, nights.braze.requests) == (calls, 0)
