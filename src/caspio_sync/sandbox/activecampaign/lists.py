"""Lists of the emulated account, and who is on them (reference, section 8)."""

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, missing
from caspio_sync.sandbox.activecampaign.store import ACTIVE, UNSUBSCRIBED, Store
from caspio_sync.sandbox.activecampaign.webhooks import Webhooks


class Lists:
    """Answers calls about lists."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store, webhooks: Webhooks) -> None:
        self._behaviour, self._store, self._webhooks = behaviour, store, webhooks

    def list_all(self, call: Call) -> Reply:
        """GET /lists."""
        offset, limit = call.page()
        rows = [{"id": number, "name": name, "links": {}} for number, name in self._store.lists.items()]
        total: object = str(len(rows)) if self._behaviour.totals == "text" else len(rows)
        return Reply(200, {"lists": rows[offset : offset + limit], "meta": {"total": total}})

    def delete(self, call: Call) -> Reply:
        """DELETE /lists/{id}; one that is missing is answered 403."""
        if call.parts[1] not in self._store.lists:
            gone = missing("_List", call.parts[1])
            raise RefusedError(403, gone.body)
        del self._store.lists[call.parts[1]]
        for contact in self._store.contacts.values():
            contact.lists.pop(call.parts[1], None)
        return Reply(200, {})

    def write(self, call: Call) -> Reply:
        """POST /contactLists: makes or changes the one row of the pair. It re-subscribes who opted out, unasked."""
        body = call.json("contactList")
        number, contact_id, status = (str(body.get(name) or "") for name in ("list", "contact", "status"))
        errors = []
        if number not in self._store.lists:
            errors.append(_unknown("The related list does not exist.", "list_not_exist", "list"))
        if contact_id not in self._store.contacts:
            errors.append(_unknown("The related contact does not exist.", "contact_not_exist", "contact"))
        if errors:
            raise RefusedError(self._behaviour.bad_reference_status, {"errors": errors})
        if status not in {ACTIVE, UNSUBSCRIBED}:
            raise RefusedError(400, {})
        contact = self._store.contacts[contact_id]
        if contact.lists.get(number, {}).get("status") != status:
            contact.automations += 1
            told = "subscribe" if status == ACTIVE else "unsubscribe"
            self._webhooks.happened(told, contact, "api", {}, on=number)
        row = self._store.put_on(contact, number, status, call.now)
        shown = {"contact": contact_id, "list": number, **row, "status": body["status"], "links": {}}
        return Reply(self._behaviour.membership_status, {"contacts": [], "contactList": shown})


def _unknown(title: str, error: str, of: str) -> dict[str, object]:
    pointer = {"pointer": f"/data/attributes/{of}"}
    return {"title": title, "detail": "", "code": "related_missing", "error": error, "source": pointer}
