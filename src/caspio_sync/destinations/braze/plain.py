"""What is known of Braze before it is loaded: how its settings look, and where its instances are."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from caspio_sync.plain_settings import ADDRESS, ANYTHING, COUNT, PlainDestination

# Braze has no default host, and a key used on another instance is answered 401 (Braze, 1.1).
BRAZE_ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        **{f"US-0{number}": f"https://rest.iad-0{number}.braze.com" for number in range(1, 9)},
        "US-10": "https://rest.us-10.braze.com",
        "EU-01": "https://rest.fra-01.braze.eu",
        "EU-02": "https://rest.fra-02.braze.eu",
        "AU-01": "https://rest.au-01.braze.com",
        "ID-01": "https://rest.id-01.braze.com",
        "JP-01": "https://rest.jp-01.braze.com",
        "KR-01": "https://rest.kr-01.braze.com",
    }
)


def _address(values: Mapping[str, str]) -> str | None:
    named = values.get("BRAZE_REST_ENDPOINT") or BRAZE_ENDPOINTS.get(values.get("BRAZE_INSTANCE", "").upper())
    return None if named is None else named.rstrip("/")


PLAIN = PlainDestination(
    title="Braze",
    forms=MappingProxyType(
        {
            "BRAZE_INSTANCE": ANYTHING,
            "BRAZE_REST_ENDPOINT": ADDRESS,
            "BRAZE_API_KEY": ANYTHING,
            "BRAZE_TRACK_LIMIT": COUNT,
            "BRAZE_CONNECTIONS": re.compile(r"[1-9][0-9]?|1[01][0-9]|12[0-8]"),
        }
    ),
    key="BRAZE_API_KEY",
    address=_address,
)
