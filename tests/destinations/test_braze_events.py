from tests.destinations.stage import BrazeEvents
from tests.destinations.suite import SinkSuite


class TestBrazeEvents(SinkSuite):
    stage_of = BrazeEvents
