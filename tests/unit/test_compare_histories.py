"""Whatever happens to a row over time, Braze ends with its last version, and nothing is left to send.

Histories are played through the comparison, a real ledger, and a model of Braze that is given only what travels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caspio_sync.destinations.braze import consent as braze
from caspio_sync.ledger.compare import ONLY_OPT_OUT, OPT_OUT, Comparison, Versions, compare, opt_out, repeated, send
from caspio_sync.ledger.store import Ledger
from caspio_sync.schemas import MappedColumn

EMAIL_GROUP, SMS_GROUP = "subscription_groups.e", "subscription_groups.s"
STATES = st.sampled_from(["opted_in", "subscribed", "unsubscribed", None])
GROUP_STATES = st.sampled_from(["subscribed", "unsubscribed", None])
COLUMNS = (
    MappedColumn("email", pl.String),
    MappedColumn("phone", pl.String, on_null="clear"),
    MappedColumn("orders", pl.Int64),
    MappedColumn("notes", pl.String),
    MappedColumn("extra", pl.Float64),
    MappedColumn("email_subscribe", pl.String, role="consent"),
    MappedColumn("push_subscribe", pl.String, role="consent"),
    MappedColumn(EMAIL_GROUP, pl.String, role="subscription_group", channel="email"),
    MappedColumn(SMS_GROUP, pl.String, role="subscription_group", channel="sms"),
)
CONSENT = [column.name for column in COLUMNS if column.role != "attribute"]
# What Braze sets back when an address or a number changes.
RESETS = {"email": ("email_subscribe", EMAIL_GROUP), "phone": (SMS_GROUP,)}

Values = dict[str, Any]


@dataclass
class Profiles:
    """Braze, as far as the rules of profile syncs go; a None in what is applied removes the value."""

    held: dict[str, Values] = field(default_factory=dict)

    def apply(self, key: str, values: Values, *, update_only: bool = False) -> None:
        if update_only and key not in self.held:
            return
        profile = self.held.setdefault(key, {})
        for trigger, states in RESETS.items():
            if trigger in values and values[trigger] != profile.get(trigger):
                profile.update(dict.fromkeys(states, "subscribed"))
        profile.update(values)
        for name in [name for name, value in profile.items() if value is None]:
            del profile[name]


versions = st.fixed_dictionaries(
    {
        "source_pk": st.integers(1, 2),
        "key": st.sampled_from(["a", "a", "A", "b"]),
        "email": st.sampled_from(["x@example.com", "y@example.com", None]),
        "phone": st.sampled_from(["+1", "+2", None]),
        "orders": st.sampled_from([0, 1, None]),
        "notes": st.sampled_from(["", "n", None]),
        "extra": st.sampled_from([0.0, -0.0, 1.5, None]),
        "email_subscribe": STATES,
        "push_subscribe": STATES,
        EMAIL_GROUP: GROUP_STATES,
        SMS_GROUP: GROUP_STATES,
    }
)
# sent; held by the gate; sent, its answer lost, with or without effect; cut off after the opt-outs
fates = st.sampled_from(["sent", "sent", "quarantined", "unknown, landed", "unknown, lost", "cut off"])


@dataclass(frozen=True)
class Mapping:
    removed: frozenset[str] = frozenset()
    clearing: bool = False

    @property
    def columns(self) -> tuple[MappedColumn, ...]:
        return tuple(
            replace(column, on_null="clear") if self.clearing and column.name == "notes" else column
            for column in COLUMNS
            if column.name not in self.removed
        )


mappings = st.builds(Mapping, st.frozensets(st.sampled_from(["extra", "orders"])), st.booleans())
steps = st.lists(st.tuples(versions, fates, st.one_of(st.none(), st.none(), mappings)), min_size=1, max_size=7)


@dataclass
class World:
    """A ledger, Braze, and what Braze should hold."""

    ledger: Ledger
    sync: str
    mapping: Mapping = Mapping()
    suite: int = 1
    braze: Profiles = field(default_factory=Profiles)
    wanted: Profiles = field(default_factory=Profiles)
    # The states last acknowledged of each row, under the key it then had.
    told: dict[int, tuple[str, Values]] = field(default_factory=dict)
    runs: Iterator[int] = field(default_factory=lambda: count(1))

    def compare(self, version: Values) -> Comparison:
        columns = self.mapping.columns
        dtypes = {column.name: column.dtype for column in columns}
        names = tuple(dtypes)
        frame = pl.DataFrame(
            [{"source_pk": version["source_pk"], "key": f"{version['source_pk']}{version['key']}", "problems": None} | {name: version[name] for name in names}],
            schema={"source_pk": pl.Int64, "key": pl.String, **dtypes, "problems": pl.String},
        )  # fmt: skip
        number = self.ledger.mapping_version(self.sync, repr(self.mapping), names)
        return compare(
            frame,
            self.ledger.read_rows(self.sync, 1, 9),
            columns=columns,
            versions=Versions(number, self.suite, self.ledger.mapping_fields(self.sync)),
            consent=braze.CONSENT,
            salt=7,
        )

    def play(self, version: Values, fate: str) -> None:
        compared = self.compare(version)
        self._settle(compared)
        for row in compared.changes.iter_rows(named=True):
            self._opt_out(row, fate)
            # A "no" is in Braze before anything else of that user leaves, whatever the gate says.
            assert row["_op"] == "new" or self._is_opted_out(row)
            if fate != "cut off":
                self._send(row, fate)
            if fate in {"sent", "unknown, landed"}:
                self.wanted.apply(*self.whole(version))

    def _settle(self, compared: Comparison) -> None:
        rows = compared.settled.rename({"fields": "sent_fields"})
        number = self.ledger.mapping_version(self.sync, repr(self.mapping), ())
        constants = {"mapping_version": pl.lit(number), "suite_version": pl.lit(self.suite)}
        self.ledger.rebase(sync=self.sync, rows=rows.with_columns(**constants))

    def _opt_out(self, row: Values, fate: str) -> None:
        if not row[OPT_OUT] or (row["_op"] == "new" and fate != "quarantined"):
            return
        states = {name: row[name] for name in CONSENT if row[opt_out(name)]}
        for profiles in (self.braze, self.wanted):
            profiles.apply(row["key"], states, update_only=True)
        self._record(row, "consent", "sent", row["consent_fields"], row["consent_changed"])

    def _is_opted_out(self, row: Values) -> bool:
        profile = self.braze.held.get(row["key"])
        unsubscribed = [name for name in CONSENT if row[name] == "unsubscribed"]
        return profile is None or all(profile.get(name) == "unsubscribed" for name in unsubscribed)

    def _send(self, row: Values, fate: str) -> None:
        if fate not in {"quarantined", "unknown, lost"} and not row[ONLY_OPT_OUT]:
            travels = [column.name for column in self.mapping.columns if row[send(column.name)]]
            assert row["_changed"].split(",") == travels
            self.braze.apply(row["key"], {name: self._value(row, name) for name in travels})
        verdict = "sent" if row[ONLY_OPT_OUT] and fate != "quarantined" else fate.partition(",")[0]
        self._record(row, "profile", verdict, row["fields"], row["changed"])

    @staticmethod
    def _value(row: Values, name: str) -> Any:
        return row[repeated(name)] if name in CONSENT and row[name] is None else row[name]

    def _record(self, row: Values, part: str, verdict: str, fields: bytes, changed: bytes) -> None:
        number = self.ledger.mapping_version(self.sync, repr(self.mapping), ())
        told = {"part": part, "verdict": verdict, "reason": None, "request": 1, "status": 201}
        record = {name: row[name] for name in ("source_pk", "key", "key_hash", "fp")} | told
        record |= {"sent_fields": fields, "changed": changed, "suite_version": self.suite, "mapping_version": number}
        frame = pl.DataFrame([record], schema_overrides={"reason": pl.String})
        self.ledger.record(sync=self.sync, run=f"r{next(self.runs)}", batch=1, rows=frame)
        key, states = self.told.get(row["source_pk"], (None, {}))
        states = states if key == row["key"] else {}
        if verdict == "sent":
            left = [name for name in CONSENT if row[(opt_out if part == "consent" else send)(name)]]
            states = states | {name: self._value(row, name) for name in left}
        self.told[row["source_pk"]] = (row["key"], states)

    def whole(self, version: Values) -> tuple[str, Values]:
        """The version as a sync without a diff would send it."""
        kept = {
            column.name: version[column.name]
            for column in self.mapping.columns
            if version[column.name] is not None or column.on_null == "clear"
        }
        # A "no" that was acknowledged stands until the row says otherwise.
        key = f"{version['source_pk']}{version['key']}"
        known, states = self.told.get(version["source_pk"], (None, {}))
        refused = {name: state for name, state in states.items() if known == key and state == "unsubscribed"}
        return key, {name: state for name, state in refused.items() if version[name] is None} | kept


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db") as opened:
        yield opened


_SYNCS = count(1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, versions)
def test_braze_ends_with_the_last_version_and_nothing_is_left_to_send(
    ledger: Ledger, history: list[tuple[Values, str, Mapping | None]], last: Values
) -> None:
    world = World(ledger, f"s{next(_SYNCS)}")
    for version, fate, mapping in history:
        world.mapping = mapping or world.mapping
        world.play(version, fate)
    world.suite = 2  # what was held is judged again
    world.play(last, "sent")
    key, values = world.whole(last)
    held = world.braze.held[key]
    assert {name: held.get(name) for name in values} == values
    assert held == world.wanted.held[key]
    again = world.compare(last)
    assert (again.changes.height, again.settled.height, again.unchanged) == (0, 0, 1)
