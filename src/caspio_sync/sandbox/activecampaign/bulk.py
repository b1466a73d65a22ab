"""Bulk import of the emulated account: queued, and settled later (reference, section 6)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply
from caspio_sync.sandbox.activecampaign.store import ACTIVE, EMAIL, UNSUBSCRIBED, Store, normal

MOST = 250
_OWN = {"first_name": "firstName", "last_name": "lastName", "phone": "phone"}


@dataclass(slots=True)
class Job:
    """An import."""

    contacts: list[dict[str, Any]]
    runs_automations: bool
    due: float
    success: list[str] | None = None
    failure: list[str] | None = None


class Imports:
    """Answers calls about imports."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store
        self.jobs: dict[str, Job] = {}
        self.throttled = 0
        self._times: dict[bool, deque[float]] = {True: deque(), False: deque()}

    def queue(self, call: Call) -> Reply:
        """POST /import/bulk_import: all of it is queued, or nothing is."""
        if len(call.body) >= self._behaviour.import_bytes:
            raise _refused("The request body is too large.", [f"under {self._behaviour.import_bytes} bytes"])
        try:
            body = orjson.loads(call.body)
            contacts = body["contacts"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise _refused("JSON payload is invalid.", ["'contacts' is a required field."]) from None
        if not isinstance(contacts, list) or not 1 <= len(contacts) <= MOST:
            raise _refused("JSON payload did not pass validation.", [f"1 to {MOST} contacts may be imported."])
        self._admit(call.now, single=len(contacts) == 1)
        if reasons := [
            {"contact": index, "failureReason": fault}
            for index, each in enumerate(contacts, start=self._behaviour.import_index)
            if (fault := _fault(each))
        ]:
            raise _refused("JSON payload did not pass validation. Nothing was imported.", reasons)
        batch = str(UUID(int=len(self.jobs) + 0x7B1F))
        runs = not body.get("exclude_automations", False)
        self.jobs[batch] = Job(contacts, runs, call.now + self._behaviour.import_seconds)
        told = {"Success": 1, "queued_contacts": len(contacts), "batchId": batch, "message": "Contact import queued"}
        return Reply(200, told)

    def info(self, call: Call) -> Reply:
        """GET /import/info: what became of one import."""
        batch = call.asked("batchId")
        if not batch:
            raise RefusedError(400, {"success": 0, "message": "'batchId' is a required field."})
        job = self.jobs.get(batch)
        if job is None:
            raise RefusedError(400, {"success": 0, "message": "The batch does not exist."})
        self.settle(call.now)
        if self._behaviour.import_ends == "failed" and call.now >= job.due:
            return Reply(200, {"status": "failed", "success": [], "failure": []})
        if job.success is None:
            return Reply(200, {"status": "waiting" if call.now < job.due else "active", "success": [], "failure": []})
        order = list(job.success) if self._behaviour.import_order == "input" else job.success[::-1]
        return Reply(200, {"status": "completed", "success": order, "failure": job.failure})

    def settle(self, now: float) -> None:
        """Let what is due take effect."""
        if self._behaviour.import_ends != "completed":
            return
        for job in self.jobs.values():
            if job.success is None and now >= job.due:
                self._import(job, job.due)

    def _import(self, job: Job, now: float) -> None:
        job.success, job.failure = [], []
        for each in job.contacts:
            email = normal(each["email"])
            if email in self._behaviour.excluded:
                job.failure.append(email)
                continue
            contact = self._store.by_email(email) or self._store.make(email, now)
            own = {_OWN[name]: each[name] for name in _OWN if name in each}
            values = [(str(value["id"]), str(value["value"])) for value in each.get("fields", [])]
            self._store.write(contact, own, values, now)
            for on in each.get("subscribe", []):
                number = str(on["listid"])
                # Whoever once left a list is not put on it again by an import (6).
                if number in self._store.lists and number not in contact.lists:
                    self._store.put_on(contact, number, ACTIVE, now)
            for off in each.get("unsubscribe", []):
                if str(off["listid"]) in self._store.lists:
                    self._store.put_on(contact, str(off["listid"]), UNSUBSCRIBED, now)
            for tag in each.get("tags", []):
                self._store.tag(contact, str(tag), now)
            contact.automations += job.runs_automations
            job.success.append(contact.id)

    def _admit(self, now: float, *, single: bool) -> None:
        """Too many in a minute are refused with 400, not with 429 (6)."""
        behaviour, times = self._behaviour, self._times[single]
        most = behaviour.single_imports_a_minute if single else behaviour.imports_a_minute
        while times and times[0] <= now - 60:
            times.popleft()
        if len(times) >= most:
            self.throttled += 1
            raise _refused("Rate limit exceeded.", [f"Up to {most} imports may be requested per minute."])
        times.append(now)


def _fault(contact: Mapping[str, Any]) -> str | None:
    email = contact.get("email")
    if not email:
        return "Field 'email' is required"
    if not EMAIL.fullmatch(normal(email)):
        return "Field 'email' incorrect format"
    fields = contact.get("fields", [])
    if not isinstance(fields, list) or not all(isinstance(each.get("id"), int) for each in fields):
        return "Field 'fields' incorrect format"
    return None


def _refused(message: str, reasons: list[Any]) -> RefusedError:
    return RefusedError(400, {"success": 0, "message": message, "failureReasons": reasons})
