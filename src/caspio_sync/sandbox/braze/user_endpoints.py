"""The endpoints of profiles: track, identify, export, delete, group states (reference, sections 3, 5, 6.1 and 7.4)."""

from collections import deque
from typing import Any, NamedTuple

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.calls import Call, Endpoint, Reply
from caspio_sync.sandbox.braze.delete import DeleteRequest
from caspio_sync.sandbox.braze.export import ExportRequest, is_slow
from caspio_sync.sandbox.braze.identify import check_identify
from caspio_sync.sandbox.braze.journal import Journal, Rejected, accepted_objects
from caspio_sync.sandbox.braze.profiles import ProfileStore
from caspio_sync.sandbox.braze.rate import Admission, PoolLimit, TrackLimit
from caspio_sync.sandbox.braze.track import TrackEndpoint

_NONE_REJECTED: Rejected = frozenset()


class AcceptedObject(NamedTuple):
    """One object that was queued, with the number of its request among those accepted (from 1)."""

    request: int
    array: str
    object: dict[str, Any]


class UserEndpoints:
    """Answers requests about profiles, and counts what they brought.

    Args:
        behaviour: limits and answers.
        store: the profiles, as far as accepted writes have taken effect.
        journal: takes the accepted writes.
    """

    def __init__(self, behaviour: BrazeBehaviour, store: ProfileStore, journal: Journal) -> None:
        self._behaviour = behaviour
        self._store = store
        self._journal = journal
        self._judge = TrackEndpoint(behaviour).judge
        track = TrackLimit(behaviour)
        # 40/s where fields are named and neither campaigns nor canvases are, 250/min else (Braze, rate limits).
        fast = PoolLimit(behaviour, behaviour.export_per_second, 1)
        slow = PoolLimit(behaviour, behaviour.export_per_minute, 60)
        identity = PoolLimit(behaviour, behaviour.identity_per_minute, 60)

        def admit_export(call: Call) -> Admission:
            return (slow if is_slow(call.body) else fast).admit(call.now)

        self._routes = {
            "/users/track": Endpoint("users.track", lambda call: track.admit(call.now), self._track),
            "/users/identify": Endpoint("users.identify", lambda call: identity.admit(call.now), self._identify),
            "/users/export/ids": Endpoint("users.export.ids", admit_export, self._export, looks=True),
            "/users/delete": Endpoint("users.delete", lambda call: identity.admit(call.now), self._delete),
        }
        self._logged: deque[tuple[int, bytes, Rejected]] = deque(maxlen=behaviour.logged_requests)
        self._accepted = 0
        self.objects = 0
        self.rejected = 0

    def route(self, method: str, path: str) -> Endpoint | None:
        """The endpoint, None where there is none."""
        return self._routes.get(path) if method == "POST" else None

    @property
    def log(self) -> list[AcceptedObject]:
        """The objects of the last `logged_requests` accepted requests, oldest first."""
        return [
            AcceptedObject(number, array, item)
            for number, body, rejected in self._logged
            for array, item in accepted_objects(body, rejected)
        ]

    def _track(self, call: Call) -> Reply:
        acceptance = self._judge(call.body)
        self.objects += acceptance.queued
        self.rejected += len(acceptance.rejected)
        if acceptance.queued:
            self._queue(call, acceptance.rejected)
        return Reply(self._behaviour.accepted_status, acceptance.answer)

    def _identify(self, call: Call) -> Reply:
        processed = check_identify(call.body, self._behaviour)
        self._queue(call, _NONE_REJECTED)
        return Reply(201, orjson.dumps({"aliases_processed": processed, "message": "success"}))

    def _queue(self, call: Call, rejected: Rejected) -> None:
        self._accepted += 1
        self._journal.append(self._accepted, call.body, rejected, call.now)
        self._logged.append((self._accepted, call.body, rejected))

    def _export(self, call: Call) -> Reply:
        return Reply(
            self._behaviour.export_status, ExportRequest(call.body, self._behaviour).answer(self._store, call.now)
        )

    def _delete(self, call: Call) -> Reply:
        request = DeleteRequest(call.body, self._behaviour)
        self._accepted += 1
        self._journal.append_deletion(self._accepted, request.apply, call.now)
        return Reply(self._behaviour.delete_status, request.answer())
