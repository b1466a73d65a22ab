"""With the sieve and without it a sync does the same, whatever happens: two worlds in step, of which one maps all rows.

Rows come, change, go, share keys; the file changes, runs die, answers are refused, days pass; somebody edits, releases,
erases and verifies. After every run both have sent the same, said the same, and know the same.
More examples: SIEVE_EXAMPLES=2000 pytest …
"""

import contextlib
import functools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from caspio_sync.caspio.records import RecordReader
from caspio_sync.destinations.braze.identifiers import NAMING
from caspio_sync.engine.connect import CONNECT
from caspio_sync.engine.sieve import RowSieve
from caspio_sync.errors import CaspioSyncError
from caspio_sync.kinds.catalog.work import CatalogWork
from caspio_sync.kinds.profiles.work import ProfileWork
from caspio_sync.ledger.erasure import Keyspace
from caspio_sync.sandbox.faults import Fault
from tests.flows.crashes import Crashed, crash_at
from tests.flows.world import World

EXAMPLES = int(os.environ.get("SIEVE_EXAMPLES", "10"))
STEPS = ("map", "compare", "send opt-outs", "gate", "send", "record")
ROWS = tuple(range(1, 15))
FIELDS: list[dict[str, Any]] = [
    {"Name": "RowNo", "Type": "STRING"},
    {"Name": "Code", "Type": "STRING"},
    {"Name": "Email", "Type": "STRING"},
    {"Name": "Born", "Type": "STRING"},
    {"Name": "Points", "Type": "STRING"},
    {"Name": "Newsletter", "Type": "STRING"},
]
PEOPLE = """\
kind: profiles
source: {table: Things}
identity: {external_id: Code}
fields:
  email: {from: Email, on_bad: skip}
  dob: Born
  points: {from: Points, type: integer}
consent:
  email_subscribe: {from: Newsletter, map: {yes: subscribed, no: unsubscribed, double: opted_in}}
gate: {max_quarantined_rows: 9}
"""
ITEMS = """\
kind: catalog
source: {table: Things}
catalog: {name: things}
item_id: Code
fields:
  mail: Email
  points: {from: Points, type: number}
gate: {max_deleted_share: 1, min_share_of_last: 0, max_quarantined_rows: 9}
"""
# What the file says otherwise from a step on.
FILES: dict[str, dict[str, tuple[str, str]]] = {
    "profiles": {
        "as it is": ("", ""),
        "without a field": ("  points: {from: Points, type: integer}\n", ""),
        "clearing": ("type: integer}", "type: integer, on_null: clear}"),
        "a narrower gate": ("max_quarantined_rows: 9", "max_quarantined_rows: 4"),
        "a condition": ("{table: Things}", "{table: Things, where: \"Points <> '2'\"}"),
    },
    "catalog": {
        "as it is": ("", ""),
        "without a field": ("  mail: Email\n", ""),
        "clearing": ("type: number}", "type: number, on_null: clear}"),
        "a narrower gate": ("max_quarantined_rows: 9", "max_quarantined_rows: 4"),
        "a condition": ("{table: Things}", "{table: Things, where: \"Points <> '2'\"}"),
    },
}

nothing: st.SearchStrategy[Any] = st.none()
versions = st.fixed_dictionaries(
    {
        "Code": st.sampled_from([f"k{number}" for number in range(12)] + ["K1", "k2 ", "k3\u200b", "no id!", ""]),
        "Email": st.sampled_from(["a@x.example", "b@x.example", "", "no address"]),
        # The clock begins on the second of March: who is born on the fourth is held until then.
        "Born": st.sampled_from(["1990-05-01", "1990-05-01", "2026-03-04", ""]),
        "Points": st.sampled_from(["1", "2", "3", "", "many"]),
        "Newsletter": st.sampled_from(["yes", "yes", "no", "double", ""]),
    }
)


@dataclass(frozen=True)
class Step:
    """What happens to both worlds, and how the run after it goes."""

    rows: dict[int, dict[str, Any]]
    gone: frozenset[int]
    days: int
    file: str
    crash: tuple[str, str, int] | None
    faults: tuple[Fault, ...]
    drifted: int | None
    erased: str | None
    options: dict[str, Any]


