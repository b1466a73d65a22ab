"""Random histories of a product table, through runs that fail anywhere: sound runs at last leave the catalog as computed.

Rows come, change, go, are renamed, change places, are filled anew; runs lose answers, commits and steps, or read a part;
somebody deletes the catalog. More examples: CATALOG_EXAMPLES=2000 pytest …
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from caspio_sync.engine.connect import CONNECT
from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.faults import Fault
from tests.flows.catalog_shop import PRODUCTS, Shop
from tests.flows.crashes import Crashed, crash_at
from tests.flows.world import World

EXAMPLES = int(os.environ.get("CATALOG_EXAMPLES", "6"))
ITEMS = "/catalogs/products/items"
CODES = ("a", "b", "c", "d", "A")
STEPS = ("keep schema", "map", "compare", "gate", "send", "record", "delete vanished")
FIELDS = [*PRODUCTS, {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"}]
GATE = "gate: {max_deleted_share: 1, min_share_of_last: 0}\n"


def sync_text(*, cursor: bool, where: bool, about: bool) -> str:
    """The sync file; what of it changes from step to step is the condition and one field."""
    source = "table: Products" + (", cursor: ChangedAt" if cursor else "") + (', where: "Stock > 0"' if where else "")
    about_field = "  about: About\n" if about else ""
    return (
        f"kind: catalog\nsource: {{{source}}}\ncatalog: {{name: products}}\nitem_id: Code\n"
        f"fields:\n  title: Title\n  stock: Stock\n{about_field}{GATE}"
    )


def item_of(row: dict[str, Any], *, about: bool) -> dict[str, Any]:
    """Its item, said once more."""
    values = {"id": row["Code"], "title": row["Title"], "stock": row["Stock"], "about": row["About"] if about else None}
    return {name: value for name, value in values.items() if value is not None}


codes = st.sampled_from(CODES)
values = st.fixed_dictionaries(
    {"Title": st.sampled_from(["x", "y"]), "Stock": st.integers(0, 2), "About": st.sampled_from([None, "z"])}
)
edits = st.one_of(
    st.tuples(st.just("insert"), codes, values),
    st.tuples(st.just("edit"), codes, values),
    st.tuples(st.just("delete"), codes, st.none()),
    st.tuples(st.just("rename"), codes, codes),
    st.tuples(st.just("swap"), codes, codes),
    st.tuples(st.just("refill"), st.none(), st.none()),
    st.tuples(st.just("catalog gone"), st.none(), st.none()),
)
verbs = st.sampled_from(["PUT", "PATCH", "DELETE"])
lost = st.builds(
    lambda kind, method, first: Fault(kind=kind, path=ITEMS, method=method, nth=tuple(range(first, first + 500))),
    st.sampled_from(["reset_after", "status"]),
    verbs,
    st.integers(1, 2),
)


@dataclass(frozen=True)
class Step:
    """What happens to the table, and how the run after it goes."""

    edits: list[tuple[str, Any, Any]]
    where: bool
    about: bool
    fault: Fault | None
    crash: tuple[str, str, int] | None
    uncommitted: int | None
    options: dict[str, Any]


nothing: st.SearchStrategy[Any] = st.none()
steps = st.builds(
    Step,
    edits=st.lists(edits, max_size=4),
    where=st.sampled_from([False, False, True]),
    about=st.sampled_from([True, True, False]),
    fault=nothing | nothing | lost,
    crash=nothing
    | nothing
    | st.tuples(st.sampled_from(STEPS), st.sampled_from(["before", "after"]), st.integers(1, 2)),
    uncommitted=nothing | nothing | st.integers(1, 3),
    options=st.sampled_from([{}, {}, {}, {"full": True}, {"limit": 2}, {"keys": ("a",)}, {"resend": True}]),
)
SOUND: dict[str, Any] = {"fault": None, "crash": None, "uncommitted": None, "options": {"full": True}}


@dataclass
class History:
    """One shop and its runs."""

    shop: Shop
    patch: pytest.MonkeyPatch
    cursor: bool

    def play(self, step: Step) -> None:
        world = self.shop.world
        world.clock.advance(3600)
        for edit in step.edits:
            self.change(*edit)
        world.sync(sync_text(cursor=self.cursor, where=step.where, about=step.about), "products")
        world.break_braze(*([step.fault] if step.fault else []))
        with self.patch.context() as patch:
            crash_at(patch, step.crash)
            _lose_commit(patch, step.uncommitted)
            self.run(step)

    def run(self, step: Step) -> None:
        from caspio_sync.errors import CaspioSyncError

        sound = not (step.fault or step.crash or step.uncommitted)
        try:
            self.shop.world.run("products", **step.options)
        except (CaspioSyncError, Crashed, BaseExceptionGroup):
            if sound:
                raise

    def change(self, what: str, one: Any, other: Any) -> None:
        shop, table = self.shop, self.shop.world.caspio
        if what == "insert":
            shop.add({"Code": one, "Price": 1, **other})
        elif what == "edit":
            shop.edit(one, **other)
        elif what == "delete":
            shop.drop(one)
        elif what == "rename":
            shop.edit(one, Code=other)
        elif what == "swap":
            shop.edit(one, Code="swapped")
            shop.edit(other, Code=one)
            shop.edit("swapped", Code=other)
        elif what == "refill":
            self.refill(table.rows("Products"))
        elif "products" in shop.world.braze.catalogs:
            shop.world.braze.catalogs.remove(shop.catalog())

    def refill(self, rows: list[dict[str, Any]]) -> None:
        """The same rows under new PK_IDs."""
        self.shop.world.caspio.delete_rows("Products", "PK_ID > 0")
        if rows:
            self.shop.add(*({name: row[name] for name in ("Code", "Title", "Stock", "About", "Price")} for row in rows))

    def one_row_an_id(self) -> None:
        """Rows beyond the first of an id go: which of them has the item is a matter of history."""
        seen: set[str] = set()
        for row in self.shop.world.caspio.rows("Products"):
            if row["Code"].lower() in seen:
                self.shop.world.caspio.delete_rows("Products", f"PK_ID = {row['PK_ID']}")
            seen.add(row["Code"].lower())


def _lose_commit(patch: pytest.MonkeyPatch, uncommitted: int | None) -> None:
    """The n-th commit of outcomes never happens."""
    commits = count(1)

    def guarded(call: Any) -> Any:
        def commit(ledger: Ledger, *args: Any, **kwargs: Any) -> Any:
            if next(commits) == uncommitted:
                raise Crashed
            return call(ledger, *args, **kwargs)

        return commit

    for name in ("record", "record_sent", "record_deleted", "note_leaving", "note_left", "abandon"):
        patch.setattr(Ledger, name, guarded(getattr(Ledger, name)))


Histories = Callable[..., AbstractContextManager[History]]


@pytest.fixture
def histories(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Histories:
    numbers = count(1)

    @contextlib.contextmanager
    def begun(*, cursor: bool) -> Iterator[History]:
        folder = tmp_path / f"history-{next(numbers)}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        made = type(world)(folder)
        token = CONNECT.set(made.connect())
        try:
            made.caspio.create_table("Products", FIELDS)
            yield History(Shop(made), monkeypatch, cursor)
        finally:
            CONNECT.reset(token)
            made.caspio.close()

    return begun


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CATALOG_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(st.lists(steps, min_size=2, max_size=6), st.booleans(), st.booleans(), st.booleans())
def test_sound_runs_leave_the_catalog_as_computed(
    histories: Histories, history: list[Step], cursor: bool, where: bool, about: bool
) -> None:
    with histories(cursor=cursor) as played:
        for step in history:
            played.play(step)
        played.one_row_an_id()
        for _ in range(2):  # the first may be the one in which the condition or a field changed
            played.play(Step([], where, about, **SOUND))
        rows = played.shop.world.caspio.rows("Products")
        wanted = {row["Code"]: item_of(row, about=about) for row in rows if not where or row["Stock"] > 0}
        extra = "about" in played.shop.catalog().fields and not about
        found = played.shop.items()
        if extra:  # a field that left the mapping is kept with what it had
            found = {
                key: {name: value for name, value in each.items() if name != "about"} for key, each in found.items()
            }
        assert found == wanted
        requests = played.shop.world.braze.requests
        played.play(Step([], where, about, **SOUND))
        writes = played.shop.world.run("products", full=True).requests
        assert (writes, played.shop.world.braze.requests > requests) == (0, True)
