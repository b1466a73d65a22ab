"""Consent under fire: random histories of states, addresses, held rows, refusals and crashes, through whole flows.

After every request that Braze takes, no state is looser than the newest one acknowledged (consent_model.py); and once
a sound run has ended, Braze holds what the source says. More examples: CONSENT_EXAMPLES=2000 pytest …
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from caspio_sync.engine.connect import CONNECT
from caspio_sync.ledger.store import Ledger
from caspio_sync.sandbox.faults import Fault
from tests.flows.consent_model import EMAIL_GROUP, RANKS, SMS_GROUP, STATES, ConsentModel, held_state, strictest
from tests.flows.crashes import Crashed, crash_at
from tests.flows.world import World

EXAMPLES = int(os.environ.get("CONSENT_EXAMPLES", "15"))
PEOPLE = (1, 2, 3)
SECOND = (11, 12)  # rows that bear the keys of 1 and 2: held, and heeded
ROWS = (*PEOPLE, *SECOND)
STEPS = ("map", "compare", "send opt-outs", "gate", "send", "record")
FIELDS: list[dict[str, Any]] = [
    *(
        {"Name": name, "Type": "STRING"}
        for name in ("CustomerNo", "RowNo", "Email", "Phone", "Points", *STATES.values())
    ),
    {"Name": "ChangedAt", "Type": "TIMESTAMP", "OnInsert": True, "OnUpdate": True, "TimeZone": "UTC"},
]
SYNC = """\
kind: profiles
source: {table: Customers, cursor: ChangedAt}
identity: {external_id: CustomerNo}
fields:
  email: Email
  phone: {from: Phone, transform: {phone: GB}}
  points: {from: Points, type: integer}
