"""Rate limits, exports and delays of the Braze emulator, against sections 2.1, 2.2, 6.1 and 7.4 of the reference."""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from caspio_sync.sandbox.braze.behaviour import NEWSLETTER_GROUP, BrazeBehaviour
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from tests.virtual_clock import VirtualClock

START = datetime(2026, 1, 1, 10, 59, 30, tzinfo=UTC)
EPOCH = int(START.timestamp())
FIELDS = ["external_id", "email", "custom_attributes"]


class Workspace:
    """An emulator on a virtual clock, and calls to it."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = VirtualClock(START)
        self.sandbox = BrazeSandbox(BrazeBehaviour(**behaviour), self.clock)

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            headers = {"Authorization": "Bearer sandbox-key"}
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())

    def track(self, *attributes: dict[str, Any]) -> httpx.Response:
        return self.call("POST", "/users/track", json={"attributes": list(attributes) or [{"external_id": "c"}]})

    def export(self, *external_ids: str, **body: Any) -> httpx.Response:
        payload = {"external_ids": list(external_ids), "fields_to_export": FIELDS} | body
        return self.call("POST", "/users/export/ids", json=payload)


def rate_headers(answer: httpx.Response) -> list[str | None]:
    return [answer.headers.get(f"x-ratelimit-{part}") for part in ("limit", "remaining", "reset")]


# 2.2: windows and headers.


def test_default_limit_is_three_thousand_in_three_seconds() -> None:
    assert rate_headers(Workspace().track()) == ["3000", "2999", str(EPOCH + 3)]


def test_data_point_contract_refuses_with_the_reset_as_an_epoch() -> None:
    workspace = Workspace(burst_limit=2)
    statuses = [workspace.track().status_code for _ in range(3)]
    assert statuses == [201, 201, 429]
    assert rate_headers(workspace.track()) == ["2", "0", str(EPOCH + 3)]


def test_window_opens_again_at_the_reset() -> None:
    workspace = Workspace(burst_limit=1)
    workspace.track()
    assert workspace.track().status_code == 429
    workspace.clock.advance(3)
    assert workspace.track().status_code == 201


def test_mau_contract_tells_seconds_remaining() -> None:
    assert rate_headers(Workspace(rate="mau", hourly_limit=100).track()) == ["100", "99", "30"]


def test_mau_refusal_carries_only_its_own_header() -> None:
    workspace = Workspace(rate="mau", hourly_limit=1)
    workspace.track()
    answer = workspace.track()
    assert answer.status_code == 429
    assert answer.headers["x-ratelimit-retry-after"] == "30"
    assert rate_headers(answer) == [None, None, None]


def test_hourly_window_resets_on_the_clock_hour() -> None:
    workspace = Workspace(rate="mau", hourly_limit=1)
    workspace.track()
    workspace.clock.advance(29)
    assert workspace.track().status_code == 429
    workspace.clock.advance(1)
    assert workspace.track().status_code == 201


def test_mau_contract_has_a_burst_limit_too() -> None:
    workspace = Workspace(rate="mau", burst_limit=1)
    workspace.track()
    assert workspace.track().headers["x-ratelimit-retry-after"] == "3"


@pytest.mark.parametrize(("form", "expected"), [("absent", [None] * 3), ("empty", [""] * 3)])
def test_headers_may_be_absent_or_empty(form: str, expected: list[str | None]) -> None:
    assert rate_headers(Workspace(rate_headers=form).track()) == expected


@pytest.mark.parametrize(
    ("form", "header", "value"),
    [("x-ratelimit-retry-after", "x-ratelimit-retry-after", "3"), ("retry-after", "retry-after", "3")],
)
def test_refusal_in_each_header_form(form: str, header: str, value: str) -> None:
    workspace = Workspace(burst_limit=0, refusal=form)
    assert workspace.track().headers[header] == value


def test_refusal_may_carry_an_http_date() -> None:
    date = Workspace(burst_limit=0, refusal="http-date").track().headers["retry-after"]
    assert parsedate_to_datetime(date).timestamp() == EPOCH + 3


def test_refusal_may_say_nothing() -> None:
    answer = Workspace(burst_limit=0, refusal="absent").track()
    assert "retry-after" not in answer.headers
    assert rate_headers(answer) == [None, None, None]


def test_refused_request_has_no_effect() -> None:
    workspace = Workspace(burst_limit=0)
    workspace.track({"external_id": "c"})
    assert workspace.sandbox.profiles() == {}


def test_no_limit_tells_nothing() -> None:
    workspace = Workspace(rate="none", burst_limit=0)
    assert rate_headers(workspace.track()) == [None, None, None]


def test_latency_passes_by_the_clock() -> None:
    workspace = Workspace(latency_ms=250)
    workspace.track()
    assert workspace.clock.monotonic() == 0.25


# 3.1 and 17: effects come later.


def test_effect_is_visible_to_exports_only_after_its_delay() -> None:
    workspace = Workspace(effect_delay_seconds=5)
    workspace.track({"external_id": "c"})
    assert workspace.export("c").json()["invalid_user_ids"] == ["c"]
    workspace.clock.advance(5)
    assert "invalid_user_ids" not in workspace.export("c").json()


def test_settle_brings_effects_forward() -> None:
    workspace = Workspace(effect_delay_seconds=5)
    workspace.track({"external_id": "c"})
    workspace.sandbox.settle()
    assert len(workspace.export("c").json()["users"]) == 1


def test_journal_over_its_limit_is_merged_on_the_way() -> None:
    workspace = Workspace(journal_limit=1)
    workspace.track({"external_id": "c"})
    assert workspace.sandbox.counters()["pending_requests"] == 0


# 6.1: exports.


def test_export_gives_the_fields_asked_for_and_leaves_out_what_is_empty() -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "first_name": "Ada", "spend": 1}, {"external_id": "b"})
    answer = workspace.export("a", "b", "nobody").json()
    assert answer == {
        "message": "success",
        "users": [{"external_id": "a", "custom_attributes": {"spend": 1}}, {"external_id": "b"}],
        "invalid_user_ids": ["nobody"],
    }


def test_export_of_everything_has_the_documented_shapes() -> None:
    workspace = Workspace(fields_to_export_required=False)
    workspace.track({"external_id": "a"})
    (user,) = workspace.export("a", fields_to_export=None).json()["users"]
    assert user["created_at"] == "2026-01-01T10:59:30.000Z"
    assert user["email_subscribe"] == "subscribed"
    assert len(user["braze_id"]) == 24
    assert 0 <= user["random_bucket"] < 10_000


def test_export_holds_no_group_membership() -> None:
    workspace = Workspace(fields_to_export_required=False)
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "subscribed"}]
    workspace.track({"external_id": "a", "subscription_groups": groups})
    (user,) = workspace.export("a", fields_to_export=None).json()["users"]
    assert "subscription_groups" not in user


@pytest.mark.parametrize(
    "identifier",
    [
        {"email_address": "a@example.com"},
        {"phone": "+44 20 7946 0018"},
        {"braze_id": f"{1:024x}"},
    ],
)
def test_export_finds_by_each_identifier(identifier: dict[str, str]) -> None:
    workspace = Workspace()
    workspace.track({"external_id": "a", "email": "a@example.com", "phone": "+442079460018"})
    assert len(workspace.export(**identifier).json()["users"]) == 1


def test_export_finds_by_alias() -> None:
    workspace = Workspace()
    alias = {"alias_name": "ada", "alias_label": "crm"}
    workspace.track({"user_alias": alias, "_update_existing_only": False, "spend": 1})
    answer = workspace.export(user_aliases=[alias, alias | {"alias_name": "Ada"}]).json()
    assert (len(answer["users"]), answer["invalid_user_ids"]) == (1, ["Ada"])


@pytest.mark.parametrize(
    "body",
    [
        {"external_ids": [str(number) for number in range(51)]},
        {"external_ids": []},
        {"external_ids": "a"},
        {"external_ids": [1.5]},
        {"external_ids": ["a"], "fields_to_export": None},
        {"external_ids": ["a"], "fields_to_export": ["subscription_groups"]},
    ],
)
def test_unsound_export_is_400(body: dict[str, Any]) -> None:
    assert Workspace().export(**body).status_code == 400


def test_export_takes_fifty_ids() -> None:
    assert Workspace().export(*map(str, range(50))).status_code == 201


def test_export_with_cheap_fields_is_limited_by_the_second() -> None:
    workspace = Workspace()
    statuses = [workspace.export("a").status_code for _ in range(41)]
    assert statuses == [201] * 40 + [429]
    workspace.clock.advance(1)
    assert workspace.export("a").status_code == 201


def test_export_of_campaigns_is_limited_by_the_minute() -> None:
    workspace = Workspace(export_per_minute=1)
    assert workspace.export("a", fields_to_export=["campaigns_received"]).status_code == 201
    assert workspace.export("a", fields_to_export=["campaigns_received"]).status_code == 429


# 7.4: group states.


def test_group_status_tells_the_groups_own_state() -> None:
    workspace = Workspace()
    groups = [{"subscription_group_id": NEWSLETTER_GROUP, "subscription_state": "unsubscribed"}]
    workspace.track({"external_id": "a", "subscription_groups": groups}, {"external_id": "b"})
    query = {"subscription_group_id": NEWSLETTER_GROUP, "external_id[]": ["a", "b"]}
    answer = workspace.call("GET", "/subscription/status/get", params=query)
    assert answer.json() == {"status": {"a": "Unsubscribed", "b": "unknown"}, "message": "success"}


def test_group_status_of_an_unknown_group_is_400() -> None:
    query = {"subscription_group_id": "x", "external_id": "a"}
    assert Workspace().call("GET", "/subscription/status/get", params=query).status_code == 400


@pytest.mark.parametrize("status", [200, 201])
def test_export_succeeds_with_200_or_201(status: int) -> None:
    """Section 18: the status of a successful export is not established."""
    assert Workspace(export_status=status).export("a").status_code == status


def test_export_limit_by_the_second_is_the_workspace_s() -> None:
    workspace = Workspace(export_per_second=2)
    assert [workspace.export("a").status_code for _ in range(3)] == [201, 201, 429]


def test_7_4_group_states_share_the_hourly_pool() -> None:
    """Section 2.1: every endpoint without a limit of its own takes from 250,000 an hour."""
    workspace = Workspace(groups_per_hour=1)
    query = {"subscription_group_id": NEWSLETTER_GROUP, "external_id": "nobody"}
    statuses = [workspace.call("GET", "/subscription/status/get", params=query).status_code for _ in range(2)]
    assert statuses == [200, 429]
