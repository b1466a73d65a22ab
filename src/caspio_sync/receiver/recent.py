"""Ids of events that are in the inbox already: what is sent again soon after takes no room a second time."""

from collections.abc import Iterable

_IDS = 100_000  # about 15 MB; the fold knows those of two weeks


class RecentIds:
    """The last 100,000 ids, oldest forgotten first."""

    def __init__(self, limit: int = _IDS) -> None:
        self._limit = limit
        self._ids: dict[str, None] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    def add(self, event_ids: Iterable[str]) -> None:
        """Remember ids that are on the disk."""
        self._ids.update(dict.fromkeys(event_ids))
        while len(self._ids) > self._limit:
            del self._ids[next(iter(self._ids))]
