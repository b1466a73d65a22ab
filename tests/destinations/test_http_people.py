from tests.destinations.stage import HttpPeople
from tests.destinations.suite import ConsentSuite


class TestHttpPeople(ConsentSuite):
    stage_of = HttpPeople
