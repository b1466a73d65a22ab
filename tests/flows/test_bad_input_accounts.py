"""Wrong credentials, instances and permissions: the run ends at once, says what to do, and nothing is sent or recorded."""

import pytest

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.world import World


@pytest.fixture
def few(world: World) -> World:
    world.people(5)
    world.sync()
    return world


def test_wrong_caspio_secret_ends_before_anything_is_read(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_CLIENT_SECRET", "not-the-secret-4711")
    ended = few.ended()
    assert ended.code == 2
    assert "asking Caspio for a token" in ended.message
    assert "check the client id and secret" in ended.message
    assert "4711" not in ended.message
    assert few.refused_plan().exit_code == 2
    assert few.braze.requests == 0
    assert not few.ledger_file.exists()


def test_wrong_braze_key_ends_the_run_and_leaves_nothing_behind(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAZE_API_KEY", "not-the-key-4711")
    ended = few.ended()
    assert ended.code == 2
    assert "401" in ended.message
    assert "check the REST API key, and that the endpoint is the instance it was made on" in ended.message
    assert "4711" not in ended.message
    assert (few.braze.objects, few.verdicts(), few.watermark()) == (0, {}, None)
    monkeypatch.setenv("BRAZE_API_KEY", "sandbox-key")
    assert few.ended().report.sent == 5


def test_braze_key_without_the_permission_is_told_which(few: World) -> None:
    few.braze = BrazeSandbox(BrazeBehaviour(keys={"sandbox-key": frozenset({"users.export.ids"})}), few.clock)
    ended = few.ended()
    assert ended.code == 2
    assert "403" in ended.message
    assert "users.track" in ended.message
    assert (few.braze.objects, few.verdicts(), few.watermark()) == (0, {}, None)


def test_braze_instance_that_does_not_answer_fails_as_such(few: World) -> None:
    few.break_braze(Fault(kind="reset_before"))
    ended = few.ended()
    assert ended.code == 4
    assert "sending profiles: no answer from POST braze.test/users/track" in ended.message
    assert (few.verdicts(), few.watermark()) == ({}, None)
    with few.ledger() as ledger:
        run = ledger.last_run("customers")
    assert (run.state, run.exit_code) == ("failed", 4)
    few.break_braze()
    assert few.ended().report.sent == 5


def test_address_that_is_no_braze_instance_is_refused(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAZE_REST_ENDPOINT", "dashboard-01.braze.com")
    ended = few.ended()
    assert ended.code == 2
    assert "'dashboard-01.braze.com' is no REST address" in ended.message


def test_caspio_that_does_not_answer_fails_within_its_minute(few: World) -> None:
    few.break_caspio(Fault(kind="status", status=503))
    before = few.clock.monotonic()
    ended = few.ended()
    assert ended.code == 4
    assert "503" in ended.message
    assert few.clock.monotonic() - before < 100
    assert few.braze.requests == 0


def test_missing_settings_are_all_named_and_no_value_is_shown(few: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from caspio_sync.errors import ConfigurationError

    monkeypatch.delenv("CASPIO_CLIENT_SECRET")
    monkeypatch.delenv("BRAZE_API_KEY")
    with pytest.raises(ConfigurationError) as caught:
        few.run()
    assert "CASPIO_CLIENT_SECRET" in str(caught.value)
    assert "BRAZE_API_KEY" in str(caught.value)
    assert "sandbox" not in str(caught.value).replace("--sandbox", "").replace("the sandbox first", "").replace(
        "sandbox up", ""
    )
