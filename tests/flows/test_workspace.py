"""The accounts in the settings are not those that the ledger tells of: nothing is called sent that never was."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from caspio_sync import registry
from caspio_sync.cli.main import app
from caspio_sync.destinations.braze.destination import BRAZE
from caspio_sync.engine.accounts import THIS_MACHINE, host_of
from caspio_sync.errors import CaspioSyncError
from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, SANDBOX_KEY, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from caspio_sync.settings import current_settings
from tests.flows.catalog_shop import Shop
from tests.flows.returns import Told, customers, told_by_braze  # noqa: F401 - fixtures
from tests.flows.world import World

WAYS_ON = (
    r"Nothing was read or sent\..*--same-workspace.*CASPIO_SYNC_LEDGER_URL.*CASPIO_SYNC_HOME.*full send.*--baseline"
)
MAILER = replace(BRAZE, name="mailer", title="Mailer", sinks={"profiles": BRAZE.sinks["profiles"]})
ROTATED, NARROW = "rotated-key", "narrow-key"


def workspace(world: World) -> BrazeSandbox:
    keys = {SANDBOX_KEY: PERMISSIONS, ROTATED: PERMISSIONS, NARROW: PERMISSIONS - {"users.export.ids"}}
    return BrazeSandbox(BrazeBehaviour(keys=keys), clock=world.clock)


def people(*numbers: int) -> list[str]:
    return [f"c{number}" for number in numbers]


@pytest.fixture
def sent(world: World) -> World:
    """Twenty people whom Braze knows, in a workspace with several keys, one held row, and a first run an hour ago."""
    world.braze = workspace(world)
    world.customers([*(world.person(number) for number in range(1, 21)), world.person(21, Email="nobody")])
    world.sync()
    world.run()
    world.clock.advance(3600)
    world.forget()
    return world


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Edits the settings."""

    def edit(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return edit


def another_key(world: World, set_to: Callable[..., None], *, without: Sequence[str] = (), key: str = ROTATED) -> None:
    """The settings name another key; of the people in its workspace these are not there."""
    set_to(BRAZE_API_KEY=key)

    async def delete() -> None:
        connect = world.connect()
        async with connect.account(BRAZE, world.clock) as account:
            await account.users.delete_users([{"external_id": each} for each in without])

    if without:
        asyncio.run(delete())
        world.braze.settle()
        world.clock.advance(60)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BRAZE_REST_ENDPOINT", "http://braze.staging", "Braze at braze.test, and the settings name braze.staging"),
        ("CASPIO_INTEGRATION_URL", "http://caspio.staging", "Caspio at caspio.test, and the settings name caspio.stag"),
    ],
)
class TestAnotherHost:
    def test_a_run_is_refused_and_names_the_ways_on(
        self, sent: World, set_to: Callable[..., None], variable: str, value: str, says: str
    ) -> None:
        set_to(**{variable: value})
        calls = sent.caspio.calls
        ended = sent.ended()
        assert ended.code == 2
        assert says in ended.message
        assert re.search(WAYS_ON, ended.message)
        assert (sent.sent(), sent.caspio.calls) == ([], calls)

    def test_whatever_would_act_on_it_is_refused(
        self, sent: World, set_to: Callable[..., None], variable: str, value: str, says: str
    ) -> None:
        set_to(**{variable: value})
        assert says in str(sent.refused_plan())
        for command in (
            "erase customers c1 --yes",
            "erase customers c1 --dry-run",
            "quarantine release customers --all",
            "backfill customers --pk 1..5",
            "verify customers",
            "run customers --baseline",
            "run customers --resend",
        ):
            ended = CliRunner().invoke(app, command.split())
            if isinstance(ended.exception, CaspioSyncError):  # which `main` shows
                assert (ended.exception.exit_code, says in str(ended.exception)) == (2, True), command
            else:
                assert (ended.exit_code, says in " ".join(ended.output.split())) == (2, True), command
        assert "c1" in sent.profiles()

    @pytest.mark.usefixtures("sent")
    def test_check_finds_it(self, set_to: Callable[..., None], variable: str, value: str, says: str) -> None:
        set_to(**{variable: value})
        ended = CliRunner().invoke(app, ["check", "customers"])
        assert (ended.exit_code, says in " ".join(ended.output.split())) == (2, True)

    @pytest.mark.usefixtures("sent")
    def test_status_shows_both(self, set_to: Callable[..., None], variable: str, value: str, says: str) -> None:
        def shown() -> str:
            return " ".join(CliRunner().invoke(app, ["status", "customers"]).output.split())

        assert "accounts Caspio caspio.test to Braze braze.test" in shown()
        assert "OTHERS" not in shown()
        set_to(**{variable: value})
        assert f"OTHERS ({host_of(current_settings().caspio_integration_url)}" in shown()
        assert says
        assert "sandbox-key" not in shown()

    def test_a_persons_word_is_taken_for_all_syncs_of_the_ledger(
        self, sent: World, set_to: Callable[..., None], variable: str, value: str, says: str
    ) -> None:
        sent.sync(sent.SYNC.partition("fields:")[0] + "fields: {nick: FirstName}\n", name="again")
        sent.run("again")
        set_to(**{variable: value})
        sent.forget()
        assert sent.run(same_workspace=True).sent == 0
        assert (sent.run("again").sent, sent.sent()) == (0, [])
        assert says


