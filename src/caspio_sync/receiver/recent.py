"""Ids of events that are in the inbox already: what is sent again soon after takes no room a second time."""

from collections.abc import Iterable

_IDS = 50_000  # up to twice as many, about 15 MB; the fold knows those of two weeks


class RecentIds:
    """The last 50,000 ids or more, in two sets: when the newer is full, the older is forgotten as a whole."""

    def __init__(self, limit: int = _IDS) -> None:
        self._limit = limit
        self._newer: set[str] = set()
        self._older: set[str] = set()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._newer or event_id in self._older

    def add(self, event_ids: Iterable[str]) -> None:
        """Remember ids that are on the disk."""
        self._newer.update(event_ids)
        if len(self._newer) > self._limit:
            self._older, self._newer = self._newer, set()
