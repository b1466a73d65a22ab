"""What `caspio-sync why` tells of a row, for people and for programs."""

import asyncio
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl
from rich.markup import escape

from caspio_sync.cli.show import OUT, moment, show_table
from caspio_sync.cli.story import FoundRow, JudgedRow, find_row, find_story, judge_row, story_salt, travelled
from caspio_sync.engine.destination import destination_of
from caspio_sync.engine.kind import Words, kind_of
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.ledger.store import Ledger
from caspio_sync.ledger.story import RowStory
from caspio_sync.ledger.verification import BASELINE
from caspio_sync.mapping.cleaning import masked
from caspio_sync.mapping.definition import Named
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.schemas import Verdict
from caspio_sync.settings import Settings


@dataclass(slots=True)
class Told:
    """Everything known of a row.

    Args:
        sync: name of the sync.
        key: as it was asked for.
        story: the ledger's part; None where it knows no such row.
        columns: the columns of every mapping version.
        words: of the sync's kind.
        title: of its destination.
        on_missing: what the sync does when a row is gone.
        found: the row in Caspio; None where it is not there, or could not be read.
        judged: the row mapped and judged.
        error: why Caspio, mapping or gate could not be asked.
        erasure: how far the person's erasure is (requested, deleted, proven); None where nobody asked for it.
    """

    sync: str
    key: str
    story: RowStory | None
    columns: Mapping[int, tuple[str, ...]]
    words: Words
    title: str
    on_missing: str
    found: FoundRow | None = None
    judged: JudgedRow | None = None
    error: CaspioSyncError | None = None
    erasure: str | None = None


def tell(settings: Settings, ledger: Ledger, sync: str, key: str, *, pk: int | None = None) -> Told:
    """Gather a row's story; where Caspio cannot be asked, the ledger's part alone.

    Args:
        settings: accounts, limits, places.
        ledger: the ledger.
        sync: name of the sync.
        key: the identity.
        pk: PK_ID of the row that is meant, where several bear the key.

    Raises:
        ConfigurationError: neither Caspio nor the ledger knows the key.
    """
    definition = load_sync(settings.sync_file(sync))
    salt = story_salt(settings, ledger, sync)
    told = Told(
        sync,
        key.strip(),
        find_story(ledger, sync, key, salt, pk),
        ledger.mapping_fields(sync),
        kind_of(definition).words,
        destination_of(definition).title,
        definition.on_missing,
    )
    sent = None
    try:
        source_pk = pk if told.story is None else told.story.source_pk
        known = ledger.known_source(sync)
        told.found = asyncio.run(find_row(settings, sync, told.key, source_pk, known, chosen=pk is not None))
        if told.found is not None:
            sent, told.judged = asyncio.run(judge_row(sync, told.found, ledger))
    except CaspioSyncError as error:
        told.error = error
    if told.story is None and sent:
        # An address or number is kept as it was sent, not as it was typed.
        told.story = find_story(ledger, sync, sent, salt, pk)
    told.erasure = _erasure(definition.identity, ledger, sent or told.key)
    if told.story is None and told.found is None and told.erasure is None:
        raise ConfigurationError(_unknown(told))
    return told


def _erasure(identity: Named, ledger: Ledger, key: str) -> str | None:
    space = Keyspace(identity.kind, identity.label)
    digests = [*ledger.key_digests(space, [key]), *ledger.former_digests(space, [key])]
    return next((erased.state for erased in ledger.erased(digests).values()), None)


def _unknown(told: Told) -> str:
    if told.error is not None:
        return f"{told.sync}: the ledger knows no row with this key, and the row could not be read: {told.error}"
    return (
        f"{told.sync}: no row with this key, neither in Caspio nor in the ledger; give the value of the identity field "
        f"as it stands in Caspio, and see `caspio-sync quarantine list {told.sync}` for rows whose key is empty"
    )


def as_document(told: Told) -> dict[str, Any]:
    """The story as one JSON-able document."""
    found, judged, story = told.found, told.judged, told.story
    return {
        "sync": told.sync,
        "key": told.key,
        "erasure": told.erasure,
        "caspio": {
            "found": None if told.error is not None and found is None else found is not None,
            "error": None if told.error is None else str(told.error),
            "source_pk": None if found is None else found.source_pk,
            "left_out_by_where": None if found is None else found.left_out,
            "same_key": [] if found is None else list(found.others),
            "values": None if found is None else _plain(found.values),
        },
        "mapped": None if judged is None else {**asdict(judged), "values": _plain(judged.values)},
        "ledger": None if story is None else _story_document(told, story),
    }


