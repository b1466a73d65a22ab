"""What `/metrics` tells: counts and times, no value of anybody."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class ReceiverMetrics:
    """The counters of one receiver, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.posts = Counter(
            "caspio_sync_posts",
            "Posts by path (`other` for all that are not ours) and the status they were answered.",
            ["path", "status"],
            registry=self.registry,
        )
        self.events = Counter(
            "caspio_sync_events",
            "Events: kept, duplicate (dropped), malformed (kept apart).",
            ["path", "outcome"],
            registry=self.registry,
        )
        self.unknown_types = Counter(
            "caspio_sync_unknown_type_posts", "Posts with events of a type that is new to us.", registry=self.registry
        )
        self.unknown_fields = Counter(
            "caspio_sync_unknown_field_posts", "Posts with a field that is new to us.", registry=self.registry
        )
        self.seconds = Histogram(
            "caspio_sync_post_seconds",
            "From a post's arrival to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.inbox_bytes = Gauge("caspio_sync_inbox_bytes", "What the inbox holds.", registry=self.registry)
        self.inbox_limit = Gauge(
            "caspio_sync_inbox_limit_bytes",
            "What it may hold: from there on posts are answered 503, and Braze sends them again for 5 days.",
            registry=self.registry,
        )
        self.waiting = Gauge("caspio_sync_waiting_posts", "Posts not on the disk yet.", registry=self.registry)
        self.failing = Gauge(
            "caspio_sync_inbox_failing", "1 while the inbox cannot be written.", registry=self.registry
        )
