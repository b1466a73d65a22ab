"""`caspio-sync webhooks` and `check` of what comes back from ActiveCampaign: made, repaired, looked at, taken away."""

from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError
from caspio_sync.feeds import HOOK_VARIABLE, hook_secret
from caspio_sync.sandbox.activecampaign.webhooks import Webhook
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import receiver_settings
from tests.flows.told_contacts import ToldContacts
from tests.flows.world import World

ROOT = "https://hooks.example.com"


class Command:
    """The commands in the world's folder."""

    def __init__(self, contacts: ToldContacts) -> None:
        self.contacts = contacts
        self.said = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        error, output, ended = result.exception, result.output, result.exit_code
        if isinstance(error, CaspioSyncError):  # as the console script shows it
            output, ended = f"{output}{error}", error.exit_code
        self.said += output
        assert ended == code, (output, error)
        return " ".join(output.split())

    def install(self, *words: str, code: int = 0) -> str:
        return self("webhooks", "install", "back", "--url", ROOT, *words, code=code)

    @property
    def made(self) -> list[Webhook]:
        return list(self.contacts.account.webhooks.made.values())


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("PREFECT_API_URL")
    return Command(ToldContacts(world))


def test_it_is_made_with_a_secret_that_nobody_is_shown(command: Command) -> None:
    said = command.install()
    (hook,) = command.made
    assert (hook.name, hook.url) == ("caspio-sync back", f"{ROOT}/activecampaign/{hook_secret()}")
    assert "api" not in hook.sources
    assert "hears subscribe, unsubscribe, bounce, sent, open, click" in said
    assert [each.get_secret_value() for each in receiver_settings().hook_secrets] == [hook_secret()]
    assert len(hook_secret()) > 40
    assert "ok" in command("webhooks", "status", "back")
    assert "webhook: hears" in command("check", "back")
    assert hook_secret() not in command.said


def test_made_again_it_stays_as_it_is(command: Command) -> None:
    command.install()
    before = command.made[0]
    assert "it is as it should be" in command.install()
    assert command.made == [before]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": ("open",)}, "it does not hear bounce, click, sent, subscribe, unsubscribe"),
        ({"sources": ("public", "admin", "api", "system")}, "it hears what calls do, our own too"),
        ({"sources": ("admin",)}, "it does not hear everybody"),
        ({"listid": "11"}, "it hears of one list alone"),
    ],
)
def test_what_differs_is_told_and_set_right(command: Command, change: dict[str, Any], said: str) -> None:
    command.install()
    for name, value in change.items():
        setattr(command.made[0], name, value)
    assert said in command("webhooks", "status", "back")
    assert said in command("check", "back")
    assert f"set right: {said}" in command.install()
    assert "webhook: hears" in command("webhooks", "status", "back")


def test_another_address_is_told_and_set_right(command: Command) -> None:
    command.install()
    command.made[0].url = "https://hooks.example.com/activecampaign/somebody-elses"
    assert "another secret than CASPIO_SYNC_ACTIVECAMPAIGN_SECRET" in command("check", "back")
    command.install()
    assert command.made[0].url.endswith(hook_secret())


def test_one_that_is_gone_is_told_and_made_anew(command: Command) -> None:
    command.install()
    secret = hook_secret()
    command.contacts.account.webhooks.made.clear()
    assert "is gone from ActiveCampaign" in command("check", "back")
    command.install()
    assert (len(command.made), hook_secret()) == (1, secret)


def test_doubles_and_a_lost_answer_leave_one(command: Command) -> None:
    command.contacts.world.break_activecampaign(
        Fault(kind="reset_after", path="/api/3/webhooks", method="POST", nth=(1,))
    )
    command.install()
    assert len(command.made) == 1
    command.contacts.world.break_activecampaign()
    first = command.made[0]
    command.contacts.account.webhooks.made["99"] = Webhook("99", first.name, first.url, first.events, first.sources)
    assert "1 more of its name deleted" in command.install()
    assert [each.id for each in command.made] == [first.id]


def test_it_is_taken_away_with_its_secret_unless_another_sync_uses_it(command: Command) -> None:
    command.install()
    command.contacts.account.webhooks.made["99"] = Webhook("99", "caspio-sync other", ROOT, ("open",), ("public",))
    assert "deleted" in command("webhooks", "uninstall", "back", "--yes")
    assert hook_secret()
    command.contacts.account.webhooks.made.clear()
    assert "there was none" in command("webhooks", "uninstall", "back", "--yes")
    assert hook_secret() == ""
    assert "no webhook: opens and clicks are not told" in command("webhooks", "status", "back")


@pytest.mark.parametrize(
    "root",
    [
        "http://hooks.example.com",
        "https://hooks.example.com:8443",
        "https://me:pw@hooks.example.com",
        "hooks",
        "https://",
    ],
)
def test_an_address_that_is_not_called_makes_nothing(command: Command, root: str) -> None:
    said = command("webhooks", "install", "back", "--url", root, code=2)
    assert "on port 443 alone" in said
    assert (command.made, hook_secret()) == ([], "")


def test_what_is_of_caspios_webhooks_alone_is_refused(command: Command) -> None:
    assert "they are of Caspio's webhooks" in command.install("--throttle", "3", code=2)
    assert "give one" in command.install("--url", "https://two.example.com", code=2)


def test_of_braze_nothing_can_be_made(command: Command) -> None:
    command.contacts.world.sync(
        "kind: engagement\nsource: {table: People}\nidentity: {email: Email}\nfields: {Opens: email_opens}\n", "mail"
    )
    assert "Braze has no webhook that this command could make" in command(
        "webhooks", "install", "mail", "--url", ROOT, code=2
    )


def test_a_secret_of_the_environment_is_used_and_not_written(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOOK_VARIABLE, "a-secret-of-the-environment-0123")
    command.install()
    assert command.made[0].url.endswith("/a-secret-of-the-environment-0123")
    assert "a-secret-of-the-environment" not in command.said


@pytest.mark.parametrize("secret", ["short", "with a blank and / in it 0123456789"])
def test_a_secret_that_the_receiver_does_not_take_makes_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv(HOOK_VARIABLE, secret)
    said = command.install(code=2)
    assert (command.made, "24 characters or more" in said, secret in said) == ([], True, False)