class TestAnotherKey:
    @pytest.mark.parametrize("gone", [0, 4])
    def test_a_rotated_key_finds_whom_it_sent(self, sent: World, set_to: Callable[..., None], gone: int) -> None:
        another_key(sent, set_to, without=people(*range(1, gone + 1)))
        assert sent.plan().to_send == 0
        assert (sent.run().sent, sent.sent()) == (0, [])
        # Asked once: from now on the key is known.
        sent.break_braze(Fault(kind="status", path="/users/export/ids", status=500))
        assert sent.run().sent == 0

    @pytest.mark.parametrize("left", [15, 0])
    def test_the_key_of_another_workspace_does_not(self, sent: World, set_to: Callable[..., None], left: int) -> None:
        another_key(sent, set_to, without=people(*range(left + 1, 21)))
        ended = sent.ended()
        assert ended.code == 2
        assert f"it finds {left} of the 20 that were sent last" in ended.message
        assert re.search(WAYS_ON, ended.message)
        assert "another one, and it finds" in str(sent.refused_plan())
        assert sent.sent() == []

    @pytest.mark.parametrize(("count", "gone", "code"), [(5, 1, 0), (5, 2, 2), (1, 0, 0), (1, 1, 2)])
    def test_of_fewer_the_same_share_is_asked_for(
        self, world: World, set_to: Callable[..., None], count: int, gone: int, code: int
    ) -> None:
        world.braze = workspace(world)
        world.people(count)
        world.sync()
        world.run()
        another_key(world, set_to, without=people(*range(1, gone + 1)))
        assert world.ended().code == code

    def test_a_key_that_may_not_read_profiles_is_no_proof(self, sent: World, set_to: Callable[..., None]) -> None:
        another_key(sent, set_to, key=NARROW)
        ended = sent.ended()
        assert ended.code == 2
        assert "whether its workspace is the same cannot be told" in ended.message
        assert re.search(WAYS_ON, ended.message)

    def test_where_nothing_was_sent_there_is_nothing_to_confuse(
        self, world: World, set_to: Callable[..., None]
    ) -> None:
        world.braze = workspace(world)
        world.customers([world.person(1, Email="nobody")])
        world.sync()
        world.run()
        another_key(world, set_to)
        assert world.ended().code == 0

    def test_items_are_read_back_of_a_catalog(self, world: World, shop: Shop, set_to: Callable[..., None]) -> None:
        world.braze = workspace(world)
        shop.open(6)
        shop.run()
        another_key(world, set_to)
        assert shop.ended().code == 0
        world.braze = workspace(world)
        another_key(world, set_to, key=SANDBOX_KEY)
        ended = shop.ended()
        assert (ended.code, "Could not find catalog" in ended.message) == (2, True)
        assert re.search(WAYS_ON, ended.message)

    def test_an_engagement_return_of_another_workspace_writes_nothing(
        self, world: World, told: Told, set_to: Callable[..., None]
    ) -> None:
        world.braze = workspace(world)
        customers(world, 3)
        world.run()
        world.run("engagement")
        told.says("c1", "unsubscribed")
        another_key(world, set_to, without=people(1, 2, 3))
        assert world.ended("engagement").code == 2
        assert {row["Newsletter"] for row in world.caspio.rows("Customers")} == {"yes"}
        assert world.ended("engagement", same_workspace=True).code == 0


