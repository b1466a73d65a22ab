"""What every sink keeps; a destination's test inherits it and names its stage.

    class TestContacts(SinkSuite):
        stage_of = Contacts

It judges by what arrived, and by nothing the sink says of itself but `when_lost`. That it can fail is shown in `broken/`.
"""

import logging
from typing import Any

import pytest

from caspio_sync.engine.destination import destination_of
from caspio_sync.mapping.sync_file import load_sync
from caspio_sync.settings import current_settings, destination_settings, secret_variables
from tests.destinations.stage import Stage
from tests.flows.world import World

FIND_OUT = 2  # requests that are refused before a limit is known


class SinkSuite:
    """The promises, a test each."""

    stage_of: Any

    @pytest.fixture
    def stage(self, world: World) -> Stage:
        made: Stage = self.stage_of(world)
        return made

    def test_each_row_has_one_outcome_and_what_is_called_sent_has_arrived(self, stage: Stage) -> None:
        keys = stage.fill(6)
        stage.refuse(keys[3], "Bad Request: not this one")
        ended = stage.ended()
        assert ended.report is not None
        assert sum(ended.report.verdicts.values()) == len(keys)
        outcomes = stage.outcomes()
        assert outcomes.keys() == set(keys)
        assert {key for key, (verdict, _) in outcomes.items() if verdict == "sent"} == stage.arrived().keys()

    def test_a_refusal_is_led_back_to_its_row(self, stage: Stage) -> None:
        keys = stage.fill(7)
        stage.refuse(keys[4], "Bad Request: not this one")
        stage.ended()
        refused = {key: reason for key, (verdict, reason) in stage.outcomes().items() if verdict == "rejected"}
        assert refused.keys() == {keys[4]}
        assert "not this one" in str(refused[keys[4]])
        assert stage.arrived().keys() == set(keys) - {keys[4]}

    def test_no_request_holds_more_than_the_vendor_allows(self, stage: Stage) -> None:
        stage.fill(2 * stage.most + 10)
        ended = stage.ended()
        assert max(map(len, stage.bodies)) <= stage.most
        assert (ended.code, stage.arrived()) == (0, stage.expected())

    def test_the_limit_that_the_vendor_keeps_is_followed(self, stage: Stage) -> None:
        """Whatever the settings say of it: a few requests find out, and no more are refused."""
        stage.slow_down(4)
        stage.fill(12 * stage.most)
        ended = stage.ended()
        assert (ended.code, stage.arrived()) == (0, stage.expected())
        assert stage.refused_for_haste() <= FIND_OUT

    def test_a_lost_answer_ends_as_when_lost_says(self, stage: Stage) -> None:
        stage.fill(5)
        stage.lose_answers(1)
        stage.ended()
        stage.lose_answers()
        sync = load_sync(current_settings().sync_file(stage.name))
        assert stage.arrived() == stage.expected()  # whether it left again or not
        if destination_of(sync).sink(sync).when_lost == "repeat":
            assert len(stage.bodies) > 1
            assert {verdict for verdict, _ in stage.outcomes().values()} == {"sent"}
            return
        if destination_of(sync).sink(sync).when_lost == "look":
            verdicts = [verdict for verdict, _ in stage.outcomes().values()]
            assert (verdicts.count("unknown"), verdicts.count("sent")) == (1, 4)
            stage.ended()
            assert {verdict for verdict, _ in stage.outcomes().values()} == {"sent"}
            assert (stage.arrived(), stage.count()) == (stage.expected(), 5)  # found, and not made again
            return
        held = min(5, stage.most)  # by the request whose answer was lost
        assert len(stage.bodies) == -(-5 // held)
        verdicts = [verdict for verdict, _ in stage.outcomes().values()]
        assert (verdicts.count("unknown"), verdicts.count("sent")) == (held, 5 - held)
        stage.ended(full=True)
        assert stage.bodies == []  # not by itself

    def test_a_second_run_sends_nothing(self, stage: Stage) -> None:
        stage.fill(5)
        assert stage.ended().code == 0
        again = stage.ended(full=True)
        assert (again.code, stage.bodies) == (0, [])
        assert stage.arrived() == stage.expected()

    def test_a_change_arrives(self, stage: Stage) -> None:
        keys = stage.fill(5)
        stage.ended()
        stage.change(keys[2], **{stage.number: stage.expected()[keys[2]] * 1.25})
        assert stage.ended(full=True).code == 0
        assert (len(stage.bodies), stage.arrived()) == (1, stage.expected())

    def test_secrets_are_nowhere(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        keys = stage.fill(5)
        stage.refuse(keys[1], "Bad Request: not this one")
        refused = stage.ended()
        stage.world.break_braze()
        told = [refused.message, str(refused.report and refused.report.model_dump_json()), caplog.text]
        kept = b"".join(each.read_bytes() for each in stage.world.folder.rglob("*") if each.is_file())
        sync = load_sync(current_settings().sync_file(stage.name))
        own = destination_settings(sync.destination)
        values = [getattr(own, name.lower(), None) for name in secret_variables()]
        for secret in (each.get_secret_value() for each in values if each is not None):
            assert all(secret not in text for text in told)
            assert secret.encode() not in kept


class ConsentSuite(SinkSuite):
    """The promises of a sink that keeps consent besides; its stage tells the `state` of a key."""

    def test_an_opt_out_arrives_though_its_row_is_held(self, stage: Any) -> None:
        keys = stage.fill(4)
        stage.ended()
        stage.change(keys[0], Newsletter="no", Email="nobody")
        stage.ended()
        assert stage.outcomes()[keys[0]][0] == "quarantined"
        assert stage.state(keys[0]) == "unsubscribed"

    def test_consent_is_never_loosened(self, stage: Any) -> None:
        """Neither by a new address, nor by a row that tells none any more, nor by one that is sent again."""
        keys = stage.fill(4)
        stage.change(keys[0], Newsletter="no")
        stage.ended()
        stage.change(keys[0], Newsletter="", Email="new@example.com")
        stage.ended()
        assert stage.state(keys[0]) == "unsubscribed"
        stage.ended(full=True, resend=True)
        assert stage.state(keys[0]) == "unsubscribed"
