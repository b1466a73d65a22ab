"""`caspio-sync quarantine`: the rows that were not sent: which, why, and once more."""

import csv
import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from pydantic import SecretStr
from rich.markup import escape

from caspio_sync.characters import trimmed
from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.options import AsJson
from caspio_sync.cli.run import Strict, end, run_shown
from caspio_sync.cli.show import ERR, OUT, iso_text, moment, number, show_json, show_table, spreadsheet_cell, written
from caspio_sync.cli.story import find_story, story_salt
from caspio_sync.cli.sync_name import SyncName, chosen_syncs
from caspio_sync.cli.why import Told, as_document, masked_values, tell
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.fingerprints import key_hashes
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.story import RowStory
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.observe.report import RunOptions, RunReport
from caspio_sync.schemas import KEY, SOURCE_PK, Verdict
from caspio_sync.settings import LocalSettings, Settings, current_settings, local_settings

# Every held row of a sync: what an export holds, and more than anybody will release at once.
_ALL = 10_000_000

quarantine = typer.Typer(
    help="Rows that were set aside instead of being sent.", no_args_is_help=True, rich_markup_mode="markdown"
)


class Held(StrEnum):
    """The verdicts under which a row waits."""

    QUARANTINED = Verdict.QUARANTINED.value
    REJECTED = Verdict.REJECTED.value
    BLOCKED = Verdict.BLOCKED.value
    UNKNOWN = Verdict.UNKNOWN.value


