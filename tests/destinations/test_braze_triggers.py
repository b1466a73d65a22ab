from tests.destinations.stage import BrazeTriggers
from tests.destinations.suite import SinkSuite


class TestBrazeTriggers(SinkSuite):
    stage_of = BrazeTriggers
