from tests.destinations.stage import BrazePurchases
from tests.destinations.suite import SinkSuite


class TestBrazePurchases(SinkSuite):
    stage_of = BrazePurchases
