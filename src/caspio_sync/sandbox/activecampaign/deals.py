"""Deals of the emulated account, their pipelines, stages and fields (reference, section 12)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caspio_sync.sandbox.activecampaign.behaviour import ActiveCampaignBehaviour
from caspio_sync.sandbox.activecampaign.calls import Call, RefusedError, Reply, invalid, missing
from caspio_sync.sandbox.activecampaign.store import Store, moment

_USERS = frozenset({"1", "2"})
_STATES = frozenset({"0", "1", "2"})
_FIELD_TYPES = frozenset(
    {
        "text",
        "textarea",
        "date",
        "datetime",
        "dropdown",
        "multiselect",
        "radio",
        "checkbox",
        "hidden",
        "currency",
        "number",
    }
)
_OPEN = "0"


@dataclass(slots=True)
class Deal:
    """A deal: its parts by the names of the API, all of them text, and its own fields by their ids."""

    id: str
    parts: dict[str, str]
    fields: dict[str, str] = field(default_factory=dict)
    made: float = 0.0
    changed: float = 0.0


class Deals:
    """Answers calls about deals.

    Attributes:
        deals: by id.
        pipelines: titles by id, and `stages`: (pipeline, title) by id.
        fields: (label, type) by id.
    """

    def __init__(self, behaviour: ActiveCampaignBehaviour, store: Store) -> None:
        self._behaviour, self._store = behaviour, store
        self.deals: dict[str, Deal] = {}
        self.pipelines: dict[str, str] = {}
        self.stages: dict[str, tuple[str, str]] = {}
        self.fields: dict[str, tuple[str, str]] = {}
        for title, stages in behaviour.pipelines.items():
            group = store.number("dealGroup")
            self.pipelines[group] = title
            for stage in stages:
                self.stages[store.number("dealStage")] = (group, stage)

    def create(self, call: Call) -> Reply:
        """POST /deals: each call makes one more."""
        body = call.json("deal")
        parts = {"description": "", "status": _OPEN, "percent": ""} | self._checked(body)
        for name in ("title", "value", "currency"):
            if not parts.get(name):
                raise self._refusal("field_missing", name)
        if not parts.get("contact") and not body.get("account"):
            raise self._refusal("field_missing", "contact")
        if "stage" not in parts:
            parts["stage"] = self._first_stage(parts.get("group"))
        parts["group"] = self.stages[parts["stage"]][0]
        if not parts.get("owner"):
            if self._behaviour.auto_assign == "0":
                raise self._refusal("field_missing", "owner")
            parts["owner"] = "1"
        made = Deal(self._store.number("deal"), parts, self._own(body), call.now, call.now)
        self.deals[made.id] = made
        return Reply(201, {"contacts": [], "deal": self._told(made), "dealStages": []})

    def change(self, call: Call) -> Reply:
        """PUT /deals/{id}: what is named, and nothing else."""
        deal, body = self._deal(call.parts[1]), call.json("deal")
        parts = self._checked(body, deal.parts)
        own = self._own(body)
        if "group" in parts and "stage" not in parts and parts["group"] != deal.parts["group"]:
            parts["stage"] = self._first_stage(parts["group"])
        deal.parts |= parts
        deal.fields |= own
        deal.changed = call.now
        return Reply(200, {"deal": self._told(deal)})

    def read(self, call: Call) -> Reply:
        """GET /deals/{id}."""
        return Reply(200, {"deal": self._told(self._deal(call.parts[1]))})

    def delete(self, call: Call) -> Reply:
        """DELETE /deals/{id}."""
        number = self._deal(call.parts[1]).id
        del self.deals[number]
        return Reply(200, {})

    def list_all(self, call: Call) -> Reply:
        """GET /deals."""
        return self._listed("deals", [self._told(each) for each in self.present().values()], call)

    def of_contact(self, call: Call) -> Reply:
        """GET /contacts/{id}/deals."""
        contact = self._store.contact(call.parts[1])
        found = [self._told(each) for each in self.present().values() if each.parts.get("contact") == contact.id]
        return self._listed("deals", found, call)

    def present(self) -> dict[str, Deal]:
        """The deals that are there, by id: with a contact that is deleted, its deals may go."""
        if self._behaviour.deals_of_deleted == "gone":
            known = self._store.contacts
            self.deals = {each: deal for each, deal in self.deals.items() if deal.parts.get("contact") in known}
        return self.deals

    def list_pipelines(self, call: Call) -> Reply:
        """GET /dealGroups; its stages are side-loaded."""
        rows = [
            {"id": number, "title": title, "currency": "usd", "autoassign": self._behaviour.auto_assign, "links": {}}
            for number, title in self.pipelines.items()
        ]
        listed = self._listed("dealGroups", rows, call)
        return Reply(200, {"dealStages": self._stages(), **listed.body})

    def list_stages(self, call: Call) -> Reply:
        """GET /dealStages, of one pipeline where `filters[d_groupid]` names it."""
        group = call.asked("filters[d_groupid]")
        return self._listed("dealStages", [each for each in self._stages() if group in {None, each["group"]}], call)

    def make_pipeline(self, call: Call) -> Reply:
        """POST /dealGroups."""
        body = call.json("dealGroup")
        if not body.get("title") or not body.get("currency"):
            raise self._refusal("field_missing", "title")
        number = self._store.number("dealGroup")
        self.pipelines[number] = str(body["title"])
        return Reply(200, {"dealGroup": {"id": number, "title": body["title"]}})

    def make_stage(self, call: Call) -> Reply:
        """POST /dealStages."""
        body = call.json("dealStage")
        if not body.get("title") or str(body.get("group")) not in self.pipelines:
            raise self._refusal("field_missing", "group")
        number = self._store.number("dealStage")
        self.stages[number] = (str(body["group"]), str(body["title"]))
        return Reply(200, {"dealStage": {"id": number, "title": body["title"], "group": str(body["group"])}})

    def delete_pipeline(self, call: Call) -> Reply:
        """DELETE /dealGroups/{id}, with its stages."""
        if self.pipelines.pop(call.parts[1], None) is None:
            raise missing("DealGroup", call.parts[1])
        self.stages = {number: each for number, each in self.stages.items() if each[0] != call.parts[1]}
        return Reply(200, {})

    def list_fields(self, call: Call) -> Reply:
        """GET /dealCustomFieldMeta."""
        rows: list[dict[str, Any]] = [
            {"id": number, "fieldLabel": label, "fieldType": kind, "fieldOptions": None, "links": {}}
            for number, (label, kind) in self.fields.items()
        ]
        return self._listed("dealCustomFieldMeta", rows, call)

    def make_field(self, call: Call) -> Reply:
        """POST /dealCustomFieldMeta."""
        body = call.json("dealCustomFieldMetum")
        label, kind = str(body.get("fieldLabel") or ""), str(body.get("fieldType") or "")
        if not label or kind not in _FIELD_TYPES:
            raise self._refusal("field_invalid", "fieldType")
        number = self._store.number("dealField")
        self.fields[number] = (label, kind)
        return Reply(201, {"dealCustomFieldMetum": {"id": number, "fieldLabel": label, "fieldType": kind}})

    def _deal(self, number: str) -> Deal:
        if number not in self.present():
            gone = missing("Deal", number)
            raise RefusedError(self._behaviour.missing_deal_status, gone.body)
        return self.deals[number]

    def _checked(self, body: Mapping[str, Any], held: Mapping[str, str] | None = None) -> dict[str, str]:
        """The parts that a body names, each of them one that may be."""
        names = ("title", "contact", "value", "currency", "group", "stage", "owner", "description", "percent", "status")
        parts = {name: str(body[name]) for name in names if body.get(name) is not None}
        value = body.get("value")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise self._refusal("field_invalid", "value")
        group = parts.get("group", (held or {}).get("group"))
        stage = self.stages.get(parts.get("stage", ""))
        sound = {
            "title": parts.get("title", "x") != "",
            "contact": parts.get("contact") is None or parts["contact"] in self._store.contacts,
            "currency": len(parts.get("currency", "usd")) == 3 and parts.get("currency", "usd").islower(),
            "group": group is None or group in self.pipelines,
            "stage": "stage" not in parts or (stage is not None and group in {None, stage[0]}),
            "owner": parts.get("owner") is None or parts["owner"] in _USERS,
            "status": parts.get("status", _OPEN) in _STATES,
        }
        for name, holds in sound.items():
            if not holds:
                raise self._refusal("field_invalid", name)
        return parts

    def _own(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Values of its own fields."""
        found = {}
        for each in body.get("fields") or []:
            number, value = str(each.get("customFieldId")), str(each.get("fieldValue"))
            if number not in self.fields:
                raise self._refusal("field_invalid", "fields")
            kind = self.fields[number][1]
            if kind == "date" and value and not _is_date(value):
                text = f"The custom field value `{value}` could not be saved to the custom field of type `date`."
                raise RefusedError(422, {"errors": [{"detail": text}]})
            found[number] = value
        return found

    def _first_stage(self, group: str | None) -> str:
        found = next((number for number, each in self.stages.items() if each[0] == group), None)
        if found is None:
            raise self._refusal("field_missing", "group")
        return found

    def _refusal(self, code: str, name: str) -> RefusedError:
        if self._behaviour.deal_refusal == "empty":
            return RefusedError(400, {})
        return invalid(f"The deal's {name} is missing or invalid.", code, f"/data/attributes/{name}")

    def _stages(self) -> list[dict[str, Any]]:
        return [
            {"id": number, "title": title, "group": group, "links": {}}
            for number, (group, title) in self.stages.items()
        ]

    def _listed(self, name: str, rows: list[dict[str, Any]], call: Call) -> Reply:
        offset, limit = call.page()
        total: object = str(len(rows)) if self._behaviour.totals == "text" else len(rows)
        return Reply(200, {name: rows[offset : offset + limit], "meta": {"total": total}})

    @staticmethod
    def _told(deal: Deal) -> dict[str, Any]:
        return {
            "organization": None,
            "account": None,
            "winProbability": None,
            "activitycount": "0",
            "isDisabled": "0",
            **deal.parts,
            "cdate": moment(deal.made),
            "mdate": moment(deal.changed),
            "links": {},
            "id": deal.id,
        }


def _is_date(value: str) -> bool:
    year, _, rest = value.partition("-")
    return len(year) == 4 and year.isdecimal() and rest.replace("-", "").isdecimal()
