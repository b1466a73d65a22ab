"""A moment as an option: one reading for the command line, Prefect's form and a deployment's parameters."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from caspio_sync.cli.backfill import From
from caspio_sync.cli.run import Since
from caspio_sync.moment import read_moment
from caspio_sync.observe.report import RunOptions

MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)
TEN = datetime(2026, 1, 31, 10, tzinfo=UTC)

MOMENTS: list[tuple[Any, datetime]] = [
    ("2026-01-31", MIDNIGHT),
    ("20260131", MIDNIGHT),
    (20260131, MIDNIGHT),
    (" 2026-01-31 ", MIDNIGHT),
    ("2026-01-31\u200b", MIDNIGHT),
    ("2026-01-31T10:00", TEN),
    ("2026-01-31 10:00:00", TEN),
    ("2026-01-31T10:00:00Z", TEN),
    ("2026-01-31t10:00:00z", TEN),
    ("2026-01-31T10:00:00.000Z", TEN),
    ("20260131T100000Z", TEN),
    ("2026-01-31T12:00:00+02:00", TEN),
    (datetime(2026, 1, 31, 10), TEN),  # noqa: DTZ001 - as a form gives it
    (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), TEN),
    (date(2026, 1, 31), MIDNIGHT),
]
NONE_OF = [
    "2026", "1767225600", "202601", "2026013", "1e9", "0", "-5", "2026.01", "20261331", "yesterday", "31.01.2026",
    "01/31/2026", "2026/01/31", "", " ", "0001-01-01", "9999-12-31T23:59:59-14:00", "NaN", "inf",
]  # fmt: skip


def typed(text: str, option: Any) -> Any:
    """What a command gets from the option."""
    app, got = typer.Typer(), []

    def command(moment: option = None) -> None:
        got.append(moment)

    app.command()(command)
    result = CliRunner().invoke(app, ["--since" if option is Since else "--from", text])
    return result, got


@pytest.mark.parametrize(("given", "moment"), MOMENTS)
def test_a_date_or_time_without_a_zone_is_utc(given: Any, moment: datetime) -> None:
    read = read_moment(given)
    assert read == moment
    assert read is not None
    assert read.tzinfo is not None
    options = RunOptions(since=given, until=given)
    assert (options.since, options.until) == (moment, moment)
    assert RunOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize("given", [*NONE_OF, 2026, 1767225600, 1767225600.5, 0, True, 20261331])
def test_a_bare_number_and_whatever_else_is_no_moment_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"no date or time: give 2026-01-31|in no year from 1900"):
        read_moment(given)
    with pytest.raises(ValidationError):
        RunOptions(since=given)


@pytest.mark.parametrize("option", [Since, From])
def test_the_command_line_reads_the_same(option: Any) -> None:
    for given, moment in MOMENTS:
        if isinstance(given, str):
            assert typed(given, option)[1] == [moment]
    for given in NONE_OF:
        result, got = typed(given, option)
        assert (result.exit_code, got) == (2, [])
    assert typed("2026-01-31", option)[0].exit_code == 0


def test_no_moment_is_none() -> None:
    assert read_moment(None) is None
    assert RunOptions().since is None
