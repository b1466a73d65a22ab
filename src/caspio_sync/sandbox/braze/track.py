"""`POST /users/track`: envelope, checks, answer (reference, sections 3.1 and 3.9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from caspio_sync.sandbox.braze.behaviour import BrazeBehaviour
from caspio_sync.sandbox.braze.checks import AttributeChecks, has_whitespace
from caspio_sync.sandbox.braze.events import EventChecks

ARRAYS = ("attributes", "events", "purchases")
_NOTHING_REJECTED: frozenset[tuple[str, int]] = frozenset()


class RefusedError(Exception):
    """A request that is refused as a whole, nothing of it processed; carries the status."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: list[Any] | None = None,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.headers = list(headers)
        self.status = status
        self.message = message
        self.errors = errors

    def body(self) -> bytes:
        """`{"message": …}`, with `errors` where there are some (Braze, errors)."""
        answer: dict[str, Any] = {"message": self.message}
        if self.errors is not None:
            answer["errors"] = self.errors
        return orjson.dumps(answer)


def read_json(body: bytes) -> Any:
    """The document; raises `RefusedError` (400) where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "Bad Request: the body is not valid JSON in UTF-8") from error


def read_body(body: bytes) -> dict[str, Any]:
    """The object; raises `RefusedError` (400) where it is none."""
    payload = read_json(body)
    if type(payload) is not dict:
        raise RefusedError(400, "Bad Request: the body must be a JSON object")
    return payload


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted request: what it held, how many objects were queued, which were not, and the answer's body."""

    queued: int
    rejected: frozenset[tuple[str, int]]
    answer: bytes


class TrackEndpoint:
    """Judges bodies; keeps nothing."""

    def __init__(self, behaviour: BrazeBehaviour) -> None:
        self._behaviour = behaviour
        self._attributes = AttributeChecks(behaviour)
        events = EventChecks(behaviour)
        self._problems = {
            "attributes": self._attributes.problem,
            "events": events.event_problem,
            "purchases": events.purchase_problem,
        }

    def judge(self, body: bytes) -> Acceptance:
        """Accept a body, some of its objects perhaps rejected; raises `RefusedError` where all of it is refused."""
        payload = self._read(body)
        if self._behaviour.email_whitespace == "400":
            self._refuse_whitespace(payload)
        # The hot path: attributes alone, nothing to reject.
        attributes = payload.get("attributes")
        if attributes and len(payload) == 1:
            problem = self._attributes.problem
            if all([problem(item) is None for item in attributes]):  # noqa: C419 - a list is faster than a generator here
                return Acceptance(len(attributes), _NOTHING_REJECTED, _plain_answer(len(attributes)))
        return self._judge_each(payload)

    def _judge_each(self, payload: dict[str, list[Any]]) -> Acceptance:
        answer: dict[str, Any] = {"message": "success"}
        errors: list[Any] = []
        rejected: set[tuple[str, int]] = set()
        queued = 0
        for array in ARRAYS:
            if array not in payload:
                continue
            for index, item in enumerate(payload[array]):
                problem = self._problems[array](item)
                if problem is not None:
                    rejected.add((array, index))
                    errors.append(self._entry(array, index, problem))
            accepted = sum((array, index) not in rejected for index in range(len(payload[array])))
            answer[f"{array}_processed"] = accepted
            queued += accepted
        if errors:
            answer["errors"] = errors
            if not queued and self._behaviour.all_rejected_status == 400:
                raise RefusedError(400, "No objects could be processed", errors)
        return Acceptance(queued, frozenset(rejected), orjson.dumps(answer))

    def _read(self, body: bytes) -> dict[str, list[Any]]:
        payload = read_body(body)
        arrays = {array: payload[array] for array in ARRAYS if array in payload}
        for array, items in arrays.items():
            if type(items) is not list:
                raise RefusedError(400, f"Bad Request: '{array}' must be an array of objects")
        counts = [len(items) for items in arrays.values()]
        count = max(counts, default=0) if self._behaviour.objects_limit == "each" else sum(counts)
        if count > self._behaviour.max_objects:
            raise RefusedError(400, "Max Input Length Exceeded")
        if self._behaviour.empty_refused and not sum(counts):
            fields = "'attributes', 'events', or 'purchases'"
            raise RefusedError(400, f"Valid data must be provided in the {fields} fields.")
        return arrays

    def _entry(self, array: str, index: int, problem: str) -> Any:
        form = self._behaviour.error_form
        if form == "bare":
            return problem
        if form == "no_index":
            return {"input_array": array, "type": problem}
        return {"type": problem, "input_array": array, "index": index}

    @staticmethod
    def _refuse_whitespace(payload: dict[str, list[Any]]) -> None:
        for item in payload.get("attributes", ()):
            if type(item) is dict and has_whitespace(item.get("email")):
                raise RefusedError(400, "Bad Request: an email may not contain whitespace")


def _plain_answer(count: int) -> bytes:
    return b'{"message":"success","attributes_processed":%d}' % count
