"""`POST /users/delete` of the Braze emulator, against sections 1.3, 2.1, 2.2, 2.4 and 5 of the reference."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.braze.behaviour import PERMISSIONS, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, 10, 59, 30, tzinfo=UTC)
LATEST = ["most_recently_updated"]


class Workspace:
    """An emulator on a virtual clock, and calls to it."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock(START)
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)

    def call(self, path: str, body: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            headers = {"Authorization": "Bearer sandbox-key"}
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
                return await client.post(path, json=body)

        return asyncio.run(send())

    def track(self, *attributes: dict[str, Any]) -> None:
        assert self.call("/users/track", {"attributes": list(attributes)}).status_code == 201

    def delete(self, **body: Any) -> httpx.Response:
        return self.call("/users/delete", body)

    def present(self, *external_ids: str) -> set[str]:
        """Those that an export finds now."""
        answer = self.call("/users/export/ids", {"external_ids": external_ids, "fields_to_export": ["external_id"]})
        return {user["external_id"] for user in answer.json()["users"]}


# 1.3 and 2.1: permission and rate.


def test_the_key_needs_users_delete() -> None:
    workspace = Workspace(keys={"sandbox-key": PERMISSIONS - {"users.delete"}})
    assert workspace.delete(external_ids=["a"]).status_code == 403


def test_twenty_thousand_a_minute_then_429_until_the_reset() -> None:
    workspace = Workspace(identity_per_minute=2)
    answers = [workspace.delete(external_ids=["a"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].headers["x-ratelimit-reset"] == str(int(START.timestamp()) + 30)
    workspace.clock.advance(30)
    assert workspace.delete(external_ids=["a"]).status_code == 201
    assert Workspace().delete(external_ids=["a"]).headers["x-ratelimit-limit"] == "20000"


# 5: the body.


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"external_ids": ["a"], "braze_ids": ["b"]},
        {"external_ids": []},
        {"external_ids": "a"},
        {"external_ids": [1.5]},
        {"external_ids": [f"{number}" for number in range(51)]},
        {"user_aliases": [{"alias_name": "a"}]},
        {"email_addresses": ["a@example.com"]},
        {"email_addresses": [{"email": "a@example.com"}]},
        {"email_addresses": [{"email": "a@example.com", "prioritization": []}]},
        {"email_addresses": [{"email": "a@example.com", "prioritization": ["least_recently_updated"]}]},
        {"email_addresses": [{"email": "a@example.com", "prioritization": ["identified", "unidentified"]}]},
        {"phone_numbers": [{"email": "a@example.com", "prioritization": LATEST}]},
    ],
)
def test_another_body_is_refused_and_deletes_nobody(body: dict[str, Any]) -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "email": "a@example.com"})
    assert workspace.delete(**body).status_code == 400
    assert set(workspace.sandbox.profiles()) == {"a"}


def test_fifty_are_taken_and_the_answer_counts_what_is_queued() -> None:
    answer = Workspace().delete(external_ids=[f"{number}" for number in range(50)])
    assert (answer.status_code, answer.json()) == (201, {"deleted": 50, "message": "success"})


@pytest.mark.parametrize("status", [200, 201, 202])
def test_the_status_of_success_is_not_documented_and_can_be_chosen(status: int) -> None:
    assert Workspace(delete_status=status).delete(external_ids=["a"]).status_code == status


@pytest.mark.parametrize("form", ["string", "either"])
def test_addresses_can_be_set_to_be_strings_as_the_table_has_them(form: str) -> None:
    workspace = Workspace(delete_address_form=form)
    workspace.track({"external_id": "a", "email": "a@example.com"})
    assert workspace.delete(email_addresses=["a@example.com"]).status_code == 201
    assert workspace.sandbox.profiles() == {}


# 5: the effect is asynchronous.


def test_a_profile_is_there_until_the_deletion_takes_effect() -> None:
    workspace = Workspace(delete_delay_seconds=290)
    workspace.track({"external_id": "a"}, {"external_id": "b"})
    workspace.delete(external_ids=["a"])
    workspace.clock.advance(289)
    assert workspace.present("a", "b") == {"a", "b"}
    workspace.clock.advance(2)
    assert workspace.present("a", "b") == {"b"}


def test_a_write_after_the_deletion_makes_a_new_profile_without_the_old_values() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "spend": 1, "email": "a@example.com"})
    workspace.delete(external_ids=["a"])
    workspace.clock.advance(1)
    workspace.track({"external_id": "a", "first_name": "Ada"})
    profile = workspace.sandbox.profile("a")
    assert profile is not None
    assert (profile["custom_attributes"], profile.get("email")) == ({}, None)


def test_a_deleted_profile_is_found_by_nothing() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "email": "a@example.com", "phone": "+442071838750"})
    braze_id = workspace.sandbox.profiles()["a"]["braze_id"]
    workspace.delete(braze_ids=[braze_id])
    workspace.clock.advance(1)
    for who in ({"email_address": "a@example.com"}, {"phone": "+442071838750"}, {"braze_id": braze_id}):
        answer = workspace.call("/users/export/ids", who | {"fields_to_export": ["email"]})
        assert answer.json()["users"] == []
    assert workspace.delete(braze_ids=[braze_id]).status_code == 201
    workspace.clock.advance(1)
    assert workspace.present("a") == set()


def test_aliases_name_a_profile_by_label_and_name() -> None:
    workspace = Workspace()
    alias = {"alias_name": "ada", "alias_label": "crm"}
    workspace.track({"user_alias": alias, "spend": 1, "_update_existing_only": False})
    workspace.delete(user_aliases=[{**alias, "alias_label": "other"}, {**alias, "alias_name": "Ada"}])
    assert len(workspace.sandbox.anonymous_profiles()) == 1
    workspace.delete(user_aliases=[alias])
    assert workspace.sandbox.anonymous_profiles() == []


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (["most_recently_updated"], {"a", None}),
        (["identified", "most_recently_updated"], {"a", None}),
        (["unidentified"], {"a", "b"}),
        (["identified"], {"a", "b", None}),  # a tie: no action, still success
    ],
)
def test_prioritization_must_select_one_profile(order: list[str], left: set[str | None]) -> None:
    workspace = Workspace()
    address = "x@example.com"
    workspace.track({"email": address, "spend": 1})
    workspace.track({"external_id": "a", "email": address}, {"external_id": "b", "email": address})
    answer = workspace.delete(email_addresses=[{"email": address, "prioritization": order}])
    assert (answer.status_code, answer.json()) == (201, {"deleted": 1, "message": "success"})
    anonymous = {None} if workspace.sandbox.anonymous_profiles() else set()
    assert set(workspace.sandbox.profiles()) | anonymous == left


# 15: deletion is not billed.


def test_deletion_costs_no_data_point_and_refunds_none() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "spend": 1})
    workspace.delete(external_ids=["a"])
    assert workspace.sandbox.data_points == 1
    workspace.sandbox.settle()
    assert workspace.sandbox.data_points == 1
