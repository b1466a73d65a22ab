from tests.destinations.stage import ActiveCampaignDeals
from tests.destinations.suite import SinkSuite


class TestActiveCampaignDeals(SinkSuite):
    stage_of = ActiveCampaignDeals
