"""A run for people who read no logs, as Markdown: what became of the rows, why, how fresh it is there, the runs before.

Keys of rows, never their values.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from caspio_sync.engine.kind import kind_named
from caspio_sync.ledger.run_record import Run
from caspio_sync.observe.freshness import Freshness
from caspio_sync.observe.report import RunReport
from caspio_sync.schemas import Verdict
from caspio_sync.spans import duration

_BARS = "▁▂▃▄▅▆▇█"
_MEANS = {
    "sent": "{title} took it",
    "quarantined": "set aside by our gate; it waits for a person",
    "rejected": "{title} refused it; it waits for a person",
    "blocked": "it lacks a required consent, or the person was erased",
    "superseded": "a newer version of the row was read before this one left",
    "unknown": "no answer that is known to be {title}'s said what became of it; {lost}",
}
_STATES = {
    "done": "Done",
    "blocked": "Blocked by the gate: nothing of the batch was sent, opt-outs apart",
    "failed": "Failed: the next run goes on where this one stood",
    "interrupted": "Interrupted: the next run goes on where this one stood",
    "running": "Under way",
}


def percent_moved(report: RunReport) -> float:
    """Share of the rows to read that were read and recorded, in percent."""
    return 100.0 if not report.expected else min(100.0, 100.0 * report.read / report.expected)


def headline(report: RunReport) -> str:
    """The run in one line."""
    held = sum(report.held.values())
    return (
        f"{report.read:,} rows read, {report.new:,} new, {report.changed:,} changed, {report.unchanged:,} unchanged, "
        f"{report.sent:,} sent, {report.verdicts.get('quarantined', 0):,} quarantined, "
        f"{report.verdicts.get('rejected', 0):,} rejected by {report.destination}, {held:,} held from before; "
        f"{report.requests:,} requests, " + kind_named(report.kind).words.headline(report)
    )


def state_message(report: RunReport) -> str | None:
    """What the run's final state says besides its name; None where there is nothing to say."""
    freshness = report.freshness
    if freshness is None or not freshness.missed:
        return None
    oldest, target = duration(freshness.oldest_seconds), duration(freshness.target_seconds)
    return f"freshness missed: changes waited up to {oldest}, the target is {target}"


def summary_lines(report: RunReport, past: Sequence[Run] = ()) -> Iterator[str]:
    """The run as Markdown.

    Args:
        report: the run.
        past: the runs of this sync before it, newest first.
    """
    yield f"# {report.sync}: {report.state}"
    yield ""
    yield f"**{_STATES[report.state]}.** Run {report.run}, {report.mode}, begun {_moment(report.started_at)}."
    yield ""
    if report.error:
        yield f"> {report.error}"
        yield ""
    if message := state_message(report):
        yield f"> **{message[0].upper()}{message[1:]}.**"
        yield f"> `caspio-sync status {report.sync}` says whether runs fail, take long, or are too seldom."
        yield ""
    yield headline(report) + "."
    yield ""
    yield from _rows(report)
    yield from _not_sent(report)
    if report.freshness is not None:
        yield from _freshness(report.freshness, report.destination)
    yield from _gate(report)
    yield from _traffic(report)
    yield from (f"- schema: {change}" for change in report.schema_changes)
    if report.stretched:
        yield f"- Caspio's daily budget: {report.stretched}"
    yield from (f"- source: {line}" for line in report.drift)
    yield from (f"- {line}" for line in (report.writeback.lines() if report.writeback else ()))
    yield from (f"- {note}" for note in report.notes)
    yield ""
    yield from _history(report, past)


def _rows(report: RunReport) -> Iterator[str]:
    lost = kind_named(report.kind).words.lost
    means = {verdict: text.format(title=report.destination, lost=lost) for verdict, text in _MEANS.items()}
    yield from table(
        ("Rows", "Count", "What it means"),
        [
            ("read", report.read, f"from Caspio, which counted {report.counted:,}"),
            ("new", report.new, f"of them; {report.destination} has not had these yet"),
            ("changed", report.changed, "of them, since they were last sent"),
            ("unchanged", report.unchanged, f"{report.destination} holds this version; nothing was sent"),
            *((f"held from before: {verdict}", rows, "not looked at again") for verdict, rows in report.held.items()),
            *((verdict, rows, means.get(verdict, "")) for verdict, rows in report.verdicts.items()),
            kind_named(report.kind).words.own(report),
        ],
    )