"""
GLOBAL = st.sampled_from(["opted_in", "subscribed", "unsubscribed", "unsubscribed", None])
GROUP = st.sampled_from(["subscribed", "unsubscribed", "unsubscribed", None])


def key(person: int) -> str:
    """The key of a row."""
    return f"c{person % 10}"


@st.composite
def versions(draw: st.DrawFn, person: int) -> dict[str, Any]:
    """A version of a person's row. Addresses are the person's own: Braze shares states between those who share one."""
    return {
        "CustomerNo": key(person),
        "Email": draw(st.sampled_from([f"{key(person)}@{host}.example" for host in "abc"])),
        "Phone": f"+4420794600{person % 10}{draw(st.integers(0, 2))}",
        "RowNo": str(person),
        "Points": draw(st.sampled_from(["1", "1", "2", "many"])),
        "EmailConsent": draw(GLOBAL),
        "PushConsent": draw(GLOBAL),
        "EmailGroup": draw(GROUP),
        "SmsGroup": draw(GROUP),
    }


@dataclass(frozen=True)
class Refill:
    """The table emptied, and filled again."""

    order: tuple[int, ...]
    anew: bool  # with PK_IDs from 1


@dataclass(frozen=True)
class Step:
    """What happens before one run, to it, and how it is asked for."""

    rows: dict[int, dict[str, Any]]
    mapped: frozenset[str] | None
    required: str | None
    crash: tuple[str, str, int] | None
    uncommitted: int | None
    faults: tuple[Fault, ...]
    options: dict[str, Any]
    gone: frozenset[int] = frozenset()  # rows that are deleted
    filled: Refill | None = None  # then the table is emptied and filled again


nothing: st.SearchStrategy[Any] = st.none()
crashes = st.tuples(st.sampled_from(STEPS), st.sampled_from(["before", "after"]), st.integers(1, 2))
refusals = st.builds(
    lambda nth, index: (Fault(kind="reject", path="/users/track", nth=(nth,), indexes=(index,)),),
    st.integers(1, 2),
    st.integers(0, 1),
)
steps = st.builds(
    Step,
    rows=st.fixed_dictionaries({}, optional={person: versions(person) for person in ROWS}),
    mapped=nothing | nothing | st.frozensets(st.sampled_from(sorted(STATES))),
    required=nothing | nothing | st.just("email_subscribe"),
    crash=nothing | nothing | crashes,
    uncommitted=nothing | nothing | st.integers(1, 3),
    faults=st.just(()) | st.just(()) | refusals,
    options=st.sampled_from([{}, {}, {}, {"keys": ("c1",)}, {"limit": 2}, {"resend": True}, {"full": True}]),
    gone=st.just(frozenset()) | st.just(frozenset()) | st.frozensets(st.sampled_from(ROWS), max_size=2),
    filled=nothing | nothing | st.builds(Refill, st.permutations(ROWS).map(tuple), st.booleans()),
)


@dataclass
class History:
    """One world, and the model that watches it."""

    world: Any
    model: ConsentModel
    patch: pytest.MonkeyPatch
    rows: dict[int, dict[str, Any]]
    deleted: set[str] = field(default_factory=set)  # keys of rows that were deleted: what they said counts on

    def play(self, step: Step) -> None:
        self.change(step.rows)
        self.take_out(step.gone)
        if step.filled is not None:
            self.fill_again(step.filled)
        self.write_sync(step.mapped, step.required)
        self.world.break_braze(*step.faults)
        with self.patch.context() as patch:
            crash_at(patch, step.crash)
            self._follow(patch, step.uncommitted)
            ended = self._run(step.options)
        if ended == "blocked" and self.model.loosened:
            self.model.broken.append(f"a blocked batch loosened {self.model.loosened}")

    def change(self, rows: dict[int, dict[str, Any]]) -> None:
        self.world.clock.advance(3600)
        for person, version in rows.items():
            if person in self.rows:
                self.world.caspio.update_rows("Customers", version, f"RowNo = '{person}'")
            else:
                self.world.caspio.insert_rows("Customers", [version])
        self.rows |= rows

    def take_out(self, gone: frozenset[int]) -> None:
        for person in gone & self.rows.keys():
            self.world.caspio.delete_rows("Customers", f"RowNo = '{person}'")
            del self.rows[person]
            self.deleted.add(key(person))

    def fill_again(self, refill: Refill) -> None:
        self.deleted |= set(self.by_key())
        refilled = [self.rows[person] for person in refill.order if person in self.rows]
        self.world.caspio.delete_rows("Customers", "PK_ID > 0")
        if refill.anew:
            self.world.caspio.account.renumber(self.world.caspio.account.table("Customers"))
        self.world.caspio.insert_rows("Customers", refilled)

    def write_sync(self, mapped: frozenset[str] | None, required: str | None) -> None:
        chosen = frozenset(STATES) if mapped is None else mapped
        required = required if required in chosen else None
        groups = [
            f"{{id: {group}, channel: {channel}, from: {STATES[group]}}}"
            for group, channel in ((EMAIL_GROUP, "email"), (SMS_GROUP, "sms"))
            if group in chosen
        ]
        states = [f"  {name}: {STATES[name]}" for name in ("email_subscribe", "push_subscribe") if name in chosen]
        consent = [*states, f"  subscription_groups: [{', '.join(groups)}]", f"  require: [{required or ''}]"]
        gate = "gate: {max_quarantined_rows: 3}\n"
        self.world.sync("\n".join([f"{SYNC}consent:", *consent, gate]))
        self.model.begins(self.by_key(), chosen, required)

    def by_key(self) -> dict[str, list[dict[str, Any]]]:
        of_key: dict[str, list[dict[str, Any]]] = {}
        for person, row in self.rows.items():
            of_key.setdefault(key(person), []).append(row)
        return of_key

    def _run(self, options: dict[str, Any]) -> str:
        from caspio_sync.errors import CaspioSyncError, GateBlockedError

        try:
            self.world.run(**options)
        except GateBlockedError:
            return "blocked"
        except (CaspioSyncError, Crashed, BaseExceptionGroup):
            return "failed"
        return "done"

    def _follow(self, patch: pytest.MonkeyPatch, uncommitted: int | None) -> None:
        """Watch what Braze takes and what the ledger commits; the `uncommitted`-th commit never happens."""
        journal, model, commits = self.world.braze.journal, self.model, count(1)
        append, record, record_sent = journal.append, Ledger.record, Ledger.record_sent

        def appended(number: int, body: bytes, rejected: Any, now: float) -> None:
            append(number, body, rejected, now)
            model.taken(body, rejected)
            model.check(self.world.profiles(), f"request {number}")

        def commit(call: Any, ledger: Ledger, *args: Any, **kwargs: Any) -> None:
            if next(commits) == uncommitted:
                raise Crashed
            call(ledger, *args, **kwargs)

        def recorded(ledger: Ledger, **told: Any) -> None:
            commit(record, ledger, **told)
            for key, verdict in told["rows"].select("key", "verdict").iter_rows():
                if verdict == "sent":
                    model.committed(key)

        def recorded_sent(ledger: Ledger, sending: Any, accepted: Any) -> None:
            accepted = list(accepted)
            commit(record_sent, ledger, sending, accepted)
            for each in accepted:
                for key in sending.rows["key"][each.start : each.start + each.count]:
                    model.committed(key)

        patch.setattr(journal, "append", appended)
        patch.setattr(Ledger, "record", recorded)
        patch.setattr(Ledger, "record_sent", recorded_sent)


Histories = Callable[[], AbstractContextManager[History]]


@pytest.fixture
def histories(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Histories:
    numbers = count(1)

    @contextlib.contextmanager
    def begun() -> Iterator[History]:
        folder = tmp_path / f"history-{next(numbers)}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        made = type(world)(folder)
        token = CONNECT.set(made.connect())
        try:
            made.customers([], FIELDS)
            yield History(made, ConsentModel(), monkeypatch, {})
        finally:
            CONNECT.reset(token)
            made.caspio.close()

    return begun


FIXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CONSENT_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@FIXED
@given(st.lists(steps, min_size=2, max_size=6), st.tuples(*map(versions, ROWS)))
def test_consent_is_never_loosened_but_by_the_source(
    histories: Histories, history: list[Step], last: tuple[dict[str, Any], ...]
) -> None:
    with histories() as played:
        for step in history:
            played.play(step)
            assert not played.model.broken
        # A sound run at last: all that the source says of consent has arrived.
        sound = {person: version | {"Points": "1"} for person, version in zip(ROWS, last, strict=True)}
        played.play(Step(sound, None, None, None, None, (), {}))
        assert not played.model.broken
        profiles = played.world.profiles()
        for named, rows in played.by_key().items():
            for name, source in STATES.items():
                held, most = RANKS[held_state(profiles[named], name)], strictest(rows, name)
                # Of what a second row alone tells, only a "no" leaves.
                all_tell = all(row[source] is not None for row in rows)
                assert held >= most or not (all_tell or most == RANKS["unsubscribed"]), (named, name)
                if all_tell and named not in played.deleted:
                    assert held == most, (named, name)
