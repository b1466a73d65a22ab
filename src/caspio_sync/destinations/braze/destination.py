"""Braze as a destination."""

from caspio_sync.destinations.braze.consent import CONSENT
from caspio_sync.run.destination import Destination

BRAZE = Destination(name="braze", title="Braze", consent=CONSENT)
