"""Sinks that break one promise each: the suite turns red for every one of them, or it would hold nothing."""
