"""The pages as text: each reads one state of the ledger, by the queries of `status`, `runs` and `show`."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from caspio_sync import __version__
from caspio_sync.dashboard.attention import Attention, attention
from caspio_sync.dashboard.history import MOST_DAYS, History, total
from caspio_sync.dashboard.mapping_table import MappingLine, mapping_table
from caspio_sync.dashboard.run_state import mapping_change, mapping_text, not_sent, state_of, took
from caspio_sync.dashboard.sync_state import (
    CallsMade,
    LookingSettings,
    SyncState,
    calls_made,
    freshness_line,
    sync_state,
    workspace_line,
)
from caspio_sync.engine.schedules import schedules_of
from caspio_sync.errors import CaspioSyncError
from caspio_sync.ledger.figures import Day, HeldReason
from caspio_sync.ledger.overview import Overview
from caspio_sync.ledger.run_record import Run
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.spans import DAYS_A_MONTH, duration

STATIC = Path(__file__).parent / "static"
SPANS = (DAYS_A_MONTH, MOST_DAYS)
_RUNS = 25
_LOOKED_AT = 200  # runs that may tell when a field last changed
_REASONS_ON_A_CARD = 3
_RELEASED = ("quarantined", "rejected", "blocked")

Look = Callable[[], AbstractContextManager[Overview]]


class UnknownPlaceError(Exception):
    """There is no such sync or run."""


@dataclass(frozen=True, slots=True)
class Card:
    """A sync on the overview: how it stands, what needs a person, its last days, and why rows wait."""

    state: SyncState
    attention: Sequence[Attention]
    days: Sequence[Day]
    held: Sequence[HeldReason]

    @property
    def month(self) -> Day:
        """The days as one."""
        return total(self.days)

    @property
    def urgent(self) -> bool:
        """Whether the sync does not do its work."""
        return any(each.urgent for each in self.attention)


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list."""

    run: Run
    state: str
    seconds: float | None
    set_aside: int


class Pages:
    """Makes the pages.

    Args:
        settings: where sync files are, and the Caspio account whose calls are counted.
        look: opens the ledger as it stands; of any thread.
    """

    def __init__(self, settings: LookingSettings, look: Look) -> None:
        self._settings, self._look = settings, look
        self._history = History()

    def overview(self) -> str:
        """A card a sync, those that need a person first."""
        return _rendered("overview.html", **self._overview())

    def report(self) -> str:
        """The overview as one file that needs no other, and no script."""
        style = Markup((STATIC / "dashboard.css").read_text(encoding="utf-8"))  # noqa: S704 - our own
        return _rendered("report.html", style=style, **self._overview())

    def _overview(self) -> dict[str, Any]:
        with self._look() as ledger:
            calls = calls_made(self._settings, ledger)
            names = sorted({*self._settings.sync_files.names, *ledger.sync_names()})
            cards = [self._card(ledger, self._state(ledger, name, calls)) for name in names]
            cards.sort(key=lambda each: (not each.urgent, not each.attention))
            return {"cards": cards, "calls": calls, "now": ledger.now()}

    def _state(self, ledger: Overview, sync: str, calls: CallsMade | None) -> SyncState:
        return sync_state(self._settings, ledger, sync, calls, self._history.row_counts(ledger, sync))

    def _card(self, ledger: Overview, state: SyncState) -> Card:
        held = ledger.held_reasons(state.sync, limit=_REASONS_ON_A_CARD)
        days = self._history.days(ledger, state.sync, DAYS_A_MONTH)
        return Card(state, attention(state), days, held)

    def sync(self, name: str, days: int) -> str:
        """One sync: its days, its runs, why rows wait, its mapping.

        Raises:
            UnknownPlaceError: neither a file nor a run bears the name.
        """
        with self._look() as ledger:
            if name not in {*self._settings.sync_files.names, *ledger.sync_names()}:
                raise UnknownPlaceError(f"no sync is called {name}")
            state = self._state(ledger, name, calls_made(self._settings, ledger))
            shown = self._history.days(ledger, name, days)
            looked_at = ledger.runs(name, limit=_LOOKED_AT)
            runs = [_run_line(each, ledger) for each in looked_at[:_RUNS]]
            held = ledger.held_reasons(name)
            now = ledger.now()
        mapping, schedules, broken = self._file(state, looked_at)
        return _rendered(
            "sync.html",
            state=state,
            attention=attention(state),
            days=shown,
            sums=total(shown),
            span=days,
            spans=SPANS,
            runs=runs,
            held=[(each, release_command(name, each)) for each in held],
            mapping=mapping,
            schedules=schedules,
            broken=broken,
            now=now,
        )

    def _file(self, state: SyncState, runs: Sequence[Run]) -> tuple[Sequence[MappingLine], Sequence[str], str]:
        """The mapping, the schedules, and what is wrong with the sync file, which then tells neither."""
        if not state.has_file:
            return (), (), "its sync file is gone"
        try:
            definition = load_sync(self._settings.sync_file(state.sync))
        except CaspioSyncError as error:
            return (), (), str(error)
        times = [f"{each.slug}: {each.cron} ({each.time_zone})" for each in schedules_of(definition)]
        return mapping_table(definition, state.source, runs), times if definition.enabled else (), ""

    def run(self, run: str) -> str:
        """One run.

        Raises:
            UnknownPlaceError: no run has this id.
        """
        with self._look() as ledger:
            if (found := ledger.run(run)) is None:
                raise UnknownPlaceError("no run has this id")
            line, recorded = _run_line(found, ledger), ledger.rows_recorded(run)
            mapping, now = mapping_text(mapping_change(found, ledger)), ledger.now()
        return _rendered("run.html", line=line, report=found.report or {}, recorded=recorded, mapping=mapping, now=now)

    def person(self, **values: Any) -> str:
        """The look-up of one person: its form, and a story where one was asked for."""
        with self._look() as ledger:
            names = sorted({*self._settings.sync_files.names, *ledger.sync_names()})
        return _rendered("person.html", names=names, **values)

    def warm(self) -> None:
        """Sum up the days that are over, which takes longer than a page may."""
        self.overview()


