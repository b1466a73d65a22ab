"""The fault plan in front of an emulator, in process; sections 2.2, 2.4, 3.9 and 17 of the Braze reference name the faults."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from caspio_sync.errors import ConfigurationError
from caspio_sync.sandbox.braze.emulator import BrazeSandbox
from caspio_sync.sandbox.faults import CutAnswer, Fault, Faults, FaultyApp, ResetAfter, ResetBefore
from tests.virtual_clock import VirtualClock


class Rig:
    """A Braze emulator behind a plan, on a virtual clock."""

    def __init__(self, *faults: Fault, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.sandbox = BrazeSandbox(clock=self.clock)
        self.app = FaultyApp(self.sandbox.app, Faults(seed=seed, faults=faults), self.clock)

    def track(self, *attributes: dict[str, Any], path: str = "/users/track") -> httpx.Response:
        async def send() -> httpx.Response:
            headers = {"Authorization": "Bearer sandbox-key"}
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://braze", headers=headers) as client:
                return await client.post(path, json={"attributes": list(attributes)})

        return asyncio.run(send())

    def statuses(self, requests: int) -> list[int]:
        return [self.track({"external_id": "c"}).status_code for _ in range(requests)]


def test_without_faults_nothing_changes() -> None:
    rig = Rig()
    assert rig.track({"external_id": "c"}).json() == {"message": "success", "attributes_processed": 1}
    assert rig.app.struck == {}


def test_nth_request_alone_is_struck() -> None:
    rig = Rig(Fault(kind="status", status=503, nth=(2, 4)))
    assert rig.statuses(5) == [201, 503, 201, 503, 201]
    assert rig.app.struck == {"status": 2}


def test_every_third_request_is_struck() -> None:
    assert Rig(Fault(kind="status", status=502, every=3)).statuses(6) == [201, 201, 502, 201, 201, 502]


def test_only_the_path_is_struck_and_counted() -> None:
    rig = Rig(Fault(kind="status", path="/users/track", nth=(1,)))
    assert rig.track(path="/users/export/ids").status_code == 400
    assert rig.statuses(2) == [503, 201]


def test_probability_is_seeded_and_replayable() -> None:
    fault = Fault(kind="status", probability=0.3)
    first, again, other = (Rig(fault, seed=seed).statuses(60) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert 5 < first.count(503) < 35


def test_span_of_time_bounds_a_fault() -> None:
    rig = Rig(Fault(kind="status", after_seconds=10, for_seconds=5))
    rig.statuses(1)
    seen = []
    for seconds in (9, 1, 4, 1):
        rig.clock.advance(seconds)
        seen += rig.statuses(1)
    assert seen == [201, 503, 503, 201]


def test_struck_request_has_no_effect() -> None:
    rig = Rig(Fault(kind="status"))
    rig.statuses(1)
    assert rig.sandbox.profiles() == {}


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("epoch", {"x-ratelimit-reset": "1767225607", "x-ratelimit-remaining": "0"}),
        ("seconds", {"x-ratelimit-reset": "7"}),
        ("x-ratelimit-retry-after", {"x-ratelimit-retry-after": "7"}),
        ("retry-after", {"retry-after": "7"}),
        ("http-date", {"retry-after": "Thu, 01 Jan 2026 00:00:07 GMT"}),
        ("empty", {"x-ratelimit-reset": ""}),
        ("absent", {}),
    ],
)
def test_refusal_in_every_header_form(form: Any, headers: dict[str, str]) -> None:
    answer = Rig(Fault(kind="refuse", header=form, seconds=7)).track({"external_id": "c"})
    assert answer.status_code == 429
    told = {name: value for name, value in answer.headers.items() if "ratelimit" in name or "retry" in name}
    assert headers.items() <= told.items()
    assert bool(told) == bool(headers)


def test_expired_token_is_401() -> None:
    answer = Rig(Fault(kind="expired_token", body='{"Message":"expired"}')).track()
    assert (answer.status_code, answer.json()) == (401, {"Message": "expired"})


def test_reset_before_leaves_no_effect() -> None:
    rig = Rig(Fault(kind="reset_before"))
    with pytest.raises(ResetBefore):
        rig.track({"external_id": "c"})
    assert rig.sandbox.profiles() == {}


def test_reset_after_leaves_the_effect() -> None:
    rig = Rig(Fault(kind="reset_after"))
    with pytest.raises(ResetAfter):
        rig.track({"external_id": "c"})
    assert rig.sandbox.profiles().keys() == {"c"}


def test_cut_answer_leaves_the_effect() -> None:
    rig = Rig(Fault(kind="truncate"))
    with pytest.raises(CutAnswer):
        rig.track({"external_id": "c"})
    assert rig.sandbox.profiles().keys() == {"c"}


def test_slow_answer_arrives_whole() -> None:
    rig = Rig(Fault(kind="slow", seconds=20))
    assert rig.track({"external_id": "c"}).json()["attributes_processed"] == 1
    assert rig.clock.monotonic() == pytest.approx(20)


def test_latency_adds_to_another_fault() -> None:
    rig = Rig(Fault(kind="latency", seconds=2), Fault(kind="latency", seconds=1), Fault(kind="status"))
    assert rig.statuses(1) == [503]
    assert rig.clock.monotonic() == pytest.approx(3)


def test_rejected_objects_are_reported_at_their_index_and_not_stored() -> None:
    rig = Rig(Fault(kind="reject", indexes=(0, 2), code="EMAIL_BAD_FORMAT"))
    answer = rig.track(*({"external_id": f"c-{number}"} for number in range(4)))
    assert answer.json() == {
        "message": "success",
        "attributes_processed": 2,
        "errors": [
            {"type": "EMAIL_BAD_FORMAT", "input_array": "attributes", "index": 0},
            {"type": "EMAIL_BAD_FORMAT", "input_array": "attributes", "index": 2},
        ],
    }
    assert rig.sandbox.profiles().keys() == {"c-1", "c-3"}


def test_emulators_own_rejections_keep_their_place() -> None:
    rig = Rig(Fault(kind="reject", indexes=(0,)))
    answer = rig.track({"external_id": "a"}, {"external_id": "b"}, {"external_id": "c", "email": "nobody"})
    assert sorted(entry["index"] for entry in answer.json()["errors"]) == [0, 2]


def test_index_beyond_the_request_rejects_nothing() -> None:
    answer = Rig(Fault(kind="reject", indexes=(9,))).track({"external_id": "a"})
    assert "errors" not in answer.json()


def test_sandbox_routes_are_never_struck() -> None:
    rig = Rig(Fault(kind="status"))
    assert rig.track(path="/sandbox/reset").status_code == 200


def test_plan_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "seed: 7\nfaults:\n  - {kind: refuse, path: /users/track, nth: [3], seconds: 2}\n", encoding="utf-8"
    )
    plan = Faults.load(path)
    assert (plan.seed, plan.faults[0].kind, plan.faults[0].nth) == (7, "refuse", (3,))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("faults: [{kind: explode}]", "faults.0.kind"),
        ("faults: [{kind: status, colour: red}]", "faults.0.colour"),
        ("faults: [{kind: reject}]", "indexes"),
        ("faults: [", "not YAML"),
    ],
)
def test_unsound_plan_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        Faults.load(path)


def test_missing_plan_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        Faults.load(tmp_path / "none.yaml")
