"""Which rows a run reads, case by case: a table of what was looked at, and of what is chosen. `pytest -v` prints it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from caspio_sync.caspio.client import Source
from caspio_sync.engine.kind import mapping_of
from caspio_sync.engine.prepared import Prepared, read_digest
from caspio_sync.engine.selection import Selection, choose
from caspio_sync.engine.sharing import Shares
from caspio_sync.engine.situation import look
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.run_record import Cursor
from caspio_sync.ledger.sweeps import InterruptedSweep
from caspio_sync.mapping.sync_file import parse_sync
from caspio_sync.observe.report import RunOptions
from caspio_sync.schemas import CaspioField

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TEXT = """\
kind: profiles
source: {table: Customers, cursor: ChangedAt, where: Country = 'NL'}
identity: {external_id: CustomerNo}
fields: {first_name: FirstName}
"""
FIELDS = [
    CaspioField("CustomerNo", "STRING", unique=True),
    CaspioField("FirstName", "STRING"),
    CaspioField("ChangedAt", "TIMESTAMP", on_update=True, time_zone="UTC"),
]
WHERE = "(Country = 'NL')"
SINCE = "(ChangedAt>='2026-03-02T10:58:00')"  # the cursor of an hour ago, less the overlap
SWEPT = "(ChangedAt>='2026-03-02T11:48:00')"  # an interrupted read that began ten minutes ago
BETWEEN = "(ChangedAt>='2026-03-01T11:58:00' AND ChangedAt<='2026-03-02T11:00:00')"
BELOW_OR_UNDATED = "(NOT ({}) OR ChangedAt IS NULL)"
MANY = list(range(1, 2002))


def prepared_of(*, cursor: bool, stopped: tuple[str, ...] = ()) -> Prepared:
    definition = parse_sync(TEXT if cursor else TEXT.replace(" cursor: ChangedAt,", ""), Path("customers.yaml"))
    mapping = mapping_of(definition, FIELDS, absent=stopped)
    key, fields = CaspioField("PK_ID", "AUTONUMBER", unique=True), {each.name: each for each in FIELDS}
    return Prepared(definition, Shares(definition), mapping, Source("Customers"), fields, key)


WITH, WITHOUT = prepared_of(cursor=True), prepared_of(cursor=False)


@dataclass(frozen=True)
class Seen:
    """What was looked at."""

    cursor: datetime | None = NOW - HOUR  # how far the sync has read
    digest: str = read_digest(WITH)  # under which it has
    owed: tuple[int, ...] = ()  # rows that are to be judged again
    freed: tuple[int, ...] = ()  # held rows whose key is nobody's any more
    held: tuple[int, ...] = ()  # rows under the verdicts that are released
    sweep: InterruptedSweep | None = None
    shard: tuple[str, str, int] | None = None
    planned: bool = False


@dataclass(frozen=True)
class Chosen:
    """What is to be read."""

    mode: str
    conditions: tuple[str | None, ...]
    whole: bool = False
    asked: tuple[int, ...] = ()
    after: int | None = None
    notes: tuple[str, ...] = ()


def swept(*, idle: timedelta = MINUTE, ago: timedelta = 10 * MINUTE, doubtful: bool = False) -> InterruptedSweep:
    return InterruptedSweep("r1", "killed", NOW - ago, NOW - idle, 2000, doubtful)


GOES_ON = "goes on after PK_ID 2,000, where run r1 was killed"
IN_SHARD = "goes on after PK_ID 250, where run r2 failed"
AHEAD = "its cursor stood in the future (2026-03-02 13:00 UTC): all rows are read"
ALL = Chosen("sweep", ("Country = 'NL'",), whole=True)
ABOVE = f"{WHERE} AND (PK_ID>2000)"
Case = tuple[RunOptions, Prepared, Seen, Chosen]
CASES: dict[str, Case] = {
    "the first run reads everything": (RunOptions(), WITH, Seen(cursor=None), ALL),
    "the next one reads what changed": (RunOptions(), WITH, Seen(), Chosen("incremental", (f"{WHERE} AND {SINCE}",))),
    "without a cursor field each reads everything": (RunOptions(), WITHOUT, Seen(owed=(3,)), ALL),
    "under another condition everything": (RunOptions(), WITH, Seen(digest="another"), ALL),
    "a field is stopped, and the cursor is from before": (
        RunOptions(), prepared_of(cursor=True, stopped=("FirstName",)), Seen(),
        Chosen("incremental", (f"{WHERE} AND {SINCE}",)),
    ),
    "a cursor in the future is none": (RunOptions(), WITH, Seen(cursor=NOW + HOUR), replace(ALL, notes=(AHEAD,))),
    "a cursor ahead by a clock's error is one": (
        RunOptions(), WITH, Seen(cursor=NOW + MINUTE),
        Chosen("incremental", (f"{WHERE} AND (ChangedAt>='2026-03-02T11:59:00')",)),
    ),
    "--full reads everything": (RunOptions(full=True), WITH, Seen(owed=(3,), freed=(4,), sweep=swept()), ALL),
    "--resend reads everything": (RunOptions(resend=True), WITH, Seen(sweep=swept()), ALL),
    "--baseline reads everything": (RunOptions(baseline=True), WITH, Seen(sweep=swept()), ALL),
    "--allow-deletes reads everything": (RunOptions(allow_deletes=True), WITH, Seen(sweep=swept()), ALL),
    "what is owed is read by its key, unless it changed": (
        RunOptions(), WITH, Seen(owed=(7, 3)),
        Chosen(
            "incremental",
            (f"{WHERE} AND {SINCE}", f"{WHERE} AND (PK_ID IN (3,7)) AND {BELOW_OR_UNDATED.format(SINCE[1:-1])}"),
            asked=(3, 7),
        ),
    ),
    "so is whose key is free again": (
        RunOptions(), WITH, Seen(owed=(3,), freed=(3, 9)),
        Chosen(
            "incremental",
            (f"{WHERE} AND {SINCE}", f"{WHERE} AND (PK_ID IN (3,9)) AND {BELOW_OR_UNDATED.format(SINCE[1:-1])}"),
            asked=(3, 9),
        ),
    ),
    "so much is owed that everything is read": (RunOptions(), WITH, Seen(owed=tuple(MANY)), ALL),
    "so much is owed with those whose key is free": (
        RunOptions(), WITH, Seen(owed=tuple(MANY[:-1]), freed=(9999,)), ALL,
    ),
    "an interrupted read is gone on from": (
        RunOptions(), WITH, Seen(cursor=None, sweep=swept()),
        Chosen("sweep", (ABOVE, f"{WHERE} AND {SWEPT} AND (PK_ID<=2000)"), after=2000, notes=(GOES_ON,)),
    ),
    "and what is owed below is read again": (
        RunOptions(), WITH, Seen(cursor=None, sweep=swept(), owed=(2001, 5), freed=(6,)),
        Chosen(
            "sweep",
            (
                ABOVE,
                f"{WHERE} AND {SWEPT} AND (PK_ID<=2000)",
                f"{WHERE} AND (PK_ID IN (5,6)) AND {BELOW_OR_UNDATED.format(SWEPT[1:-1])}",
            ),
            asked=(5, 6), after=2000, notes=(GOES_ON,),
        ),
    ),
    "where a cursor is known an interrupted read is none": (
        RunOptions(), WITH, Seen(sweep=swept()), Chosen("incremental", (f"{WHERE} AND {SINCE}",)),
    ),
    "much is owed above where it broke off": (
        RunOptions(), WITH, Seen(owed=tuple(range(2001, 4003)), sweep=swept()),
        Chosen("sweep", (ABOVE, f"{WHERE} AND {SWEPT} AND (PK_ID<=2000)"), after=2000, notes=(GOES_ON,)),
    ),
    "much is owed below where it broke off": (
        RunOptions(), WITH,
        Seen(cursor=None, owed=tuple(MANY), sweep=replace(swept(), high_pk=5000)), ALL,
    ),
    "a cursor in the future, and an interrupted read": (
        RunOptions(), WITH, Seen(cursor=NOW + HOUR, sweep=swept()),
        Chosen("sweep", (ABOVE, f"{WHERE} AND {SWEPT} AND (PK_ID<=2000)"), after=2000, notes=(GOES_ON, AHEAD)),
    ),
    "a read that is idle for a day is begun anew": (
        RunOptions(), WITH, Seen(cursor=None, sweep=swept(idle=DAY + MINUTE, ago=DAY + HOUR)), ALL,
    ),
    "a read that began in the future is begun anew": (
        RunOptions(), WITH, Seen(cursor=None, sweep=swept(ago=-HOUR)), ALL,
    ),
    "without a cursor field a short while ago is gone on from": (
        RunOptions(), WITHOUT, Seen(cursor=None, sweep=swept()),
        Chosen("sweep", (ABOVE,), after=2000, notes=(GOES_ON,)),
    ),
    "without a cursor field what is owed below is read": (
        RunOptions(), WITHOUT, Seen(cursor=None, sweep=swept(), owed=(5,)),
        Chosen("sweep", (ABOVE, f"{WHERE} AND (PK_ID IN (5))"), asked=(5,), after=2000, notes=(GOES_ON,)),
    ),
    "without a cursor field an hour ago is begun anew": (
        RunOptions(), WITHOUT, Seen(cursor=None, sweep=swept(ago=HOUR + MINUTE)), ALL,
    ),
    "without a cursor field, with rows read twice, it is begun anew": (
        RunOptions(), WITHOUT, Seen(cursor=None, sweep=swept(doubtful=True)), ALL,
    ),
    "with a cursor field rows read twice do no harm": (
        RunOptions(), WITH, Seen(cursor=None, sweep=swept(doubtful=True)),
        Chosen("sweep", (ABOVE, f"{WHERE} AND {SWEPT} AND (PK_ID<=2000)"), after=2000, notes=(GOES_ON,)),
    ),
    "a plan shows the whole": (RunOptions(), WITH, Seen(cursor=None, sweep=swept(), planned=True), ALL),
    "--limit reads the first rows": (
        RunOptions(limit=5), WITH, Seen(owed=(3,), sweep=swept()), Chosen("partial", ("Country = 'NL'",)),
    ),
    "--limit, with a cursor in the future, says nothing of it": (
        RunOptions(limit=5), WITH, Seen(cursor=NOW + HOUR), Chosen("partial", ("Country = 'NL'",)),
    ),
    "--full --limit reads the first rows": (
        RunOptions(full=True, limit=5), WITH, Seen(), Chosen("partial", ("Country = 'NL'",)),
    ),
    "--since reads what changed since then": (
        RunOptions(since=NOW - DAY), WITH, Seen(owed=(3,)),
        Chosen("partial", (f"{WHERE} AND (ChangedAt>='2026-03-01T11:58:00')",)),
    ),
    "--since and --until read what changed between": (
        RunOptions(since=NOW - DAY, until=NOW - HOUR), WITH, Seen(),
        Chosen("partial", (f"{WHERE} AND {BETWEEN}",)),
    ),
    "--key reads rows by their key": (
        RunOptions(row_keys=(SecretStr("c1"), SecretStr("c2"))), WITH, Seen(owed=(3,)),
        Chosen("partial", (f"{WHERE} AND (CustomerNo IN ('c1','c2'))",)),
    ),
    "a range of a backfill": (
        RunOptions(pk_range=(201, 300)), WITH, Seen(owed=(3,), sweep=swept()),
        Chosen("partial", (f"{WHERE} AND (PK_ID>=201 AND PK_ID<=300)",)),
    ),
    "a range, of what changed between": (
        RunOptions(pk_range=(201, 300), since=NOW - DAY, until=NOW - HOUR), WITH, Seen(),
        Chosen("partial", (f"({WHERE} AND (PK_ID>=201 AND PK_ID<=300)) AND {BETWEEN}",)),
    ),
    "a range in which a run died is gone on from": (
        RunOptions(pk_range=(201, 300)), WITH, Seen(shard=("r2", "failed", 250)),
        Chosen("partial", (f"({WHERE} AND (PK_ID>=201 AND PK_ID<=300)) AND (PK_ID>250)",), notes=(IN_SHARD,)),
    ),
    "a range by hand, of its first rows, is no shard": (
        RunOptions(pk_range=(201, 300), limit=5), WITH, Seen(shard=("r2", "failed", 250)),
        Chosen("partial", (f"{WHERE} AND (PK_ID>=201 AND PK_ID<=300)",)),
    ),
    "a plan of a range shows all of it": (
        RunOptions(pk_range=(201, 300)), WITH, Seen(shard=("r2", "failed", 250), planned=True),
        Chosen("partial", (f"{WHERE} AND (PK_ID>=201 AND PK_ID<=300)",)),
    ),
    "a release reads what is held and nothing else": (
        RunOptions(release=("quarantined",)), WITH, Seen(held=(4, 8), owed=(3,), freed=(5,)),
        Chosen("partial", (f"{WHERE} AND (PK_ID IN (4,8))",), asked=(4, 8)),
    ),
    "a release of some": (
        RunOptions(release=("quarantined",), limit=1), WITH, Seen(held=(4, 8)),
        Chosen("partial", (f"{WHERE} AND (PK_ID IN (4))",), asked=(4,)),
    ),
    "a release where nothing is held": (RunOptions(release=("rejected",)), WITH, Seen(), Chosen("partial", ())),
    "a release in a range is no shard": (
        RunOptions(release=("rejected",), pk_range=(1, 9)), WITH, Seen(held=(4,), shard=("r2", "failed", 5)),
        Chosen("partial", (f"{WHERE} AND (PK_ID IN (4))",), asked=(4,)),
    ),
}  # fmt: skip


class _Ledger:
    """What a ledger says."""

    salt = 7

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.given: list[str] = []

    def now(self) -> datetime:
        return NOW

    def owed(self, *_: Any, **__: Any) -> list[int]:
        return list(self.seen.owed)

    def held(self, *_: Any, **__: Any) -> list[int]:
        return list(self.seen.held)

    def interrupted_sweep(self, *_: Any, **__: Any) -> InterruptedSweep | None:
        return self.seen.sweep

    def interrupted_shard(self, *_: Any, **__: Any) -> tuple[str, str, int] | None:
        return self.seen.shard

    def cursor(self, sync: str) -> Cursor | None:
        return None if self.seen.cursor is None else Cursor(sync, self.seen.cursor, None, self.seen.digest)

    def claimed_duplicates(self, *_: Any, **__: Any) -> pl.DataFrame:
        return pl.DataFrame({"source_pk": self.seen.freed})

    def mapping_version(self, *_: Any, **__: Any) -> int:
        self.given.append("mapping")
        return 1

    def suite_version(self, *_: Any) -> int:
        self.given.append("suite")
        return 1

    def known_mapping_version(self, *_: Any) -> None:
        return None

    def known_suite_version(self, *_: Any) -> None:
        return None

    def mapping_fields(self, *_: Any) -> dict[int, tuple[str, ...]]:
        return {}

    def versions_under_former_rules(self, *_: Any) -> frozenset[int]:
        return frozenset()

    def unfinished(self, *_: Any) -> tuple[()]:
        return ()

    def runs(self, *_: Any) -> list[Any]:
        return []


def chosen_by(options: RunOptions, prepared: Prepared, seen: Seen) -> Selection:
    """As a run is opened: Caspio is asked whose key is free only where held rows are read by their key."""
    ledger: Any = _Ledger(seen)
    situation = look(ledger, "customers", options, prepared, planned=seen.planned)
    chosen = choose(options, prepared, situation, NOW)
    if chosen.by_key and not situation.claimed.is_empty():
        chosen = choose(options, prepared, replace(situation, freed=seen.freed), NOW)
    return chosen


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_reads(case: Case) -> None:
    options, prepared, seen, expected = case
    chosen = chosen_by(options, prepared, seen)
    after = chosen.goes_on_from
    assert expected == Chosen(
        chosen.mode,
        chosen.conditions,
        chosen.whole,
        chosen.asked,
        None if after is None else after.high_pk,
        chosen.notes,
    )


def test_a_time_to_begin_at_needs_a_cursor_field() -> None:
    with pytest.raises(ConfigurationError, match=r"a time to begin at needs a cursor field .* run --full"):
        chosen_by(RunOptions(since=NOW - DAY), WITHOUT, Seen())


@pytest.mark.parametrize("options", [RunOptions(), RunOptions(pk_range=(201, 300)), RunOptions(release=("rejected",))])
@pytest.mark.parametrize("planned", [True, False])
def test_a_plan_gives_no_numbers(options: RunOptions, planned: bool) -> None:
    ledger: Any = _Ledger(Seen())
    look(ledger, "customers", options, WITH, planned=planned)
    assert ledger.given == ([] if planned else ["mapping", "suite"])
