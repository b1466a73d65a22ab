"""`caspio-sync webhooks`: made, repaired and taken away in Caspio, its secret seen by nobody but the settings file."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError
from caspio_sync.feeds import feeds_named
from caspio_sync.sandbox.caspio.emulator import CaspioBehaviour, CaspioSandbox
from caspio_sync.settings import current_settings, receiver_settings
from tests.contract.conftest import API, talk
from tests.flows.happenings import LOOSE, TICKETS_SYNC, ticket, tickets
from tests.flows.hooked import Hooked
from tests.flows.orders import line_of, order, shop
from tests.flows.world import World

ROOT = "https://hooks.example.com"
URL = f"{ROOT}/caspio/customers"


class Command:
    """The command in the world's folder."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.said = ""
        patch.delenv("PREFECT_API_URL")
        patch.setenv("CASPIO_SYNC_RECEIVER_TOKEN", "c2FuZGJveC10b2tlbg==")

    def __call__(self, *words: str, code: int = 0, typed: str | None = None) -> str:
        result = CliRunner().invoke(app, ["webhooks", *words], input=typed)
        error, output, ended = result.exception, result.output, result.exit_code
        if isinstance(error, CaspioSyncError):  # as the console script shows it
            output, ended = f"{output}{error}", error.exit_code
        self.said += output
        assert ended == code, (output, error)
        return output

    def install(self, *words: str, **more: Any) -> str:
        return self("install", "customers", "--url", ROOT, *words, **more)

    @property
    def made(self) -> list[Any]:
        return list(self.world.caspio.webhooks.made.values())

    def secrets(self) -> list[str]:
        return [each.get_secret_value() for each in receiver_settings().webhooks["customers"].secrets]


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    world.people(5)
    world.sync()
    return Command(world, monkeypatch)


def test_a_webhook_is_made_its_secret_written_down_and_shown_to_nobody(command: Command) -> None:
    Path(".env").write_text("# mine\nBRAZE_INSTANCE=\nCASPIO_SYNC_WEBHOOKS=\nCASPIO_SYNC_KEEP_DAYS=30\n")
    command.install("--throttle", "4")
    (hook,) = command.made
    assert (hook.name, hook.urls, hook.throttling) == ("caspio-sync customers", (URL,), 4)
    assert {(each.type, each.table, each.active) for each in hook.events.values()} == {
        (f"table.record{kind}", "Customers", True) for kind in ("Insert", "Update", "Delete")
    }
    assert command.secrets() == [hook.secret]
    assert receiver_settings().webhooks["customers"].table == "Customers"
    assert isinstance(receiver_settings().webhooks["customers"].secrets[0], SecretStr)
    assert hook.secret not in command.said
    lines = Path(".env").read_text().splitlines()
    assert [lines[0], lines[1], lines[3]] == ["# mine", "BRAZE_INSTANCE=", "CASPIO_SYNC_KEEP_DAYS=30"]
    assert feeds_named() == {"customers"}


def test_of_events_the_feed_keeps_rows_and_a_key_is_made_that_nobody_sees(command: Command) -> None:
    world = command.world
    tickets(world, [ticket(1)])
    command("install", "tickets", "--url", ROOT)
    feed, keys = receiver_settings().webhooks["tickets"], receiver_settings().payload_keys
    assert feed.payload
    assert keys is not None
    assert keys.get_secret_value() not in command.said
    assert current_settings().payload_keys == keys
    assert "trust: payload" in checked("tickets")
    command("install", "tickets", "--url", ROOT)
    assert receiver_settings().payload_keys == keys
    world.sync(TICKETS_SYNC + "trust: row\n" + LOOSE, "tickets")
    assert "rows are kept as messages tell them, and read all the same" in checked("tickets")
    command("install", "tickets", "--url", ROOT)
    assert not receiver_settings().webhooks["tickets"].payload
    assert "announced rows are read again" in checked("tickets")
    world.sync(TICKETS_SYNC + LOOSE, "tickets")
    assert "its feed does not keep them" in checked("tickets")
    command.install()
    assert not receiver_settings().webhooks["customers"].payload


def test_of_orders_the_webhook_hears_the_lines_too(command: Command) -> None:
    shop(command.world, [order(1)], [line_of(1, 1), line_of(1, 2)])
    command("install", "placed", "--url", ROOT)
    hook = next(each for each in command.made if each.name.endswith("placed"))
    assert {(each.type, each.table) for each in hook.events.values()} == {
        (f"table.record{kind}", table) for kind in ("Insert", "Update", "Delete") for table in ("Orders", "OrderLines")
    }
    assert receiver_settings().webhooks["placed"].beside == ("OrderLines",)
    assert "as it should be" in command("install", "placed", "--url", ROOT)
    assert "does not hear" not in checked("placed")
    for number, event in list(hook.events.items()):
        if event.table == "OrderLines":
            del hook.events[number]
    assert "does not hear of OrderLines" in checked("placed")


def checked(sync: str) -> str:
    return " ".join(CliRunner().invoke(app, ["check", sync]).output.split())


def test_a_settings_file_that_is_made_is_its_owners_alone_and_another_keeps_its_rights(command: Command) -> None:
    command.install()
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    Path(".env").chmod(0o640)
    command("uninstall", "customers", "--yes")
    assert Path(".env").stat().st_mode & 0o777 == 0o640
    assert command.made == []
    assert feeds_named() == frozenset()
    assert "there was none" in command("uninstall", "customers", "--yes")


