"""What of a sync needs a person, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from caspio_sync.dashboard.sync_state import SyncState, pause_line, workspace_line
from caspio_sync.spans import duration

_HELD = {
    "quarantined": ("rows failed our gate", ""),
    "rejected": ("rows were refused where they went", " --verdict rejected"),
}
_LASTING = {"share": "many rows are not taken", "webhook": "its webhook announces nothing any more"}
_STRICT = 5  # not all rows were sent: the rows that wait say which, and the run did its work


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs a person.

    Args:
        text: what it is.
        remedy: a command, or "" where the text says what to do.
        urgent: whether the sync does not do its work; else only some of its rows wait.
    """

    text: str
    remedy: str
    urgent: bool


def attention(state: SyncState) -> list[Attention]:
    """What is wrong with a sync, the urgent first."""
    return sorted((*_of_its_runs(state), *_of_its_rows(state)), key=lambda each: not each.urgent)


def _of_its_runs(state: SyncState) -> Iterator[Attention]:
    sync, run = state.sync, state.last_run
    if state.pause is not None:
        whose = "--all" if state.pause.of_all else sync
        text = f"paused {pause_line(sync, state.pause).rpartition(';')[0]}"
        yield Attention(text, f"caspio-sync resume {whose}", urgent=False)
    if not state.has_file:
        yield Attention("its sync file is gone, so nothing runs it", "", urgent=False)
    if run is None:
        yield Attention("it has not run yet", f"caspio-sync plan {sync}", urgent=False)
    elif state.abandoned:
        text = "its last run ended without a word; the next one takes over"
        yield Attention(text, f"caspio-sync run {sync}", urgent=True)
    elif run.exit_code not in {None, 0, _STRICT} and state.pause is None:  # else it ended for that
        error = (run.report or {}).get("error")
        text = f"its last run ended as {run.state}{f': {error}' if error else ''}"
        yield Attention(text, f"caspio-sync show {run.id}", urgent=True)
    if state.late:
        target = duration(state.target_seconds)
        text = f"late: changes are read up to {duration(state.read_age)} ago, the promise is {target}"
        yield Attention(text, "caspio-sync doctor", urgent=True)
    for each in state.incidents:
        if each.kind in _LASTING:  # the others are told above, by what they are of
            text = f"{_LASTING[each.kind]}, since {each.since:%Y-%m-%d %H:%M} UTC"
            yield Attention(text, "caspio-sync doctor", urgent=True)


def _of_its_rows(state: SyncState) -> Iterator[Attention]:
    sync = state.sync
    if state.accounts is not None and state.accounts.known is not None and state.accounts.changed:
        yield Attention(workspace_line(state.accounts), f"caspio-sync check {sync}", urgent=True)
    if state.source is not None and state.source.fields["drift"]:
        text = f"its source has changed: {'; '.join(state.source.fields['drift'])}"
        yield Attention(text, f"caspio-sync plan {sync}", urgent=True)
    if state.unknown:
        text = f"{state.unknown:,} events have lost their answer and wait to be settled"
        yield Attention(text, f"caspio-sync unknown {sync}", urgent=True)
    for verdict, (text, option) in _HELD.items():
        if rows := state.rows.get(verdict):
            yield Attention(f"{rows:,} {text}", f"caspio-sync quarantine list {sync}{option}", urgent=False)
