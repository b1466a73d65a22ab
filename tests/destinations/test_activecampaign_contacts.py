from tests.destinations.stage import ActiveCampaignContacts
from tests.destinations.suite import ConsentSuite


class TestActiveCampaignContacts(ConsentSuite):
    stage_of = ActiveCampaignContacts