def _not_sent(report: RunReport) -> Iterator[str]:
    if not report.reasons:
        return
    yield "## Not sent"
    yield ""
    yield from table(
        ("Verdict", "Reason", "Rows", "For example"),
        [(each.verdict, each.reason, each.rows, ", ".join(each.examples)) for each in report.reasons],
    )
    example = next((key for each in report.reasons for key in each.examples), "KEY")
    yield f"All of them: `caspio-sync quarantine list {report.sync}`. "
    yield f"The story of one: `caspio-sync why {report.sync} {example}`."
    yield ""


def _freshness(freshness: Freshness, title: str) -> Iterator[str]:
    yield "## Freshness"
    yield ""
    yield from table(
        ("What", "When, how long"),
        [
            (
                "target",
                duration(freshness.target_seconds) if freshness.target_seconds else "none (`freshness:` sets it)",
            ),
            ("every change is read up to", _moment(freshness.read_up_to)),
            ("age of that, at the end of the run", _span(freshness.age_seconds)),
            ("longest wait of what was sent", _span(freshness.waited_seconds)),
            (f"newest row in {title}, changed", _moment(freshness.newest_delivered_at)),
            ("oldest row that waits, changed", _moment(freshness.oldest_undelivered_at)),
        ],
    )


def _gate(report: RunReport) -> Iterator[str]:
    if not report.checks:
        return
    yield "## Gate"
    yield ""
    ranked = sorted(report.checks, key=lambda each: -each.failed)
    yield from table(
        ("Expectation", "Severity", "Failed", "Rows", "Why"),
        [(each.name, each.severity, each.failed, each.rows, each.why) for each in ranked],
    )


def _traffic(report: RunReport) -> Iterator[str]:
    title, sending = report.destination, report.seconds.get("send", 0.0)
    yield "## Requests"
    yield ""
    yield from table(
        ("What", "How much"),
        [
            (f"requests to {title}", report.requests),
            (f"of these, answered by something not known to be {title}", report.unacknowledged),
            ("objects in answered requests", report.objects),
            (f"objects taken, as {title} counts", report.objects_taken),
            (f"objects refused, as {title} names them", report.objects_refused),
            ("objects nobody answered for", report.objects_unknown),
            ("a second, while sending", f"{report.requests / sending:.1f}" if sending else "-"),
            ("calls to Caspio", report.caspio_calls),
            ("rows a second", report.rows_per_second),
            *((f"seconds: {stage}", f"{seconds:.1f}") for stage, seconds in report.seconds.items()),
        ],
    )


def _history(report: RunReport, past: Sequence[Run]) -> Iterator[str]:
    """The runs up to this one, oldest first."""
    ended = [each for each in reversed(past) if each.report]
    if not ended:
        return
    sent = [*((each.report or {}).get("verdicts", {}).get(Verdict.SENT, 0) for each in ended), report.sent]
    seconds = [
        *(_seconds(each.started_at, each.ended_at) for each in ended),
        _seconds(report.started_at, report.ended_at),
    ]
    states = [*(each.state for each in ended), report.state]
    yield f"## The last {len(sent)} runs"
    yield ""
    yield from table(
        ("", "oldest → this one", "least", "most"),
        [
            ("rows sent", f"`{sparkline(sent)}`", f"{min(sent):,}", f"{max(sent):,}"),
            ("seconds", f"`{sparkline(seconds)}`", f"{min(seconds):,.1f}", f"{max(seconds):,.1f}"),
            ("ended", f"`{''.join('.' if state == 'done' else state[0].upper() for state in states)}`", "", ""),
        ],
    )
    yield "`.` done, `B` blocked, `F` failed, `K` killed."
    yield ""


def sparkline(values: Sequence[float]) -> str:
    """Bars from nothing to the largest value."""
    most = max(values, default=0)
    return "".join(_BARS[round(value / most * (len(_BARS) - 1)) if most else 0] for value in values)


def table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> Iterator[str]:
    """A Markdown table and an empty line."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def _seconds(start: datetime, end: datetime | None) -> float:
    return 0.0 if end is None else max(0.0, (end - start).total_seconds())


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
