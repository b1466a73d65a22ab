"""Custom fields of the emulated account: made, given options, made visible (reference, section 5)."""

from typing import Any

import orjson

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, invalid
from caspio_sync.sandbox.activecampaign.store import CustomField, Store

_TYPES = frozenset(
    {"text", "textarea", "date", "datetime", "dropdown", "listbox", "radio", "checkbox", "hidden", "NULL"}
)


class Fields:
    """Answers calls about custom fields."""

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store

    def create(self, call: Call) -> Reply:
        """POST /fields."""
        body = call.json("field")
        title, kind = str(body.get("title") or ""), str(body.get("type") or "")
        if not title or not kind:
            raise invalid("The field is missing a title or a type.", "field_missing", "/data/attributes/title")
        if kind not in _TYPES:
            raise invalid("The type does not exist.", "field_invalid", "/data/attributes/type")
        for each in self._store.fields.values():
            same = each.title.lower() == title.lower() if self._behaviour.titles_ignore_case else each.title == title
            if same:
                item = {
                    "title": "There is already a field with this title",
                    "detail": f"There is already a field named '{title}' -- choose another name",
                    "code": "duplicate",
                }
                raise RefusedError(422, {"errors": [item]})
        # Given, blanks go; derived from the title, they become underscores (5).
        perstag = str(body.get("perstag") or "").replace(" ", "") or title.replace(" ", "_")
        made = CustomField(self._store.number("field"), title, kind, perstag.upper())
        self._store.fields[made.id] = made
        if self._behaviour.made_field == "list":
            return Reply(201, self._listed([made], 1))
        return Reply(201, {"field": self._field(made)})

    def list_all(self, call: Call) -> Reply:
        """GET /fields."""
        found = list(self._store.fields.values())
        if (perstag := call.asked("filters[perstag]")) is not None:
            found = [each for each in found if each.perstag == perstag]
        offset, limit = call.page()
        return Reply(200, self._listed(found[offset : offset + limit], len(found)))

    def add_options(self, call: Call) -> Reply:
        """POST /fieldOption/bulk."""
        given = orjson.loads(call.body).get("fieldOptions")
        if not isinstance(given, list):
            text = "Bulk operation failed. Request must contain an array of fieldOption objects."
            raise RefusedError(422, {"errors": text})
        made = []
        for each in given:
            of = self._store.field(str(each.get("field")))
            number = self._store.number("option")
            of.options[number] = str(each.get("value"))
            made.append({"field": of.id, "value": of.options[number], "label": each.get("label"), "id": number})
        return Reply(201, {"fieldOptions": made})

    def relate(self, call: Call) -> Reply:
        """POST /fieldRels: which lists show the field; 0 for all."""
        body = call.json("fieldRel")
        of = self._store.field(str(body.get("field")))
        number = self._store.number("rel")
        of.rels[number] = str(body.get("relid"))
        return Reply(201, {"fieldRel": {"field": of.id, "relid": of.rels[number], "id": number}})

    def _listed(self, found: list[CustomField], total: int) -> dict[str, Any]:
        return {
            "fieldOptions": [
                {"field": each.id, "value": value, "label": value, "isdefault": "0", "id": number}
                for each in found
                for number, value in each.options.items()
            ],
            "fieldRels": [
                {"field": each.id, "relid": relid, "dorder": "0", "id": number}
                for each in found
                for number, relid in each.rels.items()
            ],
            "fields": [self._field(each) for each in found],
            "meta": {"total": str(total) if self._behaviour.totals == "text" else total},
        }

    @staticmethod
    def _field(each: CustomField) -> dict[str, Any]:
        return {
            "title": each.title,
            "descript": None,
            "type": each.type,
            "isrequired": "0",
            "perstag": each.perstag,
            "visible": "1",
            "options": list(each.options),
            "relations": list(each.rels),
            "links": {},
            "id": each.id,
        }