steps = st.builds(
    Step,
    rows=st.just({}) | st.dictionaries(st.sampled_from(ROWS), versions, max_size=3),
    gone=st.just(frozenset()) | st.just(frozenset()) | st.frozensets(st.sampled_from(ROWS), max_size=2),
    days=st.sampled_from([0, 0, 0, 1, 2, 8]),
    file=st.sampled_from(["as it is"] * 6 + sorted(FILES["profiles"])),
    crash=nothing
    | nothing
    | nothing
    | st.tuples(st.sampled_from(STEPS), st.sampled_from(["before", "after"]), st.integers(1, 3)),
    faults=st.just(())
    | st.just(())
    | st.builds(
        lambda nth, index: (Fault(kind="reject", path="/users/track", nth=(nth,), indexes=(index,)),),
        st.integers(1, 2),
        st.integers(0, 1),
    ),
    drifted=nothing | nothing | st.integers(1, 14),
    erased=nothing | nothing | nothing | nothing | st.sampled_from(["k1", "k2"]),
    options=st.sampled_from(
        [{}] * 8
        + [{"full": True}, {"resend": True}, {"limit": 3}, {"keys": ("k1",)}, {"release": ("quarantined",)}]
        + [{"pk_range": (1, 6)}, {"allow_deletes": True}]
    ),
)


@dataclass
class Pair:
    """Two worlds in step; the second one maps every row of every read."""

    kind: str
    worlds: tuple[World, World]
    patch: pytest.MonkeyPatch
    met: list[int]
    there: set[int]

    def each(self) -> Iterator[World]:
        """One after the other, each at home."""
        for number, world in enumerate(self.worlds):
            with self.patch.context() as patch:
                patch.chdir(world.folder)
                for work in (ProfileWork, CatalogWork):
                    patch.setattr(work, "sifts", number == 0)
                token = CONNECT.set(world.connect())
                yield world
                CONNECT.reset(token)

    def play(self, step: Step) -> None:
        ends = []
        for world in self.each():
            self.change(world, step)
            for entry in (world.braze.log, world.braze.catalog_log):
                entry.clear()
            with self.patch.context() as patch:
                crash_at(patch, step.crash)
                ends.append((self.ended(world, step), self.sent(world), known(world.ledger_file)))
        self.there = (self.there | step.rows.keys()) - step.gone
        with_sieve, without = ends
        for part, (one, other) in enumerate(zip(with_sieve, without, strict=True)):
            assert one == other, (part, step)

    def change(self, world: World, step: Step) -> None:
        world.clock.advance(86_400 * step.days + 3_600)
        for number, version in step.rows.items():
            if number in self.there:
                world.caspio.update_rows("Things", version, f"RowNo = '{number}'")
            else:
                world.caspio.insert_rows("Things", [{"RowNo": str(number), **version}])
        for number in sorted(step.gone):
            world.caspio.delete_rows("Things", f"RowNo = '{number}'")
        former, now = FILES[self.kind][step.file]
        world.sync((PEOPLE if self.kind == "profiles" else ITEMS).replace(former, now) if former else self.text, "it")
        world.break_braze(*step.faults)
        if step.drifted is not None:  # as a verification notes it
            with contextlib.closing(sqlite3.connect(world.ledger_file)) as ledger, ledger:
                ledger.execute(
                    "UPDATE row SET verdict = 'drifted', sent_fp = zeroblob(16) WHERE source_pk = ? AND holds = 1",
                    (step.drifted,),
                )
        if step.erased is not None and self.kind == "profiles":
            space = Keyspace("external_id", naming=NAMING)
            with world.ledger() as store:
                store.request_erasure("it", space, [step.erased], by="hand")

    @property
    def text(self) -> str:
        return PEOPLE if self.kind == "profiles" else ITEMS

    def ended(self, world: World, step: Step) -> tuple[str, dict[str, Any]]:
        """How the run ends, and what its report says of rows."""
        try:
            report = world.run("it", **step.options)
        except CaspioSyncError as error:
            return str(error), {}
        except (Crashed, BaseExceptionGroup):
            return "died", {}
        told = {
            "read", "expected", "counted", "new", "changed", "unchanged", "held", "verdicts", "changed_fields",
            "data_points", "data_points_full", "requests", "deleted", "erased", "notes", "mode",
        }  # fmt: skip
        return "done", report.model_dump(include=told)

    def sent(self, world: World) -> list[Any]:
        """Every object that Braze took, in its order; which of them left together."""
        users = [(entry.request, entry.object) for entry in world.braze.log]
        first = min((number for number, _ in users), default=0)
        items = [(each.method, each.path, each.items) for each in world.braze.catalog_log]
        return [*((number - first, sent) for number, sent in users), *items]


