from tests.destinations.stage import ActiveCampaignEvents
from tests.destinations.suite import SinkSuite


class TestActiveCampaignEvents(SinkSuite):
    stage_of = ActiveCampaignEvents
