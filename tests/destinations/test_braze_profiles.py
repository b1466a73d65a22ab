from tests.destinations.stage import BrazeProfiles
from tests.destinations.suite import ConsentSuite


class TestBrazeProfiles(ConsentSuite):
    stage_of = BrazeProfiles
