"""The gate of syncs of purchases: that of events, which knows what purchases need besides."""

from expectations.events import judged_frame, suite

__all__ = ["judged_frame", "suite"]