def known(file: Path) -> dict[str, list[Any]]:
    """All that a ledger knows of rows; without the prints, and without what no two runs have in common."""
    own = {"run", "at", "sent_at", "seen_at", "since", "id", "started_at", "ended_at", "began_at", "told_at"}
    tables = ("row", "batch", "outcome", "duplicate_consent", "former", "claim", "shard", "sweep", "price", "abandoned")
    found: dict[str, list[Any]] = {}
    with contextlib.closing(sqlite3.connect(file)) as ledger:
        there = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in there.intersection(tables):
            rows = pl.read_database(f"SELECT * FROM {table}", ledger, infer_schema_length=None)
            left = [name for name in rows.columns if name not in own]
            found[table] = sorted(map(repr, rows.select(left).iter_rows()))
    return found


Pairs = Callable[[str], AbstractContextManager[Pair]]


@pytest.fixture
def pairs(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pairs:
    numbers, met = count(1), list[int]()
    # Several batches of a few rows, one after the other: where a run dies, it is the same place in both.
    monkeypatch.setattr("caspio_sync.engine.turns.BATCHES_UNDER_WAY", 1)
    small = functools.partial(_small, RecordReader)
    monkeypatch.setattr("caspio_sync.engine.prepared.RecordReader", small)
    sifted = RowSieve._sifted  # noqa: SLF001 - watched

    def watched(sieve: RowSieve, pages: Any, known: pl.DataFrame) -> Any:
        result = sifted(sieve, pages, known)
        met.append(result.met.height)
        return result

    monkeypatch.setattr(RowSieve, "_sifted", watched)

    @contextlib.contextmanager
    def begun(kind: str) -> Iterator[Pair]:
        worlds = []
        met.clear()
        for name in ("with", "without"):
            folder = tmp_path / f"{name}-{next(numbers)}"
            folder.mkdir()
            worlds.append(type(world)(folder))
        pair = Pair(kind, (worlds[0], worlds[1]), monkeypatch, met, set())
        for each in pair.each():
            each.caspio.create_table("Things", FIELDS)
            each.ledger().close()
        # Fingerprints are salted by the ledger.
        shutil.copy(worlds[0].ledger_file, worlds[1].ledger_file)
        try:
            yield pair
        finally:
            for each in worlds:
                each.caspio.close()

    return begun


def _small(reader: Any, *args: Any, **options: Any) -> RecordReader:
    made: RecordReader = reader(*args, **{**options, "batch_size": 6, "page_rows": 5})
    return made


FIXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SIEVE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
NOTHING = Step({}, frozenset(), 0, "as it is", None, (), None, None, {})


@FIXED
@given(
    st.fixed_dictionaries(dict.fromkeys(ROWS, versions)),
    st.lists(steps, min_size=2, max_size=6),
    st.sampled_from(["profiles", "profiles", "catalog"]),
)
def test_a_sync_does_the_same_with_the_sieve_and_without(
    pairs: Pairs, rows: dict[int, dict[str, Any]], history: list[Step], kind: str
) -> None:
    with pairs(kind) as pair:
        pair.play(Step(rows, frozenset(), 0, "as it is", None, (), None, None, {}))
        for step in history:
            pair.play(step)
        pair.play(NOTHING)
        pair.play(NOTHING)


@pytest.mark.parametrize("kind", ["profiles", "catalog"])
def test_rows_that_are_as_they_were_are_not_mapped(pairs: Pairs, kind: str) -> None:
    sound = {"Email": "a@x.example", "Born": "1990-05-01", "Points": "1", "Newsletter": "yes"}
    with pairs(kind) as pair:
        pair.play(
            Step({n: {"Code": f"k{n}", **sound} for n in ROWS}, frozenset(), 0, "as it is", None, (), None, None, {})
        )
        assert not any(pair.met)
        pair.met.clear()
        pair.play(NOTHING)
        assert sum(pair.met) == len(ROWS)