def test_what_was_changed_in_caspio_is_set_right_and_the_secret_stays(command: Command) -> None:
    command.install()
    assert "as it should be" in command.install()
    (hook,) = command.made
    secret = hook.secret
    events = list(hook.events.values())
    del hook.events[events[0].id]
    events[1].active = False
    events[2].sources = ("Datasheet",)
    hook.urls = ("https://elsewhere.example.com",)
    said = command.install("--throttle", "2")
    for told in ("table.recordInsert", "switched on again", URL, "2 calls a second"):
        assert told in said
    assert (len(hook.events), hook.urls, hook.throttling) == (3, (URL,), 2)
    assert all(each.active for each in hook.events.values())
    assert command.secrets() == [secret]


def test_without_its_secret_it_is_made_anew_after_asking_and_the_gap_is_swept(command: Command) -> None:
    world = command.world
    world.clock.advance(3600)
    world.run()
    command.install()
    before = command.made[0].secret
    Path(".env").unlink()
    world.clock.advance(3600)
    world.caspio.update_rows("Customers", {"FirstName": "unannounced"}, "PK_ID=2")
    assert "Give --yes" in command.install(code=2)
    assert command.made[0].secret == before
    command.install("--yes")
    (hook,) = command.made
    assert hook.secret != before
    assert command.secrets() == [hook.secret]
    assert before not in command.said
    assert hook.secret not in command.said
    assert world.profiles()["c2"]["first_name"] == "unannounced"


def test_a_sync_that_never_ran_is_not_run_by_installing(command: Command) -> None:
    command.install()
    Path(".env").unlink()
    command.install("--yes")
    assert command.world.sent() == []


def test_a_missing_right_and_a_plan_without_multicast_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.caspio.close()
    world.caspio = CaspioSandbox(CaspioBehaviour(all_objects=False), clock=world.clock)
    world.people(1)
    world.sync()
    command = Command(world, monkeypatch)
    assert "Enable access to all objects" in _plain(command.install(code=2))
    world.caspio.close()
    world.caspio = CaspioSandbox(clock=world.clock)
    world.people(1)
    assert "multicast" in _plain(command.install("--url", "https://b.example.com", code=2))
    assert "plan's maximum" in _plain(command.install("--throttle", "99", code=2))
    assert command.made == []
    assert not Path(".env").exists()


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com", "hooks.example.com", "https://u:p@hooks.example.com", "https://x.example/?a=1"]
)
def test_an_address_that_caspio_does_not_call_is_refused_before_anything_is_made(command: Command, url: str) -> None:
    assert "https://" in _plain(command("install", "customers", "--url", url, code=2))
    assert command.made == []


def test_a_settings_file_that_cannot_be_written_leaves_no_webhook_behind(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert "cannot be written" in _plain(command.install(code=2))
    assert command.made == []


def test_the_environment_would_win_over_the_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASPIO_SYNC_WEBHOOKS", '{"customers": {"secrets": ["12345678"]}}')
    assert "wins over" in _plain(command.install(code=2))
    assert command.made == []


def test_status_tells_both_sides_and_what_webhooks_never_announced(command: Command) -> None:
    world, hooked = command.world, Hooked(command.world)
    world.clock.advance(3600)
    world.run()
    world.clock.advance(3600)
    command.install()
    (hook,) = command.made
    hooked.secrets["customers"] = hook.secret
    for number in (1, 2, 3):
        world.caspio.datasheet.update("Customers", {"FirstName": "x"}, f"PK_ID={number}")
    hooked.deliver()
    world.clock.advance(60)
    world.run(hints=True)
    world.caspio.update_rows("Customers", {"FirstName": "import"}, "PK_ID=4")
    world.clock.advance(60)
    world.run()
    told = json.loads(command("status", "customers", "--json"))
    assert told["caspio"] == {"Messages": 3, "Calls": 3, "Errors": 0}
    assert told["received"] == {"kept": 3}
    assert (told["announced"], told["found_by_sweep"], told["waiting"]) == (3, 1, 0)
    shown = CliRunner().invoke(app, ["status", "customers"]).output
    assert "webhooks announced 75 %, the sweep found 25 % (4 rows)" in _plain(shown)
    assert world.plan().hint_calls_a_month == 30 * 3  # as of one day
    assert "webhooks announced 75 %, the sweep found 25 % (4 rows)" in command("status", "customers")


def test_announced_rows_that_nobody_reads_are_told(command: Command) -> None:
    world, hooked = command.world, Hooked(command.world)
    command.install()
    hooked.secrets["customers"] = command.made[0].secret
    world.caspio.datasheet.update("Customers", {"FirstName": "x"}, "PK_ID=1")
    hooked.deliver()
    assert "nobody listens" not in command("status", "customers")
    world.clock.advance(1200)
    assert "1 announced rows wait since" in _plain(command("status", "customers"))
    assert "nobody listens" in _plain(CliRunner().invoke(app, ["check", "customers"]).output)


def test_a_webhook_that_somebody_paused_or_deleted_is_told(command: Command) -> None:
    command.install()
    (hook,) = command.made
    talk(command.world.caspio, lambda client: client.put(f"{API}outgoingWebhooks/{hook.id}", json={"Enabled": False}))
    assert "switched off in Caspio" in _plain(command("status", "customers"))
    checked = CliRunner().invoke(app, ["check", "customers"]).output
    assert "its webhook is switched off in Caspio" in _plain(checked)
    talk(command.world.caspio, lambda client: client.delete(f"{API}outgoingWebhooks/{hook.id}"))
    assert "is gone from Caspio" in _plain(command("status", "customers"))


def _plain(text: str) -> str:
    return " ".join(text.split())