def enter_page(**values: Any) -> str:
    """Where the token is asked for."""
    return _rendered("enter.html", **values)


def refusal_page(title: str, text: str) -> str:
    """Why there is nothing to see."""
    return _rendered("refusal.html", heading=title, text=text)


def release_command(sync: str, group: HeldReason) -> str:
    """The command that has a group of held rows looked at again; "" where none does."""
    if group.verdict not in _RELEASED:
        return f"caspio-sync unknown {sync}" if group.verdict == "unknown" else ""
    verdict = "" if group.verdict == "quarantined" else f" --verdict {group.verdict}"
    chosen = f"--reason {shlex.quote(group.reason)}" if group.reason else "--all"
    return f"caspio-sync quarantine release {sync}{verdict} {chosen}"


def _run_line(run: Run, ledger: Overview) -> RunLine:
    state = state_of(run, ledger)
    span = took(run, state, ledger.now())
    return RunLine(run, state, None if span is None else span.total_seconds(), not_sent(run.report or {}))


# Shown values.


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _moment(at: datetime | str | None) -> Markup:
    """An instant, in UTC; the browser shows it in its own zone beside that."""
    if at is None:
        return Markup("-")
    when = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(when.isoformat(), f"{when:%Y-%m-%d %H:%M}")


def _bars(values: Sequence[float]) -> Markup:
    """A small picture of a series, one bar each, as SVG that needs no script."""
    highest = max([*values, 1])
    bars = Markup("").join(
        Markup('<rect x="{}" y="{}" width="3" height="{}"/>').format(4 * place, f"{24 - size:.1f}", f"{size:.1f}")
        for place, size in enumerate(24 * value / highest for value in values)
        if size
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 {} 24" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(4 * len(values), bars)


def _series(days: Sequence[Day]) -> list[dict[str, Any]]:
    return [{**each._asdict(), "day": each.day.isoformat()} for each in days]


_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= {
    "number": _number,
    "moment": _moment,
    "duration": lambda span: "-" if span is None else duration(span),
    "bars": _bars,
    "series": _series,
}
_PAGES.globals |= {
    "version": __version__,
    "freshness_line": freshness_line,
    "workspace_line": workspace_line,
}


def _rendered(template: str, **values: Any) -> str:
    return _PAGES.get_template(template).render(**values)