class Format(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


Verdicts = Annotated[
    list[Held] | None, typer.Option("--verdict", help="Which rows; can be given again. Default: quarantined.")
]


@quarantine.callback()
def _quarantine() -> None:
    """Rows that were set aside instead of being sent."""


@quarantine.command("list")
def quarantine_list(
    sync: SyncName,
    verdict: Verdicts = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show this many at most, seen last first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the rows that were not sent, with the reason and since when.

    `quarantined` rows failed our gate, `rejected` ones Braze refused, `blocked` ones lack a consent the sync requires,
    `unknown` ones have no answer known to be Braze's (the next run sends them again; events wait for
    `caspio-sync unknown`). Correct a row in Caspio, and the
    next run takes it. Values in reasons are masked; `caspio-sync quarantine show SYNC KEY` tells more.

    Example: `caspio-sync quarantine list customers --verdict quarantined --verdict rejected`
    """
    settings = local_settings()
    chosen = verdict or [Held.QUARANTINED]
    with open_ledger(settings) as ledger:
        chosen_syncs(settings, ledger, sync)
        held = ledger.quarantine(sync, chosen, limit=limit)
        total = sum(rows for name, rows in ledger.verdict_counts(sync).items() if name in chosen)
    rows = list(_documents(held))
    if as_json:
        show_json(rows)
        return
    if not rows:
        OUT.print(f"no row of {escape(sync)} is {' or '.join(chosen)}")
        return
    show_table("", ("key", "PK_ID", "verdict", "reason", "since", "run"), map(_cells, held.rows(named=True)))
    if total > len(rows):
        OUT.print(f"\n{number(len(rows))} of {number(total)} shown; --limit shows more")


@quarantine.command("show")
def quarantine_show(
    sync: SyncName,
    key: Annotated[str, typer.Argument(help="Value of the row's identity field, such as a customer number.")],
    as_json: AsJson = False,
) -> None:
    """Say why one row waits: what it fails now, value by value, masked, and how it came to its verdict.

    The row is read from Caspio again. Values are shown by their shape (letters as x, digits as 9), so that the
    answer can be passed on; `caspio-sync why SYNC KEY` shows them as they are.

    Example: `caspio-sync quarantine show customers 17850`
    """
    settings = current_settings()
    with open_ledger(settings) as ledger:
        story = _held_story(settings, ledger, sync, key)
        told = tell(settings, ledger, sync, key)
    if as_json:
        document = as_document(told)
        for part in ("caspio", "mapped"):
            if document[part] and document[part]["values"]:
                document[part]["values"] = masked_values(document[part]["values"])
        show_json(document)
        return
    _show(told, story)


@quarantine.command("export")
def quarantine_export(
    sync: SyncName,
    format_: Annotated[Format, typer.Option("--format", help="csv, or one JSON object a line.")] = Format.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; without it, to the screen.")
    ] = None,
    verdict: Verdicts = None,
) -> None:
    """Write every row that waits: key, PK_ID, verdict, reason, since when, run. For whoever corrects rows in Caspio.

    No value of a row is in it but its key. Where the identity of the sync is an e-mail address or a phone number, that
    key is personal data: keep the file accordingly. In CSV a cell that begins with = + - @ has an apostrophe in front,
    so that no spreadsheet takes it for a formula, and a file begins with the UTF-8 mark; JSON lines are as they are.

    Example: `caspio-sync quarantine export customers --format csv --output held.csv`
    """
    settings = local_settings()
    with open_ledger(settings) as ledger:
        chosen_syncs(settings, ledger, sync)
        held = ledger.quarantine(sync, verdict or [Held.QUARANTINED], limit=_ALL)
    with written(output, for_spreadsheets=format_ is Format.CSV) as file:
        if format_ is Format.CSV:
            writer = csv.DictWriter(file, held.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: spreadsheet_cell(cell) for name, cell in row.items()} for row in _documents(held))
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _documents(held))
    if output is not None:
        personal = _personal_key(settings, sync)
        kept = f" Their keys are personal data ({personal}): keep the file accordingly." if personal else ""
        ERR.print(f"{number(held.height)} rows written to {escape(str(output))}.{kept}", soft_wrap=True)


@quarantine.command("release")
def quarantine_release(
    sync: SyncName,
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of the rows.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every row that waits under the verdicts.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Rows whose reason contains this text.")] = None,
    verdict: Verdicts = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Read rows that wait again and send them down the whole path: mapping, gate, Braze, ledger. A run of its own.

    The cursor stays. A row that still fails is set aside again. It is needed only where Braze or something else than
    the row has changed: a row that was corrected in Caspio goes by itself with the next run, and so do all held rows
    after a change of the sync file's gate or mapping.

    Example: `caspio-sync quarantine release customers --verdict rejected --reason "invalid external_id"`
    """
    chosen = verdict or [Held.QUARANTINED]
    if sum((bool(keys), everything, reason is not None)) != 1:
        raise ConfigurationError("name the rows to release in one way: by keys, with --reason TEXT, or with --all")
    settings = current_settings(sync)
    wanted = tuple(key.strip() for key in keys or () if trimmed(key))
    with open_ledger(settings) as ledger:
        chosen_syncs(settings, ledger, sync)
        asked = _count_held(settings, ledger, sync, chosen, reason, wanted)
    options = RunOptions(
        release=tuple(each.value for each in chosen),
        release_reason=reason,
        row_keys=tuple(map(SecretStr, wanted)),
        strict=strict,
    )
    report, error = run_shown(sync, options, quiet=as_json)
    if report is not None and not as_json:
        OUT.print(released(report, asked, chosen))
    end(report, error, strict=strict, as_json=as_json)


def released(report: RunReport, asked: int, verdicts: Iterable[str]) -> str:
    """What became of the rows that were asked for, in a sentence."""
    held = ", ".join(
        f"{number(rows)} {name}{' again' if name in verdicts else ''}"
        for name, rows in report.verdicts.items()
        if name != Verdict.SENT
    )
    as_sent = f", {number(report.unchanged)} as {report.destination} has them already" if report.unchanged else ""
    unread = asked - report.read
    gone = f", {number(unread)} not found in Caspio or not read" if unread > 0 else ""
    again = f", {held}" if held else ""
    return f"{number(asked)} rows were to be released: {number(report.sent)} sent{as_sent}{again}{gone}"


def _count_held(
    settings: Settings, ledger: Ledger, sync: str, verdicts: list[Held], reason: str | None, keys: tuple[str, ...]
) -> int:
    """How many rows are to be released.

    Raises:
        ConfigurationError: none, or one of the keys is not among them.
    """
    if not keys:
        if held := ledger.held(sync, verdicts, reason=reason):
            return len(held)
        about = f" for a reason that contains {reason!r}" if reason is not None else ""
        raise ConfigurationError(f"{sync}: no row is {' or '.join(verdicts)}{about}; see `caspio-sync status {sync}`")
    salt = story_salt(settings, ledger, sync)
    hashes = {key: key_hashes(pl.Series([key]), salt) for key in keys}
    found = {key: ledger.held(sync, verdicts, key_hashes=hashed) for key, hashed in hashes.items()}
    if missing := [key for key, rows in found.items() if not rows]:
        raise ConfigurationError(
            f"{sync}: no row with the key {', '.join(missing)} is {' or '.join(verdicts)}; look it up with "
            f"`caspio-sync why {sync} KEY`, or name its verdict with --verdict"
        )
    return len({row for rows in found.values() for row in rows})


def _held_story(settings: Settings, ledger: Ledger, sync: str, key: str) -> RowStory:
    """The row's story.

    Raises:
        ConfigurationError: there is none, or the row does not wait.
    """
    chosen_syncs(settings, ledger, sync)
    story = find_story(ledger, sync, key, story_salt(settings, ledger, sync))
    if story is None or story.verdict not in set(Held):
        state = "the ledger knows no row with this key" if story is None else f"the row is not held: {story.verdict}"
        raise ConfigurationError(
            f"{sync}: {state}; see `caspio-sync why {sync} KEY` and `caspio-sync quarantine list {sync}`"
        )
    return story


def _show(told: Told, story: RowStory) -> None:
    OUT.print(f"[bold]{escape(told.sync)}[/]: key {escape(told.key)}, PK_ID {story.source_pk}\n", soft_wrap=True)
    run = f"run {story.run}" + (f", request {story.request}" if story.request is not None else "")
    OUT.print(
        escape(f"{story.verdict} since {moment(story.seen_at)} ({run}): {story.reason or 'no reason kept'}"),
        soft_wrap=True,
    )
    acknowledged = moment(story.sent_at) if story.sent_at else "never"
    OUT.print(f"last acknowledged by {told.title}: {acknowledged}")
    if told.error is not None:
        OUT.print(escape(f"the row could not be read and judged again: {told.error}"), soft_wrap=True)
    elif told.found is None:
        OUT.print("the row is gone from Caspio")
    if told.judged is None:
        return
    judged = told.judged
    OUT.print()
    bad = {*judged.ill_formed}
    values = masked_values({KEY: judged.key, **judged.values})
    values[KEY] = judged.key
    show_table(
        "as it is mapped now, values masked",
        (f"in {told.title}", "value", ""),
        [
            (name, "-" if value is None else value, "ill-formed" if name in bad else "")
            for name, value in values.items()
        ],
    )
    if judged.problems:
        OUT.print(f"what is wrong: {escape(judged.problems)}", soft_wrap=True)
    OUT.print()
    failed = [check for check in judged.checks if not check.passed]
    if failed:
        reasons = [(check.name, check.severity, check.why) for check in failed]
        show_table("gate: not met", ("expectation", "severity", "why it exists"), reasons)
    else:
        OUT.print(
            f"gate: met. The next run that reads the row sends it, and `caspio-sync quarantine release {told.sync}` now"
        )


def _personal_key(settings: LocalSettings, sync: str) -> str | None:
    try:
        kind = load_sync(settings.sync_file(sync)).identity.kind
    except CaspioSyncError:  # the sync file is gone; its kind of key is not known
        return None
    return {"email": "e-mail addresses", "phone": "phone numbers"}.get(kind)


def _documents(held: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for row in held.iter_rows(named=True):
        yield {**row, "seen_at": iso_text(row["seen_at"])}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    since = moment(row["seen_at"])
    return (row[KEY] or "(empty)", str(row[SOURCE_PK]), row["verdict"], row["reason"] or "", since, row["run"] or "")
