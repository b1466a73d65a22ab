"""`pause` and `resume`: what they say, and how a pause is seen."""

import json
from datetime import timedelta
from typing import Any

import pytest

from caspio_sync.errors import ConfigurationError
from tests.unit.cli.conftest import SYNC, Shop
from tests.unit.cli.dashboard_visitor import Visitor, text_of


@pytest.fixture
def two(shop: Shop) -> Shop:
    shop.write_sync()
    shop.write_sync(SYNC + "enabled: false\n", name="quiet")
    return shop


def paused(shop: Shop) -> dict[str, Any]:
    return {each["sync"]: each["paused"] for each in shop.document("status")}


def test_a_pause_is_seen_wherever_one_looks_until_it_is_over(two: Shop) -> None:
    assert paused(two) == {"customers": None, "quiet": None}
    done = two.run("pause", "customers", "--reason", " a wrong [price] ")
    assert done.output.strip() == (
        "customers is paused: opt-outs and erasures alone are sent, until `caspio-sync resume customers`"
    )
    assert paused(two) == {
        "customers": {
            "at": two.clock.now().isoformat(),
            "everything": False,
            "reason": "a wrong [price]",
            "of_all": False,
        },
        "quiet": None,
    }
    line = "since 2026-03-02 12:00 UTC (a wrong [price]): opt-outs and erasures alone are sent"
    assert f"PAUSED            {line}; `caspio-sync resume customers` ends it" in two.run("status", "customers").output
    page = text_of(Visitor().get("/").text)
    assert f"paused {line} caspio-sync resume customers" in page
    assert page.count("paused") == 2  # the badge, and the line
    assert two.run("resume", "customers").output.strip() == "the pause of customers is over"
    assert paused(two) == {"customers": None, "quiet": None}
    assert "paused" not in text_of(Visitor().get("/sync/customers").text)


def test_all_syncs_are_paused_and_resumed_together(two: Shop) -> None:
    two.run("pause", "quiet")
    two.clock.advance(60)
    assert "all syncs are paused: nothing is read or sent, until" in two.run("pause", "--all", "--everything").output
    later = (two.clock.now() - timedelta()).isoformat()
    assert {(each["at"], each["everything"], each["of_all"]) for each in paused(two).values()} == {(later, True, True)}
    assert "--all" in two.run("status", "customers").output
    refused = two.run("resume", "customers").exception
    assert "customers has no pause of its own; all syncs are paused: `caspio-sync resume --all`" in str(refused)
    assert "the pause of quiet is over, but all syncs are paused" in str(two.run("resume", "quiet").exception)
    assert two.run("resume", "--all").exit_code == 0
    assert paused(two) == {"customers": None, "quiet": None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause"], "name one sync, or say --all"),
        (["pause", "customers", "--all"], "name one sync, or say --all"),
        (["resume"], "name one sync, or say --all"),
        (["pause", "nobody"], "no sync of this name"),
        (["resume", "customers"], "the pause of customers cannot be ended: there is none"),
        (["resume", "--all"], "the pause of all syncs cannot be ended: there is none"),
    ],
)
def test_what_is_meant_has_to_be_said(two: Shop, arguments: list[str], said: str) -> None:
    found = two.run(*arguments).exception
    assert isinstance(found, ConfigurationError)
    assert said in str(found)
    assert json.dumps(paused(two)) == '{"customers": null, "quiet": null}'


def test_a_run_under_a_pause_ends_with_3_and_is_no_fault_on_the_page(two: Shop) -> None:
    two.run("pause", "customers")
    done = two.run("run", "customers")
    assert "opt-outs and erasures left, and nothing else; the cursor stays" in str(done.exception) + done.output
    assert two.braze.profiles() == {}
    (last,) = two.document("runs", "customers")
    assert (last["state"], last["exit_code"]) == ("interrupted", 3)
    assert 'class="card urgent"' not in Visitor().get("/").text
    two.run("resume", "customers")
    assert two.run("run", "customers").exit_code == 0
    assert set(two.braze.profiles()) == {"A1", "C3"}
