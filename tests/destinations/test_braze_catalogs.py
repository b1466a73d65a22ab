from tests.destinations.stage import BrazeItems
from tests.destinations.suite import SinkSuite


class TestBrazeCatalogs(SinkSuite):
    stage_of = BrazeItems
