"""New rows whose address Braze knows already: counted by a plan, and with `identify_by_email` no second profile."""

import asyncio
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from caspio_sync.cli.main import app
from caspio_sync.errors import CaspioSyncError, ConfigurationError
from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import Fault
from tests.flows.gateway import refusing

World = Any  # of conftest.py, which no test can import

IDENTIFY = "/users/identify"


def identifying(world: World, on_new: str = "identify_by_email") -> None:
    world.sync(world.SYNC.replace("  external_id: CustomerNo", f"  external_id: CustomerNo\n  on_new: {on_new}"))


def track(world: World, *attributes: dict[str, Any]) -> None:
    """Somebody else writes to the workspace."""

    async def send() -> None:
        headers = {"Authorization": "Bearer sandbox-key"}
        transport = httpx.ASGITransport(world.braze.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
            answer = await client.post("/users/track", json={"attributes": attributes})
            assert (answer.status_code, answer.json().get("errors")) == (201, None)

    asyncio.run(send())


def newsletter_readers(world: World, *numbers: int) -> None:
    """Profiles that are known by an address alone."""
    for number in numbers:
        track(world, {"email": f"C{number}@example.com", "signed_up_at": "fair"})


def identified(world: World) -> list[dict[str, str]]:
    return [entry.object for entry in world.braze.log if entry.array == "emails_to_identify"]


@pytest.fixture(autouse=True)
def _fast() -> None:
    """The flow without the engine around it."""


def test_create_makes_a_second_profile_for_a_known_address(world: World) -> None:
    identifying(world, "create")
    newsletter_readers(world, 3)
    world.people(5)
    world.run()
    assert len(world.braze.anonymous_profiles()) == 1
    assert len(world.profiles()) == 5


def test_a_new_row_takes_over_the_profile_with_its_address(world: World) -> None:
    identifying(world)
    newsletter_readers(world, 3, 4)
    world.people(60)
    report = world.run()
    assert (report.sent, report.new, report.identified) == (60, 60, 60)
    assert world.braze.anonymous_profiles() == []
    profiles = world.profiles()
    assert len(profiles) == 60
    assert profiles["c3"]["custom_attributes"] == {"signed_up_at": "fair", "spend": 0.75}
    assert profiles["c3"]["first_name"] == "Name3"


def test_an_id_that_braze_knows_is_merged_with_nobody(world: World) -> None:
    identifying(world)
    track(world, {"external_id": "c3", "email": "old@example.com"})
    newsletter_readers(world, 3)
    world.people(4)
    assert world.run().identified == 3
    assert {each["external_id"] for each in identified(world)} == {"c1", "c2", "c4"}
    assert len(world.braze.anonymous_profiles()) == 1


def test_somebody_else_with_the_address_keeps_it(world: World) -> None:
    identifying(world)
    track(world, {"external_id": "other", "email": "c3@example.com", "first_name": "Other"})
    world.people(4)
    world.run()
    profiles = world.profiles()
    assert profiles.keys() == {"c1", "c2", "c3", "c4", "other"}
    assert profiles["other"]["first_name"] == "Other"


def test_only_what_the_gate_accepts_is_identified(world: World) -> None:
    identifying(world)
    newsletter_readers(world, 1, 2)
    world.customers([world.person(1, Email=None), world.person(2, Newsletter="perhaps"), world.person(3)])
    world.run()
    assert [each["external_id"] for each in identified(world)] == ["c3"]
    assert world.profiles().keys() == {"c1", "c3"}


def test_changed_rows_are_not_identified(world: World) -> None:
    identifying(world)
    world.people(3)
    world.run()
    newsletter_readers(world, 9)
    requests = world.braze.requests
    world.caspio.update_rows("Customers", {"Email": "c9@example.com"}, "CustomerNo='c2'")
    world.run(full=True)
    assert world.braze.requests - requests == 1
    assert len(world.braze.anonymous_profiles()) == 1


def test_of_two_rows_with_one_address_the_first_takes_the_profile_over(world: World) -> None:
    identifying(world)
    newsletter_readers(world, 1)
    world.customers([world.person(1), world.person(2, Email="c1@example.com")])
    world.run()
    profiles = world.profiles()
    assert [key for key in profiles if "signed_up_at" in profiles[key]["custom_attributes"]] == ["c1"]
    assert (profiles.keys(), world.braze.anonymous_profiles()) == ({"c1", "c2"}, [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", path="/users/track", status=503),  # it is killed between identifying and sending
        Fault(kind="reset_after", path=IDENTIFY, nth=(1, 2)),  # Braze took the request, the answer is lost
    ],
    ids=["before the send", "answer lost"],
)
def test_identifying_twice_is_harmless(world: World, fault: Fault) -> None:
    identifying(world)
    newsletter_readers(world, 2, 3)
    world.people(5)
    world.break_braze(fault)
    if fault.path == IDENTIFY:
        world.run()
    else:
        with pytest.raises(CaspioSyncError):
            world.run()
        assert world.profiles().keys() == {"c2", "c3"}
        world.break_braze()
        world.run()
    assert world.profiles().keys() == {"c1", "c2", "c3", "c4", "c5"}
    assert world.braze.anonymous_profiles() == []


def test_effects_that_overtake_each_other_leave_no_duplicate(world: World) -> None:
    world.braze = BrazeSandbox(BrazeBehaviour(effect_delay_seconds=0.1, effect_jitter_seconds=5.0), world.clock)
    identifying(world)
    newsletter_readers(world, *range(1, 20))
    world.clock.advance(60)
    world.people(20)
    world.run()
    assert world.profiles().keys() == {f"c{number}" for number in range(1, 21)}
    assert world.braze.anonymous_profiles() == []


def test_a_key_without_the_permission_is_named_and_nothing_is_sent(world: World) -> None:
    identifying(world)
    world.people(3)
    narrow = frozenset({"users.track", "users.export.ids"})
    world.braze = BrazeSandbox(BrazeBehaviour(keys={"sandbox-key": narrow}), world.clock)
    with pytest.raises(ConfigurationError, match=r"users\.identify"):
        world.run()
    assert world.profiles() == {}


@pytest.mark.parametrize(
    ("wrong", "lacks"),
    [("external_id: CustomerNo", "`email` under `fields`"), ("email: Email", "`external_id` as identity")],
)
def test_it_is_refused_with_its_line_where_it_cannot_work(world: World, wrong: str, lacks: str) -> None:
    text = world.SYNC.replace("  external_id: CustomerNo", f"  {wrong}\n  on_new: identify_by_email")
    path = world.sync(text.replace("  email: Email\n  spend", "  spend"))
    world.people(1)
    line = path.read_text().splitlines().index("  on_new: identify_by_email") + 1
    with pytest.raises(ConfigurationError) as caught:
        world.run()
    assert f"customers.yaml:{line}: identity.on_new" in str(caught.value)
    assert lacks in str(caught.value)


# What a plan says.


def test_a_plan_counts_the_duplicates_that_create_would_make(world: World) -> None:
    identifying(world, "create")
    newsletter_readers(world, 3, 4)
    track(world, {"external_id": "other", "email": "c5@example.com"}, {"external_id": "c6", "email": "c6@example.com"})
    world.people(60)
    before = (world.profiles(), world.braze.anonymous_profiles())
    found = world.plan().duplicates
    assert (found.new_rows, found.looked_at, found.unknown, found.looked_up) == (60, 60, 59, 59)
    assert (found.duplicates, found.anonymous, found.sampled) == (3, 2, False)
    assert found.requests == 2 + 59
    assert (world.profiles(), world.braze.anonymous_profiles()) == before
    told = " ".join(CliRunner().invoke(app, ["plan", "customers"]).stdout.split())
    assert "duplicates: 3 of 60 new rows have the address of another profile. With identity.on_new: create" in told
    assert "takes over those without an external id (2)" in told


def test_a_plan_estimates_from_a_sample_where_there_are_many(world: World) -> None:
    identifying(world, "create")
    track(world, *({"external_id": f"x{n}", "email": f"c{n}@example.com"} for n in range(1, 2000, 40)))
    track(world, *({"external_id": f"y{n}", "email": f"c{n}@example.com"} for n in range(20, 2000, 40)))
    world.people(2000)  # one in twenty
    found = world.plan().duplicates
    assert (found.new_rows, found.looked_at, found.looked_up, found.requests) == (2000, 400, 100, 108)
    assert found.sampled
    assert found.of_all(found.duplicates) == 20 * found.duplicates
    assert 1 <= found.duplicates <= 15
    told = " ".join(CliRunner().invoke(app, ["plan", "customers"]).stdout.split())
    assert "estimated from 100 rows that were looked up (108 requests)" in told


def test_a_plan_does_without_where_the_key_may_not_export(world: World) -> None:
    world.sync()
    world.people(3)
    world.braze = BrazeSandbox(BrazeBehaviour(keys={"sandbox-key": frozenset({"users.track"})}), world.clock)
    made = world.plan()
    assert (made.duplicates, made.to_send) == (None, 3)
    assert any("duplicates were not counted" in note and "users.export.ids" in note for note in made.report.notes)


def test_a_plan_without_new_rows_asks_braze_nothing(world: World) -> None:
    world.sync()
    world.people(3)
    world.run()
    requests = world.braze.requests
    assert world.plan(full=True).duplicates is None
    assert world.braze.requests == requests


def test_one_address_that_braze_refuses_to_identify_stops_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    identifying(world)
    newsletter_readers(world, 3, 7)
    world.people(60)
    app = refusing(world.braze.app, IDENTIFY, b"c7@example.com", "no such person")
    monkeypatch.setattr(world.braze, "app", app)
    ended = world.ended()
    assert (ended.code, ended.message, ended.report.verdicts) == (0, "", {"sent": 59, "rejected": 1})
    assert world.reasons("rejected") == {"c7": "identify: 400: no such person"}
    assert "c7" not in world.profiles()  # sent, it would be the second profile of somebody
    assert len(world.braze.anonymous_profiles()) == 1


def test_one_person_whom_braze_refuses_to_delete_stops_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(60)
    world.sync()
    world.run()
    world.clock.advance(86_400)
    world.sync(world.SYNC + "erasure: {where: \"FirstName='Forget Me'\"}\n")
    world.caspio.update_rows("Customers", {"FirstName": "Forget Me"}, "Spend <= 2.5")
    with monkeypatch.context() as gateway:
        app = refusing(world.braze.app, "/users/delete", b'"c7"', "no such person")
        gateway.setattr(world.braze, "app", app)
        ended = world.ended()
        assert ended.code == 0
        assert any(
            "Braze refuses to delete 1 people" in note and "no such person" in note for note in ended.report.notes
        )
    assert set(world.profiles()) == {"c7", *(f"c{number}" for number in range(11, 61))}
    world.clock.advance(86_400)
    assert world.ended().code == 0
    assert "c7" not in world.profiles()
