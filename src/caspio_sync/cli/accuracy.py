"""How a verification is shown: how long it takes, and what it found. Keys and names of fields, never values."""

from rich.markup import escape

from caspio_sync.cli.show import OUT, number, seconds_text, show_table
from caspio_sync.observe.verify_report import Estimate, VerifyReport


def estimate_text(estimate: Estimate) -> str:
    """What a verification will take, in one line."""
    resumed = f"goes on after {number(estimate.resumed)} rows: " if estimate.resumed else ""
    took = seconds_text(estimate.seconds)
    if estimate.thing == "item":
        how = f"the catalog's {number(estimate.pages)} pages" if estimate.pages else "one by one"
        pace = f"{took} at the 50 a minute that Braze gives, {how}"
    elif estimate.slowest_seconds == estimate.seconds:
        pace = f"{took} at its limit"
    else:
        slowest = seconds_text(estimate.slowest_seconds)
        pace = f"{took} at 40 exports a second, {slowest} where Braze gives 250 a minute"
    return (
        f"{resumed}{number(estimate.rows)} rows, {number(estimate.requests)} requests to {estimate.destination}: "
        f"about {pace}; about {number(estimate.caspio_calls)} calls to Caspio"
    )


def show_verification(report: VerifyReport) -> None:
    """The verification as tables."""
    if not report.compared:
        OUT.print("Nothing could be compared: no row that was looked at is as it was sent.")
    else:
        OUT.print(
            f"[bold]{_percent(report.accuracy)} of {number(report.compared)} rows[/] and "
            f"{_percent(report.field_accuracy)} of {number(report.fields)} fields are in "
            f"{report.destination} as they were sent\n"
        )
    groups = [
        ("equal", report.equal, ""),
        ("differing", report.differing, "the next run sends the differing fields again"),
        (f"no {report.thing}", report.missing, "the next run sends the whole row again"),
        ("pending", report.pending, "changed in Caspio since; the next run sends them"),
        ("sent lately", report.recent, "sent too lately to be judged; verify again"),
        ("gone", report.gone, "no longer in the source"),
        ("ambiguous", report.ambiguous, "the identifier leads to several profiles, or to one that was renamed"),
        ("left out", report.left_out, "no profile, and on_new: update_only makes none"),
    ]
    show_table(
        "", ("rows", "", "what it means"), [each for each in groups if each[1] or each[0] == "equal"], right=("",)
    )
    if report.differences:
        stay = f"stay: stricter consent in {report.destination}"
        OUT.print()
        show_table(
            "differences",
            ("field", "rows", stay, "for example"),
            [(each.field, each.rows, each.kept, ", ".join(each.examples)) for each in report.differences],
            right=("rows", stay),
        )
    if report.extra:
        OUT.print(
            f"note: the catalog holds {number(report.extra)} items that no run of this sync sent; they are left alone"
        )
    if report.undeleted:
        OUT.print(
            f"note: {number(report.undeleted)} items are there although they were deleted; the next whole read "
            f"(`caspio-sync run {report.sync} --full`) deletes them again"
        )
    for field, rows in report.retyped.items():
        OUT.print(
            f"note: {escape(field)}: {report.destination} holds {number(rows)} values in another type than they were "
            "sent in"
        )
    if report.unreadable:
        OUT.print(f"note: no export gives {escape(', '.join(report.unreadable))}: not compared")


def _percent(share: float | None) -> str:
    # Never rounded up to 100 %: that word is kept for no difference at all.
    return "-" if share is None else "100 %" if share == 1 else f"{min(share, 0.9999):.2%}"