class TestAnotherDestination:
    """At the same address, with the same key: what one was sent the other was not."""

    @pytest.fixture(autouse=True)
    def _mailer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, "mailer": f"{__name__}:MAILER"})

    @pytest.mark.parametrize("options", [{}, {"same_workspace": True}, {"resend": True}])
    def test_a_sync_that_names_another_is_refused(self, sent: World, options: dict[str, Any]) -> None:
        sent.sync(f"{sent.SYNC}destination: mailer\n")
        ended = sent.ended(**options)
        assert ended.code == 2
        assert "syncs/customers.yaml:" in ended.message
        assert "the ledger tells of what went to Braze, and the file names Mailer" in ended.message
        assert "went to Braze" in str(sent.refused_plan())
        assert sent.sent() == []
        sent.sync()
        assert sent.run().sent == 0

    def test_a_sync_of_its_own_goes_there(self, sent: World) -> None:
        sent.sync(f"{sent.SYNC}destination: mailer\n", name="letters")
        assert sent.run("letters").sent == 20

    def test_people_are_told_of_it_by_its_name(self, sent: World) -> None:
        sent.sync(f"{sent.SYNC}destination: mailer\n", name="letters")
        for command in ("run letters", "why letters c1", "plan letters --markdown", "erase letters c1 --dry-run"):
            told = CliRunner().invoke(app, command.split())
            assert (told.exit_code, "Mailer" in told.output) == (0, True), command
            assert "Braze" not in told.output, command

    def test_a_new_key_of_one_is_not_the_others(self, sent: World, set_to: Callable[..., None]) -> None:
        sent.sync(f"{sent.SYNC}destination: mailer\n", name="letters")
        sent.run("letters")
        another_key(sent, set_to)
        sent.run()
        with sent.ledger() as ledger:
            here, there = ledger.workspace("customers"), ledger.workspace("letters")
        assert here is not None
        assert there is not None
        assert here.destination_key != there.destination_key


def test_another_workspace_has_a_ledger_of_its_own(sent: World, set_to: Callable[..., None]) -> None:
    """What the refusal advises: there, the first run is a full send."""
    sent.braze = BrazeSandbox(clock=sent.clock)
    set_to(BRAZE_REST_ENDPOINT="http://braze.staging", CASPIO_SYNC_HOME="staging")
    assert sent.run().sent == 20


def test_emulators_on_other_ports_are_the_same(world: World, set_to: Callable[..., None]) -> None:
    set_to(BRAZE_REST_ENDPOINT="http://127.0.0.1:8091", CASPIO_INTEGRATION_URL="http://127.0.0.1:8090")
    world.people(3)
    world.sync()
    assert world.run().sent == 3
    set_to(BRAZE_REST_ENDPOINT="http://localhost:40001", CASPIO_INTEGRATION_URL="http://[::1]:40000")
    assert world.run().sent == 0
    set_to(BRAZE_REST_ENDPOINT="http://braze.test")
    assert world.ended().code == 2


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://C0ABC123.caspio.com", "c0abc123.caspio.com"),
        ("c0abc123.caspio.com/", "c0abc123.caspio.com"),
        ("https://c0abc123.caspio.com.:443/integrations", "c0abc123.caspio.com"),
        ("http://sandbox:8090", "sandbox:8090"),
        ("http://127.0.0.1:8090", THIS_MACHINE),
        ("http://127.8.9.1", THIS_MACHINE),
        ("http://[::1]:1", THIS_MACHINE),
        ("http://LOCALHOST:1", THIS_MACHINE),
        ("http://braze.localhost", THIS_MACHINE),
        ("http://10.0.0.1", "10.0.0.1"),
    ],
)
def test_an_account_is_known_by_its_host(address: str, host: str) -> None:
    assert host_of(address) == host
