"""The calls that Braze takes rows by, and how much of them at once."""

from caspio_sync.delivery.requests import Envelope, Method

OBJECTS_PER_REQUEST = 75  # Braze, POST /users/track: 75 objects combined over the three arrays
ITEMS_PER_REQUEST = 50  # Braze, catalog items: 50 a request
REQUEST_BYTES = 3_500_000  # Braze's own limit is 4 MB (Braze, payload sizes)

TRACK = Envelope("attributes", OBJECTS_PER_REQUEST, REQUEST_BYTES)
TRACK_EVENTS = Envelope("events", OBJECTS_PER_REQUEST, REQUEST_BYTES)
TRACK_PURCHASES = Envelope("purchases", OBJECTS_PER_REQUEST, REQUEST_BYTES)


def items_envelope(method: Method, catalog: str) -> Envelope:
    """For the items of a catalog."""
    return Envelope("items", ITEMS_PER_REQUEST, REQUEST_BYTES, method, catalog)
