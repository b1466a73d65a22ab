"""The shipped deals on the shop's own customers: the account equals what plain Python makes of the rows."""

import pytest

from caspio_sync.sandbox.shop import load_shop
from tests.flows.world import World


@pytest.mark.parametrize("seed", [1, 2])
def test_the_account_equals_what_plain_python_makes_of_the_rows(world: World, seed: int) -> None:
    load_shop(world.caspio, customers=1_500, seed=seed)
    world.shipped("contacts")
    world.shipped("deals")
    assert world.ended("contacts").code == 0
    world.clock.advance(3_600.0)
    ended = world.ended("deals")
    assert ended.code == 0
    deals = world.activecampaign.deals
    addresses = {each.id: each.email for each in world.activecampaign.store.contacts.values()}
    labels = {number: label for number, (label, _) in deals.fields.items()}
    there = {
        each.parts["title"]: (
            addresses[each.parts["contact"]],
            int(each.parts["value"]),
            deals.stages[each.parts["stage"]],
            {labels[number]: value for number, value in each.fields.items()},
        )
        for each in deals.deals.values()
    }
    (wholesale,) = (number for number, title in deals.pipelines.items() if title == "Wholesale")
    rows = [row for row in world.caspio.rows("Customers") if row["Wholesale"]]
    wanted = {
        row["CustomerNo"].strip(): (
            row["Email"].strip().lower(),
            round(row["Spend"] * 100),
            (wholesale, "Asked"),
            {
                name: value
                for name, value in (("Orders", str(row["Orders"])), ("Last order", str(row["LastOrder"])[:10]))
                if value != "None"
            },
        )
        for row in rows
        if row["Email"] and row["Email"].strip().lower() in addresses.values()
    }
    with world.ledger() as ledger:
        sent = ledger.read_rows("deals", 0, 10**6)
    keys = {row["key"] for row in sent.iter_rows(named=True) if row["verdict"] == "sent"}
    assert (len(there), len(deals.deals)) == (len(keys), len(keys))
    assert len(keys) > 10
    assert there == {key: wanted[key] for key in keys}
    unsent = set(wanted) - keys
    assert len(unsent) <= len(rows) * 0.3  # what the gate holds of them
    world.clock.advance(3_600.0)
    world.activecampaign.calls.clear()
    world.run("deals", full=True)
    assert world.activecampaign.calls["POST deals"] == 0
