"""`/users/identify` of the Braze emulator, against sections 1.3, 2.1 and 5 of the reference, through the client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from pydantic import SecretStr

from caspio_sync.destinations.braze.answers import EmailToIdentify
from caspio_sync.destinations.braze.client import BrazeClient
from caspio_sync.errors import ConfigurationError, PermanentError
from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.wire.http import UnavailableError
from tests.virtual_clock import VirtualClock

T = TypeVar("T")
HEADERS = {"Authorization": "Bearer sandbox-key"}


class Workspace:
    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock()
        self.braze = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)

    def ask(self, call: Callable[[BrazeClient], Awaitable[T]]) -> T:
        async def run() -> T:
            transport = httpx.ASGITransport(self.braze.app)
            async with BrazeClient(
                endpoint="http://braze", api_key=SecretStr("sandbox-key"), clock=self.clock, transport=transport
            ) as client:
                return await call(client)

        return asyncio.run(run())

    def track(self, *attributes: dict[str, Any], **more: Any) -> None:
        body = orjson.dumps({"attributes": attributes, **more})
        counts = {"attributes": len(attributes)} | {array: len(objects) for array, objects in more.items()}
        answer = self.ask(lambda client: client.track(body, sent=counts))
        assert (answer.errors, answer.doubt) == ((), "")

    def identify(self, *pairs: tuple[str, str]) -> int:
        emails = [EmailToIdentify(*pair) for pair in pairs]
        return self.ask(lambda client: client.identify_users(emails)).aliases_processed

    def post(self, body: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.braze.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=HEADERS) as client:
                return await client.post("/users/identify", json=body)

        return asyncio.run(send())


def email(external_id: str, address: str, *words: str) -> dict[str, Any]:
    return {"external_id": external_id, "email": address, "prioritization": list(words)}


# 5: identify.


def test_an_unknown_external_id_is_attached_to_the_profile_with_the_address() -> None:
    workspace = Workspace()
    workspace.track({"email": "a@example.com", "spend": 3})
    assert workspace.identify(("c1", "A@example.com")) == 1
    profile = workspace.braze.profiles()["c1"]
    assert (profile["email"], profile["custom_attributes"]) == ("a@example.com", {"spend": 3})
    assert workspace.braze.anonymous_profiles() == []


def test_a_known_external_id_takes_the_other_profile_in_and_keeps_its_own_values() -> None:
    workspace = Workspace()
    event = {"name": "visit", "time": "2025-07-01T10:00:00Z"}
    workspace.track({"external_id": "c1", "spend": 1}, {"email": "a@example.com", "spend": 3, "city": "Graz"})
    workspace.track(events=[{"external_id": "c1", **event}, {"email": "a@example.com", **event}])
    workspace.identify(("c1", "a@example.com"))
    profile = workspace.braze.profiles()["c1"]
    assert profile["custom_attributes"] == {"spend": 1, "city": "Graz"}
    assert [entry["count"] for entry in profile["custom_events"]] == [2]
    assert profile["email"] == "a@example.com"
    assert workspace.braze.anonymous_profiles() == []
    workspace.track({"email": "a@example.com", "found": True})
    assert workspace.braze.profiles()["c1"]["custom_attributes"]["found"] is True


def test_a_miss_is_silent_success_and_makes_nobody() -> None:
    workspace = Workspace()
    assert workspace.identify(("c1", "nobody@example.com")) == 1
    assert (workspace.braze.profiles(), workspace.braze.anonymous_profiles()) == ({}, [])


def test_an_identified_profile_is_never_touched() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "old", "email": "a@example.com"})
    workspace.identify(("c1", "a@example.com"))
    assert workspace.braze.profiles().keys() == {"old"}


def test_repeating_it_changes_nothing() -> None:
    workspace = Workspace()
    workspace.track({"email": "a@example.com", "spend": 3})
    workspace.identify(("c1", "a@example.com"))
    once = workspace.braze.profiles()
    workspace.identify(("c1", "a@example.com"))
    assert workspace.braze.profiles() == once


def two_with_one_address(workspace: Workspace) -> None:
    alias = {"alias_label": "crm", "alias_name": "ada"}
    workspace.track({"email": "a@example.com", "which": "first"})
    workspace.track({"user_alias": alias, "_update_existing_only": False, "which": "second"})
    workspace.track({"user_alias": alias, "email": "a@example.com"})


def test_of_two_the_one_updated_last_is_meant() -> None:
    workspace = Workspace()
    two_with_one_address(workspace)
    workspace.identify(("c1", "a@example.com"))
    assert workspace.braze.profiles()["c1"]["custom_attributes"] == {"which": "second"}
    assert [each["custom_attributes"] for each in workspace.braze.anonymous_profiles()] == [{"which": "first"}]


def test_a_tie_means_no_action() -> None:
    workspace = Workspace()
    two_with_one_address(workspace)
    answer = workspace.post({"emails_to_identify": [email("c1", "a@example.com", "unidentified")]})
    assert (answer.status_code, answer.json()) == (201, {"aliases_processed": 1, "message": "success"})
    assert workspace.braze.profiles() == {}


def test_an_alias_is_identified_with_its_case_and_label() -> None:
    workspace = Workspace()
    two_with_one_address(workspace)
    for name in ("Ada", "ada"):
        alias = {"alias_label": "crm", "alias_name": name}
        workspace.post({"aliases_to_identify": [{"external_id": f"c-{name}", "user_alias": alias}]})
    assert workspace.braze.profiles().keys() == {"c-ada"}


def test_identifying_takes_effect_after_what_was_accepted_before() -> None:
    workspace = Workspace(effect_delay_seconds=5.0)
    workspace.track({"email": "a@example.com"})
    workspace.identify(("c1", "a@example.com"))
    assert workspace.braze.profiles().keys() == {"c1"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"emails_to_identify": {}},
        {"emails_to_identify": [{"external_id": "c1", "email": "a@example.com"}]},
        {"emails_to_identify": [email("c1", "no address", "unidentified")]},
        {"emails_to_identify": [email("", "a@example.com", "unidentified")]},
        {"emails_to_identify": [email("c1", "a@example.com")]},
        {"emails_to_identify": [email("c1", "a@example.com", "identified", "unidentified")]},
        {"emails_to_identify": [email("c1", "a@example.com", "newest")]},
        {"emails_to_identify": [email("c1", f"a{n}@example.com", "unidentified") for n in range(51)]},
        {"aliases_to_identify": [{"external_id": "c1", "user_alias": {"alias_name": "ada"}}]},
    ],
)
def test_unsound_bodies_are_400(body: dict[str, Any]) -> None:
    assert Workspace().post(body).status_code == 400


def test_the_client_sends_fifty_at_most() -> None:
    with pytest.raises(PermanentError, match="50"):
        Workspace().identify(*((f"c{n}", f"c{n}@example.com") for n in range(51)))
    assert Workspace().identify(*((f"c{n}", f"c{n}@example.com") for n in range(50))) == 50


# 1.3, 2.1: permission and pool.


def test_identify_needs_its_permission() -> None:
    workspace = Workspace(keys={"sandbox-key": {"users.track"}})
    with pytest.raises(ConfigurationError, match=r"users\.identify"):
        workspace.identify(("c1", "a@example.com"))


def test_identify_has_a_pool_of_so_many_a_minute() -> None:
    workspace = Workspace(identity_per_minute=2)
    workspace.identify(("c1", "a@example.com"))
    workspace.identify(("c1", "a@example.com"))
    with pytest.raises(UnavailableError) as caught:
        workspace.identify(("c1", "a@example.com"))
    assert (caught.value.status, caught.value.retry_after) == (429, 60)


# 6.1, 7.4: what the client reads back.


def test_an_export_by_address_gives_every_profile_that_has_it() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "c1", "email": "a@example.com"}, {"external_id": "c2", "email": "A@example.com"})
    found = workspace.ask(lambda client: client.export_users([], ["external_id"], email_address="a@example.com"))
    assert [user["external_id"] for user in found.users] == ["c1", "c2"]
    assert found.rate.limit == 40


def test_an_export_by_alias_gives_label_and_name() -> None:
    workspace = Workspace()
    two_with_one_address(workspace)
    asked = [("crm", "ada"), ("crm", "eve")]
    found = workspace.ask(lambda client: client.export_users([], ["user_aliases"], user_aliases=asked))
    assert found.users == [{"user_aliases": [{"alias_label": "crm", "alias_name": "ada"}]}]
    assert found.invalid_user_ids == ["eve"]


def test_group_states_are_those_of_the_group() -> None:
    workspace = Workspace()
    group = {"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}
    workspace.track({"external_id": "a&b", "email": "a@example.com", "subscription_groups": [group]})
    found = workspace.ask(lambda client: client.group_states(NEWSLETTER_GROUP, ["a&b", "nobody"]))
    assert found.states == {"a&b": "unsubscribed", "nobody": "unknown"}
    assert found.rate.limit == 250_000


def test_dates_come_back_as_instants_where_the_workspace_gives_them_so() -> None:
    workspace = Workspace(export_dates="iso")
    workspace.track({"external_id": "c1", "since": "2026-01-31", "visit": {"at": {"$time": "2026-01-31"}, "n": 1}})
    (user,) = workspace.ask(lambda client: client.export_users(["c1"], ["custom_attributes"])).users
    assert user["custom_attributes"] == {
        "since": "2026-01-31T00:00:00.000Z",
        "visit": {"at": "2026-01-31T00:00:00.000Z", "n": 1},
    }
