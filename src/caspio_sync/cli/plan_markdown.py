"""A plan as Markdown: the body of a comment on a pull request, where everybody may read it: counts, no row."""

from collections.abc import Iterator

from caspio_sync.cli.show import number, seconds_text
from caspio_sync.engine.kind import kind_named
from caspio_sync.engine.plan import Plan


def plan_markdown(made: Plan) -> str:
    """Counts, reasons, schema changes and what stands in the way; no example, no key and no object."""
    return "\n".join(_lines(made)) + "\n"


def _lines(made: Plan) -> Iterator[str]:
    report = made.report
    does = "send" if report.writeback is None else "write"
    yield f"### `{report.sync}`: a run would {does} {number(made.to_send)} rows"
    yield ""
    for word, text in (("blocked", made.blocked), ("refused", made.refused)):
        if text:
            yield from (f"> **{word}:** {text}".replace("\n", "\n> "), "")
    yield from ("| | |", "|---|---:|")
    rows: list[tuple[str, float]] = [
        ("rows read", report.read),
        ("new", report.new),
        ("changed", report.changed),
        ("unchanged", report.unchanged),
        (f"requests to {report.destination}", report.requests),
        ("Caspio calls a run, little changed", made.calls_a_run),
    ]
    if kind_named(report.kind).words.billed:
        rows += [("data points billed", report.data_points), ("data points saved", report.data_points_saved)]
    if report.writeback is not None:
        rows += [
            ("calls that write", report.writeback.calls + report.writeback.left_calls),
            ("for 1,000 rows", round(report.writeback.calls_per_1000_rows)),
        ]
    if made.calls_a_month is not None:
        rows.append((f"Caspio calls a month at `{made.schedule}`", made.calls_a_month))
    yield from (f"| {name} | {number(count)} |" for name, count in rows)
    yield ""
    if made.items is not None:
        yield from (f"- schema: {line}" for line in made.items.schema_changes or ["nothing to change"])
        deletes = "not known before a whole read" if made.items.delete is None else number(made.items.delete)
        yield f"- items: write {number(made.items.write)}, delete {deletes}, {seconds_text(made.items.seconds)}"
        yield ""
    if made.events is not None:
        since = "" if made.events.since is None else f", from {made.events.since} to {made.events.until}"
        yield f"- events: {number(made.events.objects)} would go{since}; {number(made.events.unknown)} are unknown"
        yield ""
    if made.enrolled:
        yield from (
            f"- {number(people)} people would enter the automation {name}" for name, people in made.enrolled.items()
        )
        yield ""
    if report.reasons:
        yield from ("| would not be sent | reason | rows |", "|---|---|---:|")
        yield from (f"| {each.verdict} | {_cell(each.reason)} | {number(each.rows)} |" for each in report.reasons)
        yield ""
    told = (*report.drift, *made.mapping_changes, *made.warnings, *report.notes)
    yield from (f"- {line}" for line in told)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
