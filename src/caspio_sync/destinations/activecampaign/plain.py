"""What is known of ActiveCampaign before it is loaded: how its settings look."""

import re
from types import MappingProxyType

from caspio_sync.plain_settings import ADDRESS, ANYTHING, PlainDestination

PLAIN = PlainDestination(
    title="ActiveCampaign",
    forms=MappingProxyType(
        {
            "ACTIVECAMPAIGN_URL": ADDRESS,
            "ACTIVECAMPAIGN_KEY": ANYTHING,
            "ACTIVECAMPAIGN_EVENT_ID": ANYTHING,
            "ACTIVECAMPAIGN_EVENT_KEY": ANYTHING,
            "ACTIVECAMPAIGN_EVENT_URL": ADDRESS,
            "ACTIVECAMPAIGN_CALLS_PER_SECOND": re.compile(r"[1-4](\.[0-9]{1,6})?|5"),
        }
    ),
    key="ACTIVECAMPAIGN_KEY",
    address=lambda values: values.get("ACTIVECAMPAIGN_URL"),
)
