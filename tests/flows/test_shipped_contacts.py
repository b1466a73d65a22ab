"""The shipped contacts on the shop's own customers: the account equals what plain Python makes of the rows."""

from collections import defaultdict
from typing import Any

import phonenumbers
import pytest

from caspio_sync.sandbox.shop import load_shop
from tests.flows.world import World

GENDERS = {"f": "Female", "m": "Male", "x": "Other"}
STATES = {"yes": "1", "double opt-in": "1", "no": "2"}


def state_of(row: dict[str, Any]) -> str | None:
    return STATES.get(str(row["EmailConsent"] or "").strip().lower())


def wanted(row: dict[str, Any], namesakes: list[dict[str, Any]]) -> dict[str, Any]:
    """Fields, lists and tags of a customer that the rules of the file say by themselves; dates and numbers apart.

    Of several rows with one address the strictest consent counts.
    """
    fields = {
        "City": row["City"],
        "Country": row["Country"],
        "Gender": GENDERS.get(str(row["Gender"] or "").strip().lower(), row["Gender"]),
        "Orders": None if row["Orders"] is None else str(row["Orders"]),
        "Wholesale": None if row["Wholesale"] is None else "Yes" if row["Wholesale"] else "No",
    }
    orders, spend = row["Orders"], row["Spend"]
    bears = {
        "VIP": spend is not None and spend > 1000 and orders is not None and orders >= 3,
        "Wholesale": bool(row["Wholesale"]),
        "Never bought": not orders,
    }
    state = "2" if "2" in map(state_of, namesakes) else state_of(row)
    return {
        "firstName": (row["FirstName"] or "").strip() or None,
        "lastName": (row["LastName"] or "").strip() or None,
        "fields": {name: value for name, value in fields.items() if value},
        "lists": {} if state is None else {"Newsletter": state},
        "tags": {tag for tag, holds in bears.items() if holds},
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_the_account_equals_what_plain_python_makes_of_the_rows(world: World, seed: int) -> None:
    load_shop(world.caspio, customers=600, seed=seed)
    world.shipped("contacts")
    ended = world.ended("contacts")
    assert ended.code == 0
    there = world.activecampaign.contacts()
    with world.ledger() as ledger:
        sent = ledger.read_rows("contacts", 0, 10**6)
    keys = {row["source_pk"]: row["key"] for row in sent.iter_rows(named=True) if row["verdict"] == "sent"}
    rows = {int(row["PK_ID"]): row for row in world.caspio.rows("Customers")}
    assert set(keys.values()) == set(there)
    assert len(there) > 500
    assert {"VIP", "Wholesale"} <= {tag for each in there.values() for tag in each["tags"]}
    by_email: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.values():
        by_email[str(row["Email"] or "").strip().lower()].append(row)
    for number, key in keys.items():
        row, contact = rows[number], there[key]
        assert key == row["Email"].strip().lower()
        expected = wanted(row, by_email[key])
        assert {name: contact.get(name) for name in ("firstName", "lastName", "lists")} == {
            name: expected[name] for name in ("firstName", "lastName", "lists")
        }
        assert set(contact["tags"]) == expected["tags"], key
        told = {name: contact["fields"].get(name) for name in expected["fields"]}
        assert told == expected["fields"], key
        if phone := contact.get("phone"):
            assert phonenumbers.is_valid_number(phonenumbers.parse(phone))
        assert contact["automations"] == 0
    again = world.ended("contacts", full=True)
    assert (again.code, again.report and again.report.verdicts.get("sent", 0)) == (0, 0)
