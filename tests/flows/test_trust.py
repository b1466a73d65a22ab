"""Something on the way answers in Braze's name: nothing passes for sent, nothing is billed for ever, no secret is shown."""

import orjson
import pytest

from caspio_sync.sandbox.faults import Fault
from tests.flows.gateway import between
from tests.flows.world import World

TRACK = "/users/track"
AN_HOUR = 3600.0
KEY = "3f1c0b1e-94d2-4c51-a7e0-5b1f2c9d8e70"


def minutes(world: World, count: int) -> list[int]:
    """Exit codes of a schedule that comes back each minute."""
    codes = []
    for _ in range(count):
        world.clock.advance(60)
        codes.append(world.ended().code)
    return codes


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"Code":"ServerError"}', b'{"message":"blocked by policy"}', b"<!-- {}"]
)
def test_what_nobody_acknowledged_is_not_sent_and_not_billed_each_minute(
    world: World, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    world.people(400)
    world.sync()
    with monkeypatch.context() as gateway:
        gateway.setattr(world.braze, "app", between(world.braze.app, TRACK, lambda _: body, hands_on=True))
        ended = world.ended()
        assert ended.code == 4
        assert "3 answers in a row are not known to be Braze's own" in ended.message
        assert ended.report.verdicts == {"unknown": 225}
        assert (ended.report.objects, ended.report.objects_unknown, ended.report.unacknowledged) == (225, 225, 3)
        assert "200 from POST braze.test/users/track" in ended.report.reasons[0].reason
        assert world.watermark() is None
        billed = world.braze.data_points
        assert minutes(world, 5) == [4] * 5
        assert world.braze.data_points == billed
    assert minutes(world, 1) == [0]
    assert world.verdicts() == {"sent": 400}
    assert len(world.profiles()) == 400
    assert world.watermark() is not None


def test_one_small_request_that_nobody_acknowledged_ends_the_run_and_keeps_the_cursor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.people(5)
    world.sync()
    with monkeypatch.context() as gateway:
        gateway.setattr(world.braze, "app", between(world.braze.app, TRACK, lambda _: b"{}"))
        ended = world.ended()
        assert (ended.code, ended.report.verdicts, world.watermark()) == (4, {"unknown": 5}, None)
        assert "1 of the requests were answered by something that is not known to be Braze" in ended.message
    again = world.ended()
    assert (again.code, again.report.sent, len(world.profiles())) == (0, 5, 5)


def test_counts_that_disagree_are_told_and_the_rows_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.people(200)
    world.sync()

    def short(body: bytes) -> bytes | None:
        objects = orjson.loads(body)["attributes"]
        if not any(each["external_id"] == "c80" for each in objects):
            return None
        return orjson.dumps({"message": "success", "attributes_processed": len(objects) - 1})

    with monkeypatch.context() as gateway:
        gateway.setattr(world.braze, "app", between(world.braze.app, TRACK, short, hands_on=True))
        ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (4, {"sent": 125, "unknown": 75})
    assert (ended.report.objects_taken, ended.report.objects_unknown) == (125, 75)
    assert "74 attributes counted as processed, 0 refused, 75 sent" in ended.message
    again = world.ended()
    assert (again.code, again.report.sent) == (0, 75)


def test_an_opt_out_that_nobody_acknowledged_leaves_again_though_its_row_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.people(30)
    world.loose()
    world.run()
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"Email": "no address", "Newsletter": "no"}, "CustomerNo = 'c7'")
    with monkeypatch.context() as gateway:
        gateway.setattr(world.braze, "app", between(world.braze.app, TRACK, lambda _: b"{}"))
        assert world.ended().code == 4
    assert world.profiles()["c7"]["email_subscribe"] == "subscribed"
    world.clock.advance(60)
    assert world.ended().code == 0
    assert world.profiles()["c7"]["email_subscribe"] == "unsubscribed"


def test_a_refused_key_is_told_back_by_braze_and_shown_nowhere(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world.people(3)
    world.sync()
    monkeypatch.setenv("BRAZE_API_KEY", KEY)
    ended = world.ended()
    assert (ended.code, "401 from POST /users/track: Invalid API key: [credential]" in ended.message) == (2, True)
    with world.ledger() as ledger:
        kept = repr(ledger.runs("customers"))
    shown = "".join([kept, ended.message, repr(ended.report), *capfd.readouterr(), caplog.text])
    assert KEY[:8] not in shown
    assert KEY[-12:] not in shown
    assert KEY[:8].encode() not in world.ledger_file.read_bytes()


@pytest.mark.parametrize("changed", [2, 25])
def test_rows_that_braze_refuses_alike_stop_nobody(world: World, monkeypatch: pytest.MonkeyPatch, changed: int) -> None:
    world.people(30)
    world.sync()
    world.run()
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"FirstName": "Bad", "Newsletter": "no"}, f"Spend <= {changed / 4}")
    world.break_braze(Fault(kind="status", path=TRACK, status=400, body='{"message": "Bad name", "errors": ["NAME"]}'))
    ended = world.ended()
    assert (ended.code, ended.report.verdicts) == (0, {"rejected": changed})
    assert ended.report.reasons[0].reason == "400: Bad name: NAME"
    world.break_braze()
    world.clock.advance(AN_HOUR)
    world.caspio.update_rows("Customers", {"FirstName": "Good"}, "CustomerNo = 'c1' OR CustomerNo = 'c30'")
    assert world.ended().report.verdicts == {"sent": 2}
    assert world.profiles()["c1"]["first_name"] == "Good"


def test_429_without_end_ends_the_run_and_lets_go_of_the_lease(world: World) -> None:
    world.people(3)
    world.sync()
    world.break_braze(Fault(kind="refuse", path=TRACK, header="retry-after", seconds=36_000))
    before = world.clock.monotonic()
    ended = world.ended()
    assert (ended.code, "36,000 s" in ended.message) == (4, True)
    assert world.clock.monotonic() - before <= 300
    world.break_braze()
    assert world.ended_elsewhere().code == 0