def _story_document(told: Told, story: RowStory) -> dict[str, Any]:
    outcomes = [{**asdict(each), "fields": travelled(each, told.columns)} for each in story.outcomes]
    for outcome in outcomes:
        del outcome["changed"]  # the same as `fields`, as bits
    return _plain({**asdict(story), "outcomes": outcomes})


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Times as ISO text; everything else as JSON has it."""
    plain: dict[str, Any] = json.loads(json.dumps(document, default=_as_text))
    return plain


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show(told: Told) -> None:
    """The story as tables on the terminal."""
    story = told.story
    pk = told.found.source_pk if told.found is not None else story.source_pk if story is not None else "?"
    OUT.print(f"[bold]{escape(told.sync)}[/]: key {escape(told.key)}, PK_ID {pk}\n", soft_wrap=True)
    for line in summary(told):
        OUT.print(escape(line), soft_wrap=True)
    if told.found is not None:
        OUT.print()
        cells = [(name, cell(value)) for name, value in told.found.values.items()]
        show_table("in Caspio now", ("field", "value"), cells)
    if told.judged is not None:
        _show_judged(told.judged, told.title)
    if story is not None and story.outcomes:
        _show_outcomes(told, story)


def summary(told: Told) -> list[str]:
    """How the row stands, a sentence each."""
    return [*_caspio_lines(told), *_ledger_lines(told)]


def _caspio_lines(told: Told) -> list[str]:
    found, judged = told.found, told.judged
    lines = []
    if told.error is not None:
        part = "The row could not be read from Caspio" if found is None else "The row could not be judged"
        lines.append(f"{part}, so only what is known is shown: {told.error}")
    elif found is None:
        lines.append(f"Caspio has no row with this key any more. {_what_becomes(told)}")
    if found is not None and found.left_out:
        lines.append("The row does not meet source.where or source.only: runs do not read it.")
    if found is not None and found.others:
        others = ", ".join(map(str, found.others))
        lines.append(f"More rows bear this key: PK_ID {others}. {told.words.of_several}")
    if judged is not None and told.erasure is None:
        lines += [*judged.restrained, _difference(judged, told.title)]
    return lines


def _what_becomes(told: Told) -> str:
    """What became, or becomes, of what Braze has of a row that is gone."""
    if told.story is not None and told.story.verdict == Verdict.DELETED:
        return "The catalog's item was deleted."
    if told.on_missing == "keep":
        return f"{told.title} keeps the {told.words.row} (on_missing: keep)."
    return f"The next whole read deletes its {told.words.row}: `caspio-sync run {told.sync} --full`."


def _difference(judged: JudgedRow, title: str) -> str:
    fields = ", ".join(judged.differs) or "nothing that would be sent"
    if judged.operation == "new":
        return f"{title} has acknowledged nothing of the row; where the gate lets it through, it carries: {fields}."
    if judged.operation == "changed":
        return f"The row differs from what {title} acknowledged in: {fields}."
    return f"{title} acknowledged the row as it is: nothing is left to send."


def _ledger_lines(told: Told) -> list[str]:
    story = told.story
    if told.erasure is not None:
        lifted = f"`caspio-sync erase {told.sync} {told.key} --release`"
        return [f"Erasure of this key: {told.erasure}. Nothing of it is sent, opt-outs neither, until {lifted}."]
    if story is None:
        return [
            f"No run has recorded the row yet: `caspio-sync run {told.sync} --key {shlex.quote(told.key)}` takes it."
        ]
    lines = []
    if story.verdict is not None:
        where = f" in request {story.request}" if story.request is not None else ""
        reason = f": {story.reason}" if story.reason else ""
        lines.append(f"Last verdict: {story.verdict}, {moment(story.seen_at)}, run {story.run}{where}{reason}")
    if story.reason == BASELINE:
        lines.append(
            f"Recorded as sent by a baseline at {moment(story.sent_at)}: {told.title} was taken to hold it already."
        )
    else:
        taker = told.words.taker or told.title
        lines.append(f"Last acknowledged by {taker}: {moment(story.sent_at) if story.sent_at else 'never'}")
    if story.rivals:
        lines.append(f"The ledger knows more rows with this key: PK_ID {', '.join(map(str, story.rivals))}.")
    return lines


def _show_judged(judged: JudgedRow, title: str) -> None:
    OUT.print()
    values = {"(key)": judged.key, **judged.values}
    bad = {"(key)" if name == "key" else name for name in judged.ill_formed}
    differs = set(judged.differs)
    rows = [
        (name, cell(value), ", ".join([*(["ill-formed"] * (name in bad)), *(["differs"] * (name in differs))]))
        for name, value in values.items()
    ]
    show_table("as it is mapped", (f"in {title}", "value", ""), rows)
    if judged.problems:
        OUT.print(f"what is wrong: {escape(judged.problems)}", soft_wrap=True)
    OUT.print()
    failed = [check for check in judged.checks if not check.passed]
    passed = ", ".join(check.name for check in judged.checks if check.passed)
    if failed:
        reasons = [(check.name, check.severity, check.why) for check in failed]
        show_table("gate: not met", ("expectation", "severity", "why it exists"), reasons)
    OUT.print(f"gate: met: {escape(passed or 'none')}", soft_wrap=True)


PARTS = {
    "consent": " (opt-out ahead of the gate)",
    "deletion": " (its row was gone)",
    "verified": " (found by verify)",
}


def _show_outcomes(told: Told, story: RowStory) -> None:
    OUT.print()
    for each in story.outcomes:
        asked = "no request" if each.request is None else f"request {each.request}"
        status = "" if each.status is None else f", status {each.status}"
        part = PARTS.get(each.part, "")
        OUT.print(f"{moment(each.at)}  [bold]{each.verdict}[/]{part}  run {each.run}, {asked}{status}", soft_wrap=True)
        if each.reason:
            OUT.print(f"    {escape(each.reason)}", soft_wrap=True)
        if fields := travelled(each, told.columns):
            OUT.print(f"    fields: {escape(', '.join(fields))}", soft_wrap=True)


def cell(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "-"
    if isinstance(value, str | datetime):
        return _as_text(value)
    return json.dumps(value, ensure_ascii=False, default=_as_text)


def masked_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by their shape; what is no text is shown as JSON first."""
    texts = [
        value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False, default=str)
        for value in values.values()
    ]
    shapes = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).select(masked(pl.col("text"))).to_series()
    return dict(zip(values, shapes, strict=True))
