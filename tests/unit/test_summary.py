"""The summary of a run: what an operations person reads in the UI."""

from datetime import UTC, datetime, timedelta

from caspio_sync.engine.summary import sparkline, state_message, summary_lines
from caspio_sync.ledger.run_record import Run
from caspio_sync.observe.freshness import Freshness
from caspio_sync.observe.report import CheckTotals, Reason, RunReport
from caspio_sync.spans import duration

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_report(**more: object) -> RunReport:
    values: dict[str, object] = {
        "run": "r9",
        "sync": "customers",
        "mode": "incremental",
        "state": "done",
        "started_at": NOW,
        "ended_at": NOW + timedelta(seconds=4),
        "read": 10,
        "verdicts": {"sent": 8, "quarantined": 2},
        "requests": 6,
        "seconds": {"send": 2.0, "moving": 4.0},
    }
    return RunReport.model_validate({**values, **more})


def a_run(number: int, *, sent: int, state: str = "done") -> Run:
    started = NOW - timedelta(minutes=number)
    report = {"verdicts": {"sent": sent}}
    ended = started + timedelta(seconds=number)
    return Run(f"r{number}", "customers", "profiles", "incremental", started, ended, state, 0, report, None)


def text(report: RunReport, *past: Run) -> str:
    return "\n".join(summary_lines(report, past))


def test_verdicts_come_with_their_meaning_and_reasons_with_commands() -> None:
    reasons = [Reason(verdict="quarantined", reason="email_format", rows=2, examples=["c7", "c9"])]
    told = text(a_report(reasons=reasons))
    assert "**Done.**" in told
    assert "| quarantined | 2 | set aside by our gate; it waits for a person |" in told
    assert "| quarantined | email_format | 2 | c7, c9 |" in told
    assert "`caspio-sync quarantine list customers`" in told
    assert "`caspio-sync why customers c7`" in told


def test_large_numbers_are_readable() -> None:
    reasons = [Reason(verdict="quarantined", reason="email_format", rows=1234, examples=["c7"])]
    checks = [
        CheckTotals(name="email_format", why="is no e-mail address", severity="critical", rows=98765, failed=1234)
    ]
    told = text(a_report(reasons=reasons, checks=checks, read=98765))
    assert "98,765 rows read, " in told
    assert "| quarantined | email_format | 1,234 | c7 |" in told
    assert "| email_format | critical | 1,234 | 98,765 | is no e-mail address |" in told


def test_the_gate_is_ranked_by_what_failed() -> None:
    checks = [
        CheckTotals(name="fine", why="it is", severity="critical", rows=9),
        CheckTotals(name="broken", why="it was", severity="critical", rows=9, failed=3),
    ]
    told = text(a_report(checks=checks))
    assert told.index("| broken |") < told.index("| fine |")


def test_requests_are_told_a_second() -> None:
    assert "| a second, while sending | 3.0 |" in text(a_report())


def test_a_miss_stands_at_the_top_and_in_the_state() -> None:
    late = Freshness(target_seconds=300, age_seconds=5, waited_seconds=900, read_up_to=NOW, missed=True)
    report = a_report(freshness=late)
    assert state_message(report) == "freshness missed: changes waited up to 15 min, the target is 5 min"
    told = text(report)
    assert told.index("Freshness missed") < told.index("| Rows |")
    assert "| every change is read up to | 2026-03-02 12:00:00 UTC |" in told
    assert state_message(a_report()) is None


def test_the_runs_before_are_drawn_oldest_first() -> None:
    told = text(a_report(), a_run(1, sent=0, state="failed"), a_run(2, sent=16))
    assert "## The last 3 runs" in told
    assert "`█▁▅`" in told  # 16, 0, 8
    assert "`.F.`" in told
    assert "| 0 | 16 |" in told


def test_without_a_past_there_is_no_chart() -> None:
    assert "The last" not in text(a_report())


def test_bars() -> None:
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([1, 2, 3, 4, 5, 6, 7]) == "▂▃▄▅▆▇█"
    assert sparkline([]) == ""


def test_a_span_is_told_in_its_largest_unit() -> None:
    assert [duration(seconds) for seconds in (None, 45, 300, 10_800, 864_000)] == [
        "0 s",
        "45 s",
        "5 min",
        "3 h",
        "10 days",
    ]
