"""Consent that flips on both sides at once, through both flows: it converges, and no change comes back a second time.

`tests/unit/test_writeback_consent.py` plays a thousand such histories against a model. More examples here:
CONSENT_EXAMPLES=500 pytest …
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from caspio_sync.engine.connect import CONNECT
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.flows.returns import RETURN, customers, posted
from tests.flows.world import World

PEOPLE = (1, 2, 3)
WORDS = {"yes": "subscribed", "no": "unsubscribed", "double": "opted_in"}


@dataclass
class History:
    """Both accounts; how often Caspio's cells and Braze's states were set by the flows."""

    world: Any

    def staff(self, person: int, word: str) -> None:
        self.world.caspio.update_rows("Customers", {"Newsletter": word}, f"CustomerNo='c{person}'")

    def customer(self, person: int, word: str) -> None:
        told = self.world.braze.messaging
        state = {"email_subscribe": WORDS[word]}
        told.change_state(f"c{person}", state, at=self.world.clock.now(), source="Preference Center")

    def currents(self) -> None:
        posted(self.world)

    def profile_sync(self) -> Counter[str]:
        """Who was told of to Braze."""
        self.world.forget()
        self.world.run()
        sent = Counter(each["external_id"] for each in self.world.sent() if "email_subscribe" in each)
        self.world.braze.settle()
        return sent

    def engagement_return(self) -> Counter[str]:
        """Whose cell was written."""
        before = self.cells()
        self.world.run("engagement")
        return Counter(key for key, word in self.cells().items() if word != before[key])

    def play(self, name: str, *arguments: Any) -> Any:
        self.world.clock.advance(900)
        return getattr(self, name)(*arguments)

    def round(self) -> tuple[Counter[str], Counter[str]]:
        written = self.play("engagement_return")
        sent = self.play("profile_sync")
        self.play("currents")  # our own write, told back
        return written, sent

    def cells(self) -> dict[str, str]:
        return {row["CustomerNo"]: row["Newsletter"] for row in self.world.caspio.rows("Customers")}

    def differing(self) -> dict[str, Any]:
        """People of whom the two sides say different things."""
        profiles = self.world.profiles()
        both = {key: (WORDS[word], profiles[key]["email_subscribe"]) for key, word in self.cells().items()}
        return {key: states for key, states in both.items() if states[0] != states[1]}


Histories = Callable[[str], AbstractContextManager[History]]


@pytest.fixture
def histories(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Histories:
    numbers = count(1)

    @contextlib.contextmanager
    def begun(policy: str) -> Iterator[History]:
        folder = tmp_path / f"history-{next(numbers)}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        made = type(world)(folder)
        made.braze = BrazeSandbox(BrazeBehaviour(currents=True), clock=made.clock)
        token = CONNECT.set(made.connect())
        try:
            customers(made, len(PEOPLE))
            made.sync()
            made.sync(RETURN.replace("double: opted_in}}", f"double: opted_in}}, conflict: {policy}}}"), "engagement")
            made.run()
            made.braze.settle()
            made.run("engagement")
            yield History(made)
        finally:
            CONNECT.reset(token)
            made.caspio.close()

    return begun


person, word = st.sampled_from(PEOPLE), st.sampled_from(sorted(WORDS))
moves = st.lists(
    st.one_of(
        st.tuples(st.just("staff"), person, word),
        st.tuples(st.just("customer"), person, word),
        st.tuples(st.just("currents")),
        st.tuples(st.just("profile_sync")),
        st.tuples(st.just("engagement_return")),
    ),
    min_size=3,
    max_size=9,
)


@pytest.mark.long
@settings(
    max_examples=int(os.environ.get("CONSENT_EXAMPLES", "25")),
    deadline=None,
    derandomize="CONSENT_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(moves, st.sampled_from(["most_restrictive", "newest", "caspio_wins", "braze_wins"]))
@example([("staff", 1, "no"), ("customer", 1, "double"), ("currents",), ("customer", 1, "yes")], "newest")
def test_both_sides_converge_with_one_echo_at_most(
    histories: Histories, steps: list[tuple[Any, ...]], policy: str
) -> None:
    with histories(policy) as history:
        for name, *arguments in steps:
            history.play(name, *arguments)
        history.play("currents")
        rounds = [history.round() for _ in range(2)]
        assert history.differing() == {}
        written = sum((each for each, _ in rounds), Counter[str]())
        sent = sum((each for _, each in rounds), Counter[str]())
        # The last change travels once each way, whoever made it; a round later everything is quiet.
        assert max([*written.values(), *sent.values()], default=0) <= 1
        assert history.round() == (Counter(), Counter())
        assert history.differing() == {}
