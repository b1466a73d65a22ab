"""The gate of syncs of triggered messages: that of events."""

from expectations.events import judged_frame, suite

__all__ = ["judged_frame", "suite"]
