"""For each promise of the suite a sink that breaks it: the suite says so."""

import inspect
from typing import Any

import pytest

from caspio_sync import registry
from tests.destinations.stage import BrazeEvents, BrazeProfiles, Stage
from tests.destinations.suite import ConsentSuite
from tests.flows.world import World

BREAKS = {
    "test_each_row_has_one_outcome_and_what_is_called_sent_has_arrived": "SWALLOWS_REFUSALS",
    "test_a_refusal_is_led_back_to_its_row": "BLAMES_THE_FIRST",
    "test_no_request_holds_more_than_the_vendor_allows": "SENDS_TOO_MUCH",
    "test_the_limit_that_the_vendor_keeps_is_followed": "IGNORES_LIMITS",
    "test_a_lost_answer_ends_as_when_lost_says": "ADDS_UP",
    "test_a_second_run_sends_nothing": "IS_NEVER_SURE",
    "test_a_change_arrives": "KEEPS_CHANGES",
    "test_secrets_are_nowhere": "TELLS_ITS_KEY",
    "test_an_opt_out_arrives_though_its_row_is_held": "HOLDS_OPT_OUTS_BACK",
    "test_consent_is_never_loosened": "FORGETS_RESETS",
}

# What is promised otherwise of objects that count each time.
BREAKS_OF_EVENTS = {"test_a_lost_answer_ends_as_when_lost_says": "REPEATS_ALL_THE_SAME"}


def test_each_promise_has_a_sink_that_breaks_it() -> None:
    assert BREAKS.keys() == {name for name in dir(ConsentSuite) if name.startswith("test_")}


@pytest.mark.parametrize(
    "case",
    [
        *((BrazeProfiles, *each) for each in BREAKS.items()),
        *((BrazeEvents, *each) for each in BREAKS_OF_EVENTS.items()),
    ],
)
def test_the_suite_finds_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: tuple[type[Stage], str, str]
) -> None:
    stage, promise, broken = case
    monkeypatch.setattr(registry, "DESTINATIONS", {"braze": f"tests.destinations.broken.sinks:{broken}"})
    judge: Any = getattr(ConsentSuite(), promise)
    arguments: dict[str, Any] = {"stage": stage(world), "caplog": caplog}
    with pytest.raises(AssertionError):
        judge(**{name: arguments[name] for name in inspect.signature(judge).parameters})
