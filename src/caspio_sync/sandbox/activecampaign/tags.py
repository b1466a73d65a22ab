"""Tags of the emulated account, and which contacts have them (reference, section 7)."""

from itertools import islice
from typing import Any

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, invalid, missing
from caspio_sync.sandbox.activecampaign.store import Store, moment

_TYPES = frozenset({"contact", "template"})


class Tags:
    """Answers calls about tags, and about the joins that say which contact has which."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store

    def list_all(self, call: Call) -> Reply:
        """GET /tags; `search` asks for a part of the name, and finds those of templates as well."""
        found = list(self._store.tags)
        for name, wanted in call.query:
            if name == "search" or name.startswith("filters["):
                found = [each for each in found if _matches(name, self._store.tags[each].lower(), wanted.lower())]
        offset, limit = call.page()
        total: object = str(len(found)) if self._behaviour.totals == "text" else len(found)
        return Reply(
            200, {"tags": [self._tag(each) for each in found[offset : offset + limit]], "meta": {"total": total}}
        )

    def create(self, call: Call) -> Reply:
        """POST /tags."""
        body = call.json("tag")
        name, kind = str(body.get("tag") or "").strip(), str(body.get("tagType") or "")
        if not name or kind not in _TYPES:
            raise invalid("The tag is missing a name or a type.", "field_missing", "/data/attributes/tag")
        known = self._store.tag_named(name, kind)
        if known is not None and self._behaviour.duplicate_tag == "refused":
            raise _taken(name)
        return Reply(201, {"tag": self._tag(known or self._store.make_tag(name, kind))})

    def read(self, call: Call) -> Reply:
        """GET /tags/{id}, with the number of contacts that have it."""
        number = self._known(call)
        count = sum(tag == number for _, tag, _ in self._store.contact_tags.values())
        return Reply(200, {"tag": {**self._tag(number), "subscriber_count": str(count)}})

    def rename(self, call: Call) -> Reply:
        """PUT /tags/{id}: those who have it have it under its new name."""
        number, name = self._known(call), str(call.json("tag").get("tag") or "").strip()
        if not name:
            raise invalid("The tag is missing a name.", "field_missing", "/data/attributes/tag")
        if self._store.tag_named(name, self._store.tag_type(number)) not in {None, number}:
            raise _taken(name)
        self._store.tags[number] = name
        return Reply(200, {"tag": self._tag(number)})

    def delete(self, call: Call) -> Reply:
        """DELETE /tags/{id}: nobody has it any more."""
        number = self._known(call)
        for join in [join for join, (_, tag, _) in self._store.contact_tags.items() if tag == number]:
            self._store.untag(join)
        del self._store.tags[number]
        return Reply(200, {})

    def apply(self, call: Call) -> Reply:
        """POST /contactTags: one join for a contact and a tag, however often it is asked for."""
        body = call.json("contactTag")
        for name in ("contact", "tag"):
            if not body.get(name):
                item = {"status": 422, "title": "Missing attribute", "source": {"pointer": f"/data/attributes/{name}"}}
                raise RefusedError(422, {"errors": [item]})
        contact, tag = self._store.contacts.get(str(body["contact"])), str(body["tag"])
        if contact is None:
            raise _not_found("Contact not found", 404)
        if tag not in self._store.tags or self._store.tag_type(tag) != "contact":
            raise _not_found("Tag not found", self._behaviour.unknown_tag_status)
        known = tag in contact.tags
        join = self._store.apply_tag(contact, tag, call.now)
        contact.automations += not known  # what runs when a tag is added does not run again
        return Reply(self._behaviour.retagged_status if known else 201, {"contactTag": self._join(join)})

    def remove(self, call: Call) -> Reply:
        """DELETE /contactTags/{id}, by the id of the join."""
        if call.parts[1] not in self._store.contact_tags:
            raise missing("SubscriberTag", call.parts[1])
        self._store.untag(call.parts[1])
        return Reply(200, {})

    def of_contact(self, call: Call) -> Reply:
        """GET /contacts/{id}/contactTags."""
        joins = [self._join(each) for each in self._store.contact(call.parts[1]).tags.values()]
        return Reply(200, {"contactTags": call.part(joins, in_pages=self._behaviour.parts_in_pages)})

    def joins(self, call: Call) -> Reply:
        """GET /contactTags: those of all contacts; no page of the vendor names it."""
        if not self._behaviour.account_joins:
            raise RefusedError(404, {"message": "Route not found"})
        joins, (offset, limit) = self._store.contact_tags, call.page()
        rows = [self._join(each) for each in islice(joins, offset, offset + limit)]
        total: object = str(len(joins)) if self._behaviour.totals == "text" else len(joins)
        return Reply(200, {"contactTags": rows, "meta": {"total": total}})

    def _known(self, call: Call) -> str:
        if call.parts[1] not in self._store.tags:
            raise missing("Tag", call.parts[1])
        return call.parts[1]

    def _tag(self, number: str) -> dict[str, Any]:
        kind, name = self._store.tag_type(number), self._store.tags[number]
        return {"tagType": kind, "tag": name, "description": "", "links": {}, "id": number}

    def _join(self, join: str) -> dict[str, Any]:
        contact, tag, at = self._store.contact_tags[join]
        links = {"contact": f"/{join}/contact", "tag": f"/{join}/tag"}
        return {"cdate": moment(at), "contact": contact, "id": join, "links": links, "tag": tag}


def _matches(name: str, known: str, wanted: str) -> bool:
    """Whether a name is one that a parameter asks for.

    Raises:
        RefusedError: there is no such filter.
    """
    match name:
        case "search" | "filters[search][contains]":
            return wanted in known
        case "filters[search][eq]":
            return known == wanted
        case "filters[search][neq]":
            return known != wanted
        case "filters[search][starts_with]":
            return known.startswith(wanted)
    raise RefusedError(400, {})


def _taken(name: str) -> RefusedError:
    return invalid(f"There is already a tag named '{name}'", "duplicate", "/data/attributes/tag")


def _not_found(detail: str, status: int) -> RefusedError:
    return RefusedError(status, {"errors": [{"status": status, "title": "Not Found", "detail": detail}]})
