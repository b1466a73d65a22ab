"""The story of `why` as the page shows it: values masked unless they were asked for."""

from collections.abc import Mapping
from typing import Any

from caspio_sync.cli.look import open_ledger
from caspio_sync.cli.story import JudgedRow, travelled
from caspio_sync.cli.sync_name import chosen_syncs
from caspio_sync.cli.why import PARTS, Told, cell, masked_values, summary, tell
from caspio_sync.dashboard.person import FieldLine, OutcomeLine, Story
from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.consent import is_consent
from caspio_sync.settings import current_settings
from caspio_sync.sync_files import fault_in_name


def teller(sync: str, key: str, pk: int | None, values: bool) -> Story:
    """Tell a row's story; Caspio is asked for it now.

    Args:
        sync: name of the sync.
        key: the identity, as it was typed.
        pk: PK_ID of the row that is meant, where several bear the key.
        values: whether values are shown; else their shape.

    Raises:
        ConfigurationError, TransientError: settings, sync file or ledger cannot be read, or nobody knows the key.
    """
    if (fault := fault_in_name(sync)) is not None:
        raise ConfigurationError(fault)
    settings = current_settings()
    with open_ledger(settings) as ledger:
        chosen_syncs(settings, ledger, sync)
        told = tell(settings, ledger, sync, key, pk=pk)
    return story_of(told, values=values)


def story_of(told: Told, *, values: bool) -> Story:
    """What `tell` gathered, for the page."""
    found, judged, story = told.found, told.judged, told.story
    pk = found.source_pk if found is not None else story.source_pk if story is not None else "?"
    checks = () if judged is None else judged.checks
    return Story(
        title=f"{told.sync}, PK_ID {pk}",
        lines=summary(told),
        fields=() if judged is None else _fields(judged, values=values),
        source=() if found is None else [*_shown(found.values, values=values).items()],
        failed=[(each.name, each.severity, each.why) for each in checks if not each.passed],
        passed=[each.name for each in checks if each.passed],
        outcomes=() if story is None else _outcomes(told),
    )


def _fields(judged: JudgedRow, *, values: bool) -> list[FieldLine]:
    shown = _shown(judged.values, values=values)
    return [
        FieldLine(
            name,
            value,
            "never sent" if judged.operation == "new" else "differs" if name in judged.differs else "equal",
            name in judged.ill_formed,
            is_consent(name),
        )
        for name, value in shown.items()
    ]


def _shown(row: Mapping[str, Any], *, values: bool) -> dict[str, str]:
    cells = {name: cell(value) for name, value in row.items()}
    return (
        cells if values else {name: "-" if row[name] is None else text for name, text in masked_values(cells).items()}
    )


def _outcomes(told: Told) -> list[OutcomeLine]:
    return [
        OutcomeLine(
            each.at,
            each.verdict,
            PARTS.get(each.part, ""),
            each.run,
            "no request"
            if each.request is None
            else f"request {each.request}" + ("" if each.status is None else f", status {each.status}"),
            each.reason,
            travelled(each, told.columns),
        )
        for each in (told.story.outcomes if told.story else ())
    ]
